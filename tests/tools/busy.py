# SPDX-License-Identifier: Apache-2.0
"""A small gateway that has a little of everything to show: two routes of two teams, errors of several origins, who is
let in and who is not, rate limits, TLS on both sides, objects that are refused.

    with busy.World() as world:
        world.crowd()     # more callers than there are places to count them
        world.ask()       # each kind of request once
        world.change()    # a change of the configuration
        world.gw          # the gateway
"""
import base64
import socket
import tempfile

import certs
import nginx
import sluice
import tokens
from sluice import must

ROUTE = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: {name}, namespace: default, labels: {{sluice.dev/team: {team}}}}}
spec:
  hostnames: [{name}.example.com]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
'''
REST = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: staff, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: orders}]
  failureLimit: {requests: 1000000, per: 1s}
  methods: [{name: password, basic: {secretRef: {name: staff}}}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: few, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: search}]
  rateLimits: [{name: second, requests: 35, per: 1s}]
---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: crowd, namespace: default}
spec:
  hostnames: [crowd.example.com]
  rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 204}}]}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: crowd, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: crowd}]
  rateLimits: [{name: each, keys: [{by: header, name: x-key}], requests: 5, per: 1h, algorithm: SlidingWindow}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: vault, namespace: default}
spec:
  targetRefs: [{kind: Service, name: vault}]
  connection: {tls: {caRefs: [{name: ca}], clientCertificateRef: {name: gateway}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: secure, namespace: default, labels: {sluice.dev/team: identity}}
spec:
  ingressClassName: sluice
  tls: [{hosts: [secure.example.com], secretName: secure}]
  rules:
    - host: secure.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: vault, port: {number: 80}}}}]}
---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: wrong, namespace: default}
spec:
  hostnames: ["not a host"]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
'''
ROUTES = (('shop', 'checkout', 'shop'), ('search', 'catalog', 'shop'), ('orders', 'checkout', 'shop'),
          ('broken', 'catalog', 'gone'))
# ann's is `secret`, as `htpasswd -5` writes it.
PASSWORDS = 'ann:$6$hFPFqxFBa6IMdSee$sxlCHoMvsSBVQsy/T9Y.VZ/sjdkzlyCnkSXRMgo5w8l.Tbcxzg3THM1oKu9/5Vu.vkHoABq9dok4zuddShXP31\n'
CALLERS = 40000  # there are 32,768 sliding windows
LOGIN = {'Authorization': 'Basic ' + base64.b64encode(b'ann:secret').decode()}
WRONG = {'Authorization': 'Basic ' + base64.b64encode(b'ann:wrong').decode()}


class World:
    def __init__(self):
        self.changes = 0
        self.ca = certs.Authority()
        self.secure = self.ca.pair('secure.example.com')
        self.vault = nginx.Server(self.ca.pair('vault.default.svc'), self.ca)
        self.shop = sluice.Origin('shop')
        self.log = tempfile.NamedTemporaryFile(prefix='sluice-busy-', suffix='.log')
        self.gw = certs.Gateway(
            ''.join(ROUTE.format(name=name, team=team, backend=backend) for name, team, backend in ROUTES) + REST
            + certs.config_map('ca', self.ca) + certs.secret('gateway', self.ca.pair('gateway'))
            + certs.secret('secure', self.secure) + tokens.secret('staff', {'auth': PASSWORDS}),
            access_log=self.log.name, shop=self.shop, vault=self.vault, gone=sluice.port())

    def status(self, host, path='/', **how):
        return self.gw.get(path, f'{host}.example.com', **how)[0]

    def usual(self, path='/'):
        """Requests that are answered well, one of them that path of the shop; {what: status}."""
        return {'shop': self.status('shop', path), 'search': self.status('search', '/bytes/20000'),
                'slow backend': self.status('shop', '/delay/30'), 'let in': self.status('orders', headers=LOGIN),
                'TLS': certs.get(self.gw, self.ca, 'secure.example.com')[0]}

    def ask(self, path='/'):
        """Each kind of request."""
        return {**self.usual(path), 'error of the backend': self.status('shop', '/status/503'),
                'no route': self.status('nobody'), 'refused': self.status('broken'),
                'wrong password': self.status('orders', headers=WRONG), 'nobody': self.status('orders')}

    def crowd(self):
        """So many callers that some are counted together."""
        with socket.create_connection(('127.0.0.1', self.gw.port)) as s:
            for begin in range(0, CALLERS, 100):
                s.sendall(b''.join(b'GET / HTTP/1.1\r\nHost: crowd.example.com\r\nx-key: %d\r\n\r\n' % i
                                   for i in range(begin, begin + 100)))
                told = b''
                while told.count(b'\r\n\r\n') < 100:
                    piece = s.recv(1 << 20)
                    must(piece, 'the connection ended')
                    told += piece

    def change(self):
        self.changes += 1
        self.gw.write('change.yaml', ROUTE.format(name=f'change-{self.changes}', team='catalog', backend='shop'))

    def __enter__(self):
        self.vault.__enter__()
        self.gw.__enter__()
        return self

    def __exit__(self, *how):
        self.gw.__exit__(*how)
        self.vault.__exit__(*how)
        self.shop.kill()
        self.log.close()
