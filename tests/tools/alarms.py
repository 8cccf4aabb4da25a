# SPDX-License-Identifier: Apache-2.0
"""What tests/cluster/cases/alerts stands on: a shop in the cluster that is well, a fault for each alert, requests that come
all the time, and a real Prometheus with the chart's rules that scrapes what the chart's ServiceMonitor selects.

    with cluster.Install(*alarms.SETTINGS) as installed, alarms.Watch(installed) as watch:
        alarms.shop(installed)
        with alarms.Visitors(installed.address()) as visitors: ...
        watch.firing()          # {(alert, object): alert as Prometheus has it}

The faults are those of the people who deploy: a wrong port in a Service, a release that does not start, one pod that is
slow. Windows and times of the rules are short; nothing else of them is another than by default."""
import collections
import json
import os
import shutil
import signal
import tempfile
import threading
import time

import yaml

import certs
import chart
import cluster
import prometheus
import sluice
from cluster import NAMESPACE, kubectl
from sluice import eventually, must

# Short, for it all to be over in minutes.
RULES = {'alerts': {
    'burn': {'fast': {'short': '10s', 'long': '20s', 'for': '3s'}, 'slow': {'short': '20s', 'long': '30s', 'for': '5s'}},
    'for': '5s', 'errorWindow': '10s', 'latencyWindow': '10s', 'rejectedWindow': '10s', 'configAgeSeconds': 8,
    'workersBusy': 0.15, 'gatewaySeconds': 0.25}}  # whatever else this machine does: it has two CPUs for all pods
# What a request costs follows the load while there is so little of it: this rule is looked at while that is the same.
COST = {'alerts': {'for': '5s', 'cost': {'window': '10s', 'before': '15s', 'factor': 3}}}
ON = ('alerts.enabled=true', 'serviceMonitor.enabled=true', 'alerts.runbookURL=https://git.example.com/docs/runbook.md')
SETTINGS = ('proxy.drainDelay=1s', 'proxy.drainTimeout=5s', 'rbac.watchSecrets=true', 'proxy.workers=1',
            'autoscaling.enabled=true', 'autoscaling.minReplicas=2', 'autoscaling.maxReplicas=3',
            'gatewayConfig.create=true', 'gatewayConfig.spec.auth.allowedPrivateCIDRs={10.96.0.0/16}',
            'gatewayConfig.spec.listeners[0].name=http', 'gatewayConfig.spec.listeners[0].port=80',
            'gatewayConfig.spec.listeners[0].protocol=HTTP', 'gatewayConfig.spec.listeners[1].name=https',
            'gatewayConfig.spec.listeners[1].port=443', 'gatewayConfig.spec.listeners[1].protocol=HTTPS')


# ---- Prometheus ----

