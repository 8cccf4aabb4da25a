# SPDX-License-Identifier: Apache-2.0
"""A directory with very many Consumers, each with an API key of its own in a Secret."""
import base64
import hashlib
import os
import random
import time

import many
import sluice
from sluice import eventually, must

POLICY = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: shop, namespace: default}
spec:
  hostnames: [shop.example.com]
  auth: {policyRef: {name: partners}}
  rules: [{backendRefs: [{name: shop, port: 80}]}]
---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: partners, namespace: default}
spec:
  failureLimit: {requests: 1000000, per: 1s}
  methods: [{name: partners, apiKey: {from: [{header: x-api-key}]}}]
  identity: {headers: [{name: x-consumer, from: consumer}]}
'''
CONSUMER = '''---
apiVersion: sluice.dev/v1alpha1
kind: Consumer
metadata: {{name: c{i:07}, namespace: default}}
spec: {{groups: [{group}], credentials: [{{apiKey: {{secretRef: {{name: keys-{f:04}, key: c{i:07}}}}}}}]}}
'''
GROUPS = ['free', 'silver', 'gold']


def key(i):
    return hashlib.sha256(f'key of consumer {i}'.encode()).hexdigest()[:32]


def text(f, numbers):
    """One file: the Secret keys-F and the Consumers that have its keys."""
    data = ''.join(f'  c{i:07}: {base64.b64encode(key(i).encode()).decode()}\n' for i in numbers)
    secret = ('---\napiVersion: v1\nkind: Secret\n'
              f'metadata: {{name: keys-{f:04}, namespace: default, labels: {{sluice.dev/credential: "true"}}}}\n'
              f'type: Opaque\ndata:\n{data}')
    return secret + ''.join(CONSUMER.format(i=i, f=f, group=GROUPS[i % 3]) for i in numbers)


def write(gw, n, each=1000):
    for f, begin in enumerate(range(0, n, each)):
        with open(os.path.join(gw.manifests, f'f{f:04}.yaml'), 'w', encoding='utf-8') as out:
            out.write(text(f, range(begin, min(n, begin + each))))


def status_of(gw, i):
    return gw.get('/', headers={'X-Api-Key': key(i)})[0]


def add(gw, n, times):
    """Milliseconds from a file with one Consumer more to its first answer, one by one."""
    found = []
    for k in range(times):
        i = n + k
        must(status_of(gw, i) == 401, 'it is not there yet')
        begin = time.monotonic()
        gw.write(f'more-{k:04}.yaml', text(9000 + k, [i]))
        eventually(lambda: status_of(gw, i) == 200, 'the key counts', 60, 0.001)
        found.append((time.monotonic() - begin) * 1000)
    return sorted(found)


def measure(n, lookups=200, added=20, seed=1):
    """Starts a gateway with n keys: seconds until ready, bytes of both programs, how soon one more counts."""
    with sluice.Origin('shop') as shop, sluice.Gateway(POLICY, start=False, shop=shop) as gw:
        write(gw, n)
        row = {'keys': n}
        row['controller_ready_s'] = many.start_controller(gw)
        row['proxy_ready_s'] = many.start_proxy(gw)
        rng = random.Random(seed)
        for _ in range(lookups):
            must(status_of(gw, rng.randrange(n)) == 200, 'a key that is there')
        must(status_of(gw, n) == 401, 'one that is not')
        eventually(lambda: os.path.exists(gw.state), 'the last good file is written', 60)
        for who, program in (('proxy', gw.proxy), ('controller', gw.controller)):
            row[f'{who}_bytes'] = many.memory_at_rest(program)
            row[f'{who}_peak_bytes'] = many.memory(program, 'VmHWM')
        found = add(gw, n, added)
        row['added_ms'] = {'median': found[len(found) // 2], 'p99': found[(len(found) * 99 - 1) // 100]}
        must(gw.stop(300) == [0, 0], 'exit codes of proxy and controller')
        return row


def slope(few, lots, who):
    """Bytes for each further key; what both have in common is taken off."""
    return (lots[f'{who}_bytes'] - few[f'{who}_bytes']) / (lots['keys'] - few['keys'])
