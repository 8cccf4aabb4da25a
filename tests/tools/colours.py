# SPDX-License-Identifier: Apache-2.0
"""Two backends, red and blue, and Routes between them: what most end-to-end tests need."""
import contextlib

import sluice

ROUTE = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: NAME, namespace: default}
spec:
  hostnames: [NAME.example.com]
  rules:
    - backendRefs: [{name: red, port: 80, weight: RED}, {name: blue, port: 80, weight: BLUE}]
'''


def route(name='shop', red=1, blue=0):
    return (ROUTE.replace('NAME', name).replace('RED', str(red)).replace('BLUE', str(blue)))


def who(gateway, host='shop.example.com'):
    """The name of the backend that answered, or the status."""
    status, body, _ = gateway.get('/', host)
    return body.split(':')[0] if status == 200 else status


@contextlib.contextmanager
def gateway(**options):
    """A gateway whose host shop.example.com goes to red."""
    sluice.need('sluice-controller', 'sluice-proxy')
    with sluice.Origin('red') as red, sluice.Origin('blue') as blue, \
            sluice.Gateway(route(), red=red, blue=blue, **options) as gw:
        yield gw