class Watch(prometheus.Server):
    """Prometheus beside the cluster. Debian's cannot ask Kubernetes: so the endpoints that the ServiceMonitor selects are
    told to it in a file, with the labels that the operator gives them."""

    def __init__(self, installed, rules=None):
        self.files = tempfile.mkdtemp(prefix='sluice-alarms-')
        self.write('values.yaml', json.dumps(rules or RULES))
        words = [w for s in (*installed.settings, *ON) for w in ('--set', s)]
        made = [o for o in yaml.safe_load_all(chart.template('-f', os.path.join(self.files, 'values.yaml'), *words)) if o]
        self.monitor = chart.find(made, 'ServiceMonitor', 'sluice')['spec']
        self.rules = chart.find(made, 'PrometheusRule', 'sluice')['spec']
        self.write('rules.yaml', yaml.safe_dump(self.rules, width=1000))
        self.discover()
        super().__init__()
        self.ending = threading.Event()
        self.discovering = threading.Thread(target=self.discovers, daemon=True)
        self.discovering.start()

    def config(self, targets):
        (endpoint,) = self.monitor['endpoints']
        return {'global': {'scrape_interval': '1s', 'scrape_timeout': '1s', 'evaluation_interval': '1s'},
                'rule_files': [os.path.join(self.files, 'rules.yaml')],
                'scrape_configs': [{'job_name': 'sluice', 'honor_labels': endpoint['honorLabels'],
                                    'file_sd_configs': [{'files': [os.path.join(self.files, 'targets.json')]}]}]}

    def write(self, name, text):
        path = os.path.join(self.files, name)
        with open(path + '.new', 'w', encoding='utf-8') as f:
            f.write(text)
        os.rename(path + '.new', path)

    def selects(self, labels):
        wanted = self.monitor['selector']
        return (all(labels.get(k) == v for k, v in wanted['matchLabels'].items())
                and all(labels.get(e['key']) in e['values'] for e in wanted['matchExpressions']))

    def discover(self):
        (endpoint,) = self.monitor['endpoints']
        found = []
        for s in cluster.objects('endpointslices', NAMESPACE):
            service = s['metadata']['labels'].get('kubernetes.io/service-name', '')
            ports = [p['port'] for p in s['ports'] or [] if p['name'] == endpoint['port']]
            if not self.selects(s['metadata']['labels']):  # they are those of its Service
                continue
            found += [{'targets': [f'{e["addresses"][0]}:{port}'], 'labels': {
                'namespace': NAMESPACE, 'service': service, 'endpoint': endpoint['port'], 'pod': e['targetRef']['name'],
                'container': service.removeprefix('sluice-').replace('peers', 'proxy')}}
                for e in s['endpoints'] or [] for port in ports]
        self.write('targets.json', json.dumps(found))
        return found

    def discovers(self):
        while not self.ending.wait(1):
            try:
                self.discover()
            except AssertionError:
                pass  # the API server may be what is away

    def names(self):
        return {r['alert'] for g in self.rules['groups'] for r in g['rules']}

    def firing(self):
        """{(alert, what its labels name): alert}."""
        found = {}
        for a in self.api('alerts')['alerts']:
            names = [v for k, v in sorted(a['labels'].items()) if k not in ('alertname', 'severity')]
            if a['state'] == 'firing':
                found[(a['labels']['alertname'], '/'.join(names))] = a
        return found

    def __exit__(self, kind, *_):
        self.ending.set()
        self.discovering.join(10)
        if kind is not None:
            print('--- alerts\n' + '\n'.join(f'{a["state"]} {a["labels"]} {a["value"]}' for a in self.api('alerts')['alerts']))
        super().__exit__(kind)
        shutil.rmtree(self.files, ignore_errors=True)


# ---- the shop ----

DEPLOYMENT = '''---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  replicas: {replicas}
  strategy: {{type: Recreate}}
  selector: {{matchLabels: {{release: {name}}}}}
  template:
    metadata: {{labels: {{app: {app}, release: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      enableServiceLinks: false
      containers:
        - name: {app}
          image: sluice.test/origin:1
          args: ["--listen", "0.0.0.0:3000", "--name", "{name}"{more}]
          readinessProbe: {{tcpSocket: {{port: 3000}}, periodSeconds: 1}}
          resources: {{requests: {{cpu: 5m, memory: 16Mi}}}}
'''
SERVICE = '''---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {app}}}, ports: [{{name: http, port: 80, targetPort: 3000}}]}}
'''
# A new release beside the old one, whose pods the Service has too; started when it is to do harm.
CANARIES = {'search': '/delay/1500', 'pay': '/status/500'}
RULE_NAMES = ('cart', 'stock', 'search', 'pay', 'gone', 'tickets')
ROUTE = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {{name: {name}, namespace: shop, labels: {{sluice.dev/team: storefront}}}}
spec:
  ingressClassName: sluice
  hostnames: [{name}.example.com]
{rules}'''
TLS = '''  tls: {certificateRefs: [{name: secure}]}
'''
POLICIES = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: account, namespace: shop}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: account}]
  methods: [{name: session, external: {backendRef: {name: sessions, port: 80}, path: /check, timeout: 200ms}}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: tickets, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: tickets}]
  connection: {maxConnections: 1, maxPending: 1}
'''


def one_rule(name, service=None, match=None):
    matches = f', matches: [{{path: {match or f"{{type: PathPrefix, value: /{name}}}"}}}]'
    return f'    - {{name: {name}{matches}, backendRefs: [{{name: {service or name}, port: 80}}]}}\n'


def service(name):
    return SERVICE.format(name=name, app='catalog' if name == 'gone' else name)


