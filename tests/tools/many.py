# SPDX-License-Identifier: Apache-2.0
"""A directory with very many Routes, and what a program weighs that has read it."""
import os
import random
import time

import sluice
from sluice import eventually, must

BACKENDS = 4  # that the routes are spread over; each has an origin of its own

ROUTE = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: r{i:06}, namespace: default}}
spec:
  hostnames: [{host}]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: /}}}}]
      backendRefs: [{{name: backend-{k}, port: 80}}]
'''


def host(i):
    return f'r{i:06}.example.com'


def route(i):
    """The i-th Route: a host of its own, and one of the backends."""
    return ROUTE.format(i=i, host=host(i), k=i % BACKENDS)


def origins():
    return [sluice.Origin(f'backend-{k}') for k in range(BACKENDS)]


def write_routes(gateway, n, files):
    """n routes in so many files, in place before a controller looks."""
    each = -(-n // files)
    for f in range(files):
        text = ''.join(route(i) for i in range(f * each, min(n, (f + 1) * each)))
        with open(os.path.join(gateway.manifests, f'f{f:06}.yaml'), 'w', encoding='utf-8') as out:
            out.write(text)


def gateway(n, files, backends, **options):
    """A gateway that is not started, on a directory of n routes."""
    gw = sluice.Gateway('', start=False, **{o.name: o for o in backends}, **options)
    write_routes(gw, n, files)
    return gw


def must_answer(gw, i):
    status, body, _ = gw.get('/some/where', host(i))
    must(status == 200 and body.startswith(f'backend-{i % BACKENDS}:'),
         f'{host(i)} was answered {status} {body!r}')


def must_answer_at_random(gw, n, times, seed):
    """Random routes go where they should, and a host that nobody has goes nowhere."""
    rng = random.Random(seed)
    for _ in range(times):
        must_answer(gw, rng.randrange(n))
    status = gw.get('/', host(n))[0]
    must(status == 404, f'{host(n)} is not there, and was answered {status}')


def memory(program, field='VmRSS'):
    """Bytes of it: VmRSS now, VmHWM at most so far."""
    with open(f'/proc/{program.pid}/status', encoding='ascii') as f:
        for line in f:
            if line.startswith(field + ':'):
                return int(line.split()[1]) * 1024
    raise AssertionError(f'{program.label} has no {field}')


def memory_at_rest(program, seconds=1.5):
    """The least that it had meanwhile: a file that is being written takes as much again."""
    until, least = time.monotonic() + seconds, memory(program)
    while time.monotonic() < until:
        time.sleep(0.05)
        least = min(least, memory(program))
    return least


def used(program):
    """(CPU seconds, times it was put on a CPU) of all threads."""
    seconds = wakes = 0
    for task in os.listdir(f'/proc/{program.pid}/task'):
        with open(f'/proc/{program.pid}/task/{task}/schedstat', encoding='ascii') as f:
            words = f.read().split()
        seconds, wakes = seconds + int(words[0]) / 1e9, wakes + int(words[2])
    return seconds, wakes


def start_controller(gw, seconds=1800):
    """Seconds from its start to its /ready."""
    begin = time.monotonic()
    gw.start_controller()

    def ready():
        must(gw.controller.alive(), 'the controller ended: ' + gw.controller.output()[-500:])
        return sluice.get(gw.controller_telemetry, '/ready')[0] == 200
    eventually(ready, 'the controller is ready', seconds)
    return time.monotonic() - begin


def start_proxy(gw, seconds=1800):
    """Seconds from its start to its /ready."""
    begin = time.monotonic()
    gw.start_proxy()
    gw.wait_ready(seconds)
    return time.monotonic() - begin


def scrape(gw, n):
    """(CPU seconds of the proxy, bytes) of a scrape when all routes have been asked: the best of three."""
    client = sluice.Client(gw.port)
    for i in range(n):
        client.ask(host(i))
    found = []
    for _ in range(3):
        before = used(gw.proxy)[0]
        text = sluice.get(gw.telemetry, '/metrics', timeout=60)[1]
        found.append((used(gw.proxy)[0] - before, len(text)))
    return min(found)


def measure(n, files, backends, lookups=100, seed=1, **options):
    """Starts a gateway of n routes: seconds until ready and bytes of both programs,
    and what a scrape of the proxy costs."""
    with gateway(n, files, backends, **options) as gw:
        row = {'routes': n, 'files': files}
        row['controller_ready_s'] = start_controller(gw)
        row['proxy_ready_s'] = start_proxy(gw)
        must_answer_at_random(gw, n, lookups, seed)
        eventually(lambda: os.path.exists(gw.state), 'the last good file is written', 60)
        row['proxy_bytes'] = memory(gw.proxy)
        row['proxy_peak_bytes'] = memory(gw.proxy, 'VmHWM')
        row['scrape_s'], row['scrape_bytes'] = scrape(gw, n)
        row['controller_bytes'] = memory(gw.controller)
        row['controller_peak_bytes'] = memory(gw.controller, 'VmHWM')
        must(gw.stop() == [0, 0], 'exit codes of proxy and controller')
        return row


def slope(few, many, what):
    """Bytes for each further route; what both have in common is taken off."""
    return (many[what] - few[what]) / (many['routes'] - few['routes'])
