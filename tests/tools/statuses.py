# SPDX-License-Identifier: Apache-2.0
"""What the tests of statuses share: what stands at the API server, and more proxies than one."""
import os
import re

import sluice

ROUTES = '/apis/sluice.dev/v1alpha1/namespaces/default/routes'
INGRESSES = '/apis/networking.k8s.io/v1/namespaces/default/ingresses'
LEASES = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events'
WRITES = r'^PATCH .*/status$'
# what the controller says it is part of
DEPLOYMENT = {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'sluice'},
              'spec': {'selector': {'matchLabels': {'a': 'b'}}, 'template': {
                  'metadata': {'labels': {'a': 'b'}},
                  'spec': {'containers': [{'name': 'c', 'image': 'none'}]}}}}


def written(cluster, resource):
    """Writes of statuses that the API server has seen, by whomever, also in vain."""
    text = cluster.raw('GET', '/metrics')[1].decode()
    found = re.findall(r'^apiserver_request_total\{(.*)\} (\S+)$', text, re.M)
    return sum(float(n) for labels, n in found
               if f'resource="{resource}"' in labels and 'subresource="status"' in labels
               and re.search('verb="(PATCH|PUT|APPLY)"', labels))


def route(cluster, name, namespace='default'):
    return cluster.get(f'/apis/sluice.dev/v1alpha1/namespaces/{namespace}/routes/{name}')


def conditions(document):
    found = document.get('status', {}).get('conditions', [])
    return {c['type']: c for c in found}


def says(document, **wanted):
    """Accepted='True', Programmed='False' ... of this generation."""
    found = conditions(document)
    return all(kind in found and found[kind]['status'] == value
               and found[kind].get('observedGeneration') == document['metadata']['generation']
               for kind, value in wanted.items())


def summary(document):
    return document.get('status', {}).get('proxies', {}).get('summary')


def programmed(cluster, name, proxies):
    """A check: the Route is programmed, on so many proxies ("2/2")."""
    def check():
        document = route(cluster, name)
        return says(document, Accepted='True', ResolvedRefs='True', Programmed='True') \
            and summary(document) == proxies
    return check


def addresses(cluster, name):
    document = cluster.get(f'{INGRESSES}/{name}')
    found = document.get('status', {}).get('loadBalancer', {}).get('ingress') or []
    return [a.get('ip') or a.get('hostname') for a in found]


def one_more_proxy(gateway, name):
    """Another proxy of that gateway; a Program with .telemetry."""
    telemetry = sluice.port()
    made = sluice.Program(name, [
        os.path.join(sluice.BIN, 'sluice-proxy'), '--name', name,
        '--controller', f'ws://127.0.0.1:{gateway.link}',
        '--state', os.path.join(gateway.folder, f'state-{name}'), '--bind', '127.0.0.1',
        '--ports', f'80={sluice.port()}', '--workers', '1',
        '--telemetry', f'127.0.0.1:{telemetry}', '--admin', f'127.0.0.1:{sluice.port()}',
        '--access-log', 'off', '--drain-delay', '0s', '--drain-timeout', '1s'])
    made.telemetry = telemetry
    return made


def wait_ready(program):
    sluice.eventually(lambda: sluice.get(program.telemetry, '/ready')[0] == 200,
                      f'{program.label} is ready', 20)


def settled(gateway, seconds=40):
    """Nothing is left to be written, and proxies have been as they are for long enough."""
    sluice.eventually(lambda: gateway.counted('sluice_controller_status_pending') == 0,
                      'no status is pending', seconds, 0.05)