def route(name, more='', path='{type: PathPrefix, value: /}'):
    """All of a host to the catalogue."""
    return ROUTE.format(name=name, rules=more + '  rules:\n' + one_rule('all', 'catalog', path))


def large():
    """The catalogue, whose answers are ten million bytes now."""
    path = '{type: ReplaceFullPath, replaceFullPath: /bytes/10000000}'
    return ROUTE.format(name='catalog', rules='  rules:\n    - name: all\n      backendRefs: [{name: catalog, port: 80}]\n'
                        f'      filters: [{{type: URLRewrite, urlRewrite: {{path: {path}}}}}]\n')


def busy(status):
    rules = f'  rules: [{{name: all, filters: [{{type: DirectResponse, directResponse: {{statusCode: {status}}}}}]}}]\n'
    return ROUTE.format(name='busy', rules=rules)


def routes():
    rules = '  rules:\n' + ''.join(one_rule(n) for n in RULE_NAMES)
    return ROUTE.format(name='shop', rules=rules) + busy(204) + route('catalog') + route('account') + route('secure', TLS)


def shop(installed):
    cluster.origin_image()
    installed.make_namespace('shop')
    names = [n for n in (*RULE_NAMES, 'catalog', 'sessions') if n != 'gone']
    text = ''.join(DEPLOYMENT.format(name=n, app=n, replicas=1, more='') for n in names)
    text += ''.join(DEPLOYMENT.format(name=f'{n}-next', app=n, replicas=0, more=f', "--always", "{wish}"')
                    for n, wish in CANARIES.items())
    text += ''.join(service(n) for n in (*names, 'gone'))
    cluster.apply(text + routes() + POLICIES + certs.secret('secure', AUTHORITY.pair('secure.example.com', days=90), 'shop'))
    kubectl('-n', 'shop', 'wait', 'deployment', '--all', '--for=condition=Available', '--timeout=120s')


AUTHORITY = certs.Authority()


# ---- requests ----

class Visitors:
    """Somebody for each rule, who asks again and again, whatever becomes of it."""
    PATHS = [('shop.example.com', f'/{name}') for name in RULE_NAMES] + [('account.example.com', '/'), ('catalog.example.com', '/')]
    PAUSE = 0.25  # seconds between the end of one and the next

    def __init__(self, address):
        self.address, self.ending = address, threading.Event()
        self.lock, self.seen = threading.Lock(), collections.Counter()
        self.threads = []

    def add(self, host, path, n=1, until=None):
        for _ in range(n):
            t = threading.Thread(target=self.visit, args=(host, path, until or self.ending), daemon=True)
            self.threads.append(t)
            t.start()

    def visit(self, host, path, until):
        while not (until.is_set() or self.ending.is_set()):
            try:
                status = cluster.get(self.address, path, host)[0]
            except OSError as error:
                status = type(error).__name__
            with self.lock:
                self.seen[(host + path, status)] += 1
            until.wait(self.PAUSE)

    def unwell(self):
        with self.lock:
            return {k: n for k, n in self.seen.items() if k[1] != 200}

    def well(self):
        """Each has got what it asked for."""
        return all(cluster.get(self.address, path, host)[0] == 200 for host, path in self.PATHS)

    def __enter__(self):
        eventually(self.well, 'the shop is well', 60, every=0.2)
        for host, path in self.PATHS:
            self.add(host, path)
        return self

    def __exit__(self, *_):
        self.ending.set()
        for t in self.threads:
            t.join(6)


# ---- faults ----

def processes(*words):
    return [int(p) for p in cluster.run('pgrep', '-f', ' '.join(words)).split()]


def running(component):
    """{pod: (address, process)} of ours that run."""
    pods = {p['metadata']['name']: p['status'].get('podIP') for p in
            cluster.objects('pods', NAMESPACE, f'app.kubernetes.io/component={component}') if 'deletionTimestamp' not in p['metadata']}
    found = {}
    for process in processes(f'^[^ ]*sluice-{component}( |$)'):
        with open(f'/proc/{process}/environ', encoding='utf-8') as f:
            name = dict(word.split('=', 1) for word in f.read().split('\0') if '=' in word).get('POD_NAME')
        if pods.get(name):
            found[name] = (pods[name], process)
    return found


