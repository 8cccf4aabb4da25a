# SPDX-License-Identifier: Apache-2.0
"""A fleet that has something to show: two proxies, a route whose backend is slow, one whose time is spent in the
gateway's queue, failures of both kinds, and a refused object; requests come all the time. And a proxy that is a test,
and says what it likes."""
import json
import socket
import threading
import time

import limits
import sluice
import wire

WATCH, LIVE = 24, 8
HOSTILE = '<img src=x onerror="document.title=\'owned\'">'

ROUTES = f'''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: shop, namespace: default}}
spec:
  hostnames: [shop.example.com]
  rules:
    - {{name: slow, matches: [{{path: {{value: /delay}}}}], backendRefs: [{{name: red, port: 80}}]}}
    - {{name: fails, matches: [{{path: {{value: /status}}}}], backendRefs: [{{name: red, port: 80}}]}}
    - {{name: empty, matches: [{{path: {{value: /empty}}}}], backendRefs: [{{name: nobody, port: 80}}]}}
    - {{name: fast, backendRefs: [{{name: red, port: 80}}]}}
---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: queue, namespace: default}}
spec:
  hostnames: [queue.example.com]
  rules: [{{name: all, backendRefs: [{{name: narrow, port: 80}}]}}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {{name: narrow, namespace: default}}
spec:
  targetRefs: [{{kind: Service, name: narrow}}]
  connection: {{maxConnections: 1}}
---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: refused, namespace: default}}
spec:
  hostnames: [%s]
  rules: [{{backendRefs: [{{name: red, port: 80}}]}}]
''' + sluice.backend('nobody')


class Fleet:
    """with Fleet() as f: f.live() is what the controller's /live says."""

    def __init__(self, refused=HOSTILE):
        self.over = threading.Event()
        self.red, self.narrow = sluice.Origin('red'), sluice.Origin('narrow')
        self.gw = sluice.Gateway(ROUTES % json.dumps(refused), red=self.red, narrow=self.narrow)
        self.second = limits.Proxy(self.gw, 'proxy-2')
        self.threads = []

    def ask(self, port, host, path, pause):
        while not self.over.is_set():
            try:
                sluice.get(port, path, host)
            except OSError:
                pass
            time.sleep(pause)

    def load(self):
        for port in (self.gw.port, self.second.port):
            for host, path, pause, n in (
                    ('shop.example.com', '/', 0.02, 1), ('shop.example.com', '/delay/60', 0.1, 1),
                    ('shop.example.com', '/status/500', 0.1, 1), ('shop.example.com', '/empty', 0.1, 1),
                    ('nobody.example.com', '/', 0.1, 1), ('queue.example.com', '/delay/20', 0.002, 4)):
                for _ in range(n):
                    self.threads.append(threading.Thread(target=self.ask, args=(port, host, path, pause), daemon=True))
        for thread in self.threads:
            thread.start()

    def live(self, query=''):
        status, body, _ = sluice.get(self.gw.controller_admin, '/live' + query)
        assert status == 200, body
        return json.loads(body)

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.second.program.kill()
        self.gw.__exit__(*rest)
        self.red.kill()
        self.narrow.kill()


def route(data, rule):
    """The one of that rule (or of that name, where it has none); None: it is not there."""
    return next((r for r in data['routes'] if (r['rule'] or r['name']) == rule), None)


# ---- a proxy by hand ----

def part(**fields):
    return wire.message(0, **fields)[1:]


def many(number, parts):
    return b''.join(wire.leb(number << 1 | 1) + wire.leb(len(p)) + p for p in parts)


def counted(namespace, name, rule, requests, reasons=(), buckets=()):
    """A live_route, its time spent in the backend."""
    us = requests * 30000
    return (part(f1=namespace, f2=name, f3=rule, f4=requests, f7=us, f9=us) + many(10, buckets) + many(13, reasons))


class ByHand:
    def __init__(self, port, name):
        self.link, _ = wire.dial(port)
        self.link.send(wire.hello(name=name.encode()))

    def is_asked(self, seconds):
        """Whether it is told to tell, within that time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.link.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                if self.link.receive()[0] == WATCH:
                    return True
            except socket.timeout:
                break
            finally:
                self.link.socket.settimeout(10)
        return False

    def tell(self, *routes, interval_us=1000000):
        self.link.send(bytes([LIVE]) + part(f1=interval_us) + many(2, routes[:1]) + many(3, routes))