def patched(kind, name, patch, how='strategic', namespace='shop'):
    kubectl('-n', namespace, 'patch', kind, name, f'--type={how}', '-p', json.dumps(patch))


def port_of_cart(port):
    return lambda _: patched('service', 'cart', [{'op': 'replace', 'path': '/spec/ports/0/targetPort', 'value': port}], 'json')


def workers_of_stock(*more):
    """A release that asks for what the program does not take: it ends at once, again and again."""
    return lambda _: patched('deployment', 'stock', [{'op': 'replace', 'path': '/spec/template/spec/containers/0/args', 'value':
                             ['--listen', '0.0.0.0:3000', '--name', 'stock', *more]}], 'json')


def scaled(name, n):
    return lambda _: kubectl('-n', 'shop', 'scale', f'deployment/{name}', f'--replicas={n}')


def signalled(number):
    return lambda _: [os.kill(p, number) for p in processes('origin --listen 0.0.0.0:3000 --name sessions')]


def crowd(visitors):
    """Ten at once for what takes a third of a second, one at a time."""
    visitors.crowd = threading.Event()
    visitors.add('shop.example.com', '/tickets?do=/delay/300', 10, visitors.crowd)


BROKEN = '{type: RegularExpression, value: "/(catalog"}'
# What: (done, undone, alerts that it must raise as (name, object), others that it may).
FAULTS = {
    'A wrong port': (
        port_of_cart(3999), port_of_cart(3000),
        {('SluiceUpstreamErrorsFast', 'shop/shop/cart'), ('SluiceUpstreamErrorsSlow', 'shop/shop/cart')}, set()),
    'A release that does not start': (
        workers_of_stock('--workers', '0'), workers_of_stock(), {('SluiceNoReadyEndpoint', 'shop/shop/stock')},
        {('SluiceUpstreamErrorsFast', 'shop/shop/stock'), ('SluiceUpstreamErrorsSlow', 'shop/shop/stock')}),
    'A slow pod': (scaled('search-next', 1), scaled('search-next', 0), {('SluiceUpstreamSlow', 'shop/shop/search')}, set()),
    'A release that fails': (scaled('pay-next', 1), scaled('pay-next', 0), {('SluiceBackendErrors', 'shop/pay:80')}, set()),
    'A Service that is gone': (
        lambda _: kubectl('-n', 'shop', 'delete', 'service', 'gone'), lambda _: cluster.apply(service('gone')),
        {('SluiceGatewayErrorsFast', 'shop/shop/gone'), ('SluiceGatewayErrorsSlow', 'shop/shop/gone')}, set()),
    'A typo in a Route': (lambda _: cluster.apply(route('catalog', path=BROKEN)), lambda _: cluster.apply(route('catalog')),
                          {('SluiceResourcesRefused', 'Route/catalog/shop/Invalid')}, set()),
    'A service of sessions that hangs': (
        signalled(signal.SIGSTOP), signalled(signal.SIGCONT),
        {('SluiceAuthErrorsFast', 'shop/account/all'), ('SluiceAuthErrorsSlow', 'shop/account/all')}, set()),
    'A crowd': (crowd, lambda visitors: visitors.crowd.set(),
                {('SluiceOverloaded', 'shop/shop/tickets'), ('SluiceGatewaySlow', 'shop/shop/tickets')},
                {('SluiceGatewayErrorsFast', 'shop/shop/tickets'), ('SluiceGatewayErrorsSlow', 'shop/shop/tickets')}),
    'A certificate that ends': (
        lambda _: cluster.apply(certs.secret('secure', AUTHORITY.pair('secure.example.com', days=2), 'shop')),
        lambda _: cluster.apply(certs.secret('secure', AUTHORITY.pair('secure.example.com', days=90), 'shop')),
        {('SluiceCertificateExpiring', 'shop/secure'), ('SluiceCertificateExpiresSoon', 'shop/secure')}, set()),
}


# ---- faults of Sluice's own pods ----

# What a machine with two CPUs for everything may say beside, while all of them are wanted.
BUSY = {'SluiceWorkersBusy', 'SluiceGatewaySlow', 'SluiceUpstreamSlow', 'SluiceUpstreamErrorsFast', 'SluiceUpstreamErrorsSlow',
        'SluiceAuthErrorsFast', 'SluiceAuthErrorsSlow'}

class Deaf:
    """Packets of a pod to some port are dropped, as a NetworkPolicy does it."""

    def __init__(self, process, port):
        self.words = ['nsenter', f'--net=/proc/{process}/ns/net', 'iptables', '-w']
        self.rule = ['OUTPUT', '-p', 'tcp', '--dport', str(port), '-j', 'DROP']
        cluster.run(*self.words, '-A', *self.rule)

    def end(self):
        cluster.run(*self.words, '-D', *self.rule)


class Older:
    """Beside the others a proxy of the version before this one: a rollout that does not go on."""
    NAME = 'proxy-before'

    def __init__(self, folder):
        image = 'sluice.test/before:1'
        cluster.image_of('before', os.path.join(folder, 'sluice-proxy'), image)
        template = json.loads(kubectl('-n', NAMESPACE, 'get', 'deployment', 'sluice-proxy', '-o', 'json'))['spec']['template']
        template['spec']['containers'][0]['image'] = image
        cluster.apply(json.dumps({'apiVersion': 'v1', 'kind': 'Pod', **template, 'metadata': {
            'name': self.NAME, 'namespace': NAMESPACE, 'labels': template['metadata']['labels']}}))
        kubectl('-n', NAMESPACE, 'wait', f'pod/{self.NAME}', '--for=condition=Ready', '--timeout=60s')
        self.address = cluster.field('pod', self.NAME, '.status.podIP')

    def end(self):
        kubectl('-n', NAMESPACE, 'delete', 'pod', self.NAME, '--wait')


# An identity provider, as far as a policy needs one that nobody logs in with: what it publishes, by the gateway itself. The
# key is that of RFC 7515, appendix A.3.
PROVIDER = f'sluice-proxy.{NAMESPACE}.svc.cluster.local'
DISCOVERY = {'issuer': f'https://{PROVIDER}', 'response_types_supported': ['code'], 'subject_types_supported': ['public'],
             'id_token_signing_alg_values_supported': ['ES256'], 'code_challenge_methods_supported': ['S256'],
             'token_endpoint_auth_methods_supported': ['client_secret_basic', 'none'],
             **{name: f'https://{PROVIDER}/{name}' for name in ('authorization_endpoint', 'token_endpoint', 'jwks_uri')}}
KEYS = {'keys': [{'kty': 'EC', 'crv': 'P-256', 'alg': 'ES256', 'use': 'sig', 'x': 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
                  'y': 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0'}]}


def document(name, path, content):
    return (f'    - {{name: {name}, matches: [{{path: {{type: Exact, value: {path}}}}}], filters: [{{type: DirectResponse, directResponse: '
            f'{{statusCode: 200, contentType: application/json, body: {json.dumps(json.dumps(content))}}}}}]}}\n')


def provider():
    return (certs.secret('login', AUTHORITY.pair(PROVIDER), 'shop') + certs.config_map('login-ca', AUTHORITY, namespace='shop')
            + ROUTE.format(name='login', rules='  tls: {certificateRefs: [{name: login}]}\n  rules:\n'
                           + document('discovery', '/.well-known/openid-configuration', DISCOVERY)
                           + document('keys', '/jwks_uri', KEYS)).replace('login.example.com', PROVIDER))


# A login with a browser, which the version before does not know.
NEWER = ROUTE.format(name='members', rules='  rules:\n' + one_rule('all', 'catalog')) + f'''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {{name: members, namespace: shop}}
spec:
  targetRefs: [{{group: sluice.dev, kind: Route, name: members}}]
  methods: [{{name: browser, oidc: {{issuer: "https://{PROVIDER}", caRef: {{name: login-ca}}, clientID: shop}}}}]
'''


def follows(proxy):
    """(name, address, process) of the controller that this proxy follows."""
    for name, (address, process) in running('controller').items():
        told = cluster.run(os.path.join(sluice.BIN, 'sluicectl'), 'status', '--controller', name, '-n', NAMESPACE, '-o', 'json',
                           check=False, quiet=True)
        if any(p['name'] == proxy and p['follows'] for p in json.loads(told)['proxies']):
            return name, address, process
    raise AssertionError(f'{proxy} follows nobody')
