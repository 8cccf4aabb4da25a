# SPDX-License-Identifier: Apache-2.0
"""docs/runbook.md as tests see it: its sections and commands; a shop with a fault for each of them; and whether a
command says what the page promises.

A block ```sh is a command, for a cluster (`sh cluster`), one machine (`sh standalone`) or both (`sh`); `exit-1` behind that
is the exit code of a sluicectl that has found something. The block without a language that follows shows what is promised:
each of its lines must come, where … stands for anything, and numbers and ids may be others; statuses and codes may not."""
import http.server
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import certs
import sluice
import tokens
from sluice import eventually, must

PAGE = os.path.join(sluice.TOP, 'docs/runbook.md')
BLOCK = re.compile(r'^```([^\n]*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LOOSE = re.compile(r'…|\s+|(?<=-)[b-z\d]{8,10}-[b-z\d]{5}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|'
                   r'\b(?:\d+[dhms])+\b|\d[\d.:]*(?:e[-+]\d+)?')
FIXED = re.compile(r'("status":|code="|HTTP/1.1 |answers )$')


# ---- the page ----

class Command:
    def __init__(self, words, text):
        self.text, self.promise = text, ''
        self.where = [w for w in words if w in ('cluster', 'standalone')] or ['cluster', 'standalone']
        self.code = 1 if 'exit-1' in words else 0


def page():
    with open(PAGE, encoding='utf-8') as f:
        return f.read()


def sections(text=None):
    """{heading: text}; headings of one level that follow each other without anything between have the same text."""
    found, waiting, level = {}, [], 0
    for part in re.split(r'^(?=#{1,6} )', mask(text or page()), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition('\n')
        marks, _, heading = heading.partition(' ')
        waiting = [*(waiting if len(marks) == level else []), heading.strip()]
        level = len(marks)
        if body.strip():
            found.update({h: unmask(body) for h in waiting})
            waiting = []
    return found


def mask(text):
    """Comments of shells are no headings."""
    return BLOCK.sub(lambda m: m[0].replace('\n#', '\n\0#'), text)


def unmask(text):
    return text.replace('\0', '')


def commands(text):
    made, fresh = [], []
    for words, body in BLOCK.findall(text):
        if words.split()[:1] == ['sh']:
            fresh.append(Command(words.split(), body))
            made.append(fresh[-1])
        elif not words:
            for command in fresh:
                command.promise = body
            fresh = []
    return made


def reasons():
    """{name: (origin, status)} of the table."""
    with open(os.path.join(sluice.TOP, 'proxy/http/reason.def'), encoding='utf-8') as f:
        return {name: (origin.lower(), int(status)) for name, origin, status in
                re.findall(r'^REASON\(\w+, "(\w+)", (\w+), (\d+),', f.read(), re.MULTILINE)}


def alerts():
    """Of the rules as they are by default, and what the chart has beside them."""
    found = set()
    for path, pattern in (('manifests/alerts.yaml', r'- alert: (\w+)'),
                          ('charts/sluice/templates/_alerts.tpl', r'"name" "(\w+)"')):
        with open(os.path.join(sluice.TOP, path), encoding='utf-8') as f:
            found |= set(re.findall(pattern, f.read()))
    return found


def pattern_of(line):
    made, at = '', 0
    for m in LOOSE.finditer(line):
        made += re.escape(line[at:m.start()])
        at = m.end()
        if m[0] == '…':
            made += '.*'
        elif m[0].isspace():
            made += r'\s+'
        elif FIXED.search(line[:m.start()]):
            made += re.escape(m[0])
        else:
            made += r'[\w.:+-]+'
    return made + re.escape(line[at:])


def kept(promise, output):
    """The lines of the promise that did not come."""
    lines = output.splitlines()
    return [p for p in promise.splitlines() if p.strip()
            and not any(re.search(pattern_of(p.strip()), line) for line in lines)]


# ---- a shop ----

class Bad(threading.Thread):
    """A backend that does what the first segment of the path says."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.listening = socket.create_server((host, sluice.port()), backlog=64)
        self.port = self.listening.getsockname()[1]
        self.start()

    def run(self):
        while True:
            s, _ = self.listening.accept()
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    @staticmethod
    def serve(s):
        head = b''
        while b'\r\n\r\n' not in head:
            piece = s.recv(65536)
            if not piece:
                return
            head += piece
        word = head.split(b' ')[1].split(b'/')[1]
        answer = {b'garbage': b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
                  b'wide': b'HTTP/1.1 200 OK\r\nx-report: ' + b'x' * 200000 + b'\r\n\r\n',
                  b'broken': b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'}.get(word, b'')
        s.sendall(answer)
        if answer:
            s.settimeout(0.2)
            try:
                s.recv(65536)
            except OSError:
                pass
        s.close()


class Full:
    """It listens, and never accepts: what is more than its queue gets no answer."""

    def __init__(self, host):
        self.listening = socket.create_server((host, sluice.port()), backlog=1)
        self.port = self.listening.getsockname()[1]
        self.held = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((host, self.port))
            self.held.append(s)


class Issuer(tokens.Issuer):
    """Its keys can be read as long as it is alive."""

    def __init__(self, host, authority):
        super().__init__(f'https://{host}:{sluice.port()}')
        issuer, self.alive = self, True

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = tokens.key_set(issuer).encode()
                self.send_response(200 if issuer.alive else 503)
                self.send_header('content-length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        serve(Handler, host, int(self.name.rpartition(':')[2]), authority.pair('issuer', addresses=[host]))


def serve(handler, host, port, pair):
    server = http.server.ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.crt, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def rule(service, match='PathPrefix', more=''):
    return (f'    - {{name: {service}, matches: [{{path: {{type: {match}, value: /{service}}}}}], '
            f'backendRefs: [{{name: {service}, port: 80}}]{more}}}\n')


REWRITE = ', filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /%s}}}]'
CONFIG = '''---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: sluice}
spec:
  limits: {headerTimeout: 300ms}
  auth: {allowedPrivateCIDRs: [HOST/32]}
  listeners:
    - {name: http, port: 80, protocol: HTTP}
    - {name: https, port: 443, protocol: HTTPS}
    - {name: db, port: 5432, protocol: TCP, backendRef: {namespace: shop, name: catalog, port: 80}}
'''
CLASS = sluice.CLASS.replace('spec: {', '''spec:
  parameters: {apiGroup: sluice.dev, kind: GatewayConfig, name: sluice}
  ''').replace('ingress-controller}', 'ingress-controller')
ROUTES = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: shop, namespace: shop, labels: {sluice.dev/team: storefront}}
spec:
  ingressClassName: sluice
  hostnames: [shop.example.com]
  rules:
''' + ''.join((
    rule('catalog'), rule('cart'), rule('stock'), rule('gone'), rule('pay'), rule('export', more=REWRITE % 'wide'),
    rule('legacy', more=', timeouts: {connect: 200ms}'),
    rule('search', more=', timeouts: {request: 300ms}' + REWRITE % 'hang'),
    rule('orders', more=REWRITE % 'nothing'), rule('users', more=REWRITE % 'reset'),
    rule('reports', more=REWRITE % 'garbage'), rule('tickets', more=REWRITE % 'delay/700'), rule('upload'),
    rule('slow', more=REWRITE % 'delay/400'),
    rule('broken', more=REWRITE % 'broken'),
    rule('hot').replace('backendRefs: [{name: hot, port: 80}]', 'backendRefs: [{name: catalog, port: 80}]'),
    rule('moved').replace('backendRefs: [{name: moved, port: 80}]', 'filters: [{type: RequestRedirect, requestRedirect: '
                          '{hostname: www.example.com}}]'))) + '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: secure, namespace: shop}
spec:
  ingressClassName: sluice
  hostnames: [secure.example.com]
  tls: {certificateRefs: [{name: secure}]}
  rules: [{name: all, backendRefs: [{name: catalog, port: 80}]}]
'''
WHO = '''---
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: HOST, namespace: shop}
spec:
  ingressClassName: sluice
  hostnames: [HOST.example.com]
  rules: [{name: all, backendRefs: [{name: catalog, port: 80}]}]
---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: HOST, namespace: shop}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: HOST}]
  METHODS
'''
KEY = 'acme-key-of-this-year'
POLICIES = '''---
apiVersion: sluice.dev/v1alpha1
kind: Consumer
metadata: {name: acme, namespace: shop}
spec:
  credentials: [{apiKey: {secretRef: {name: acme-keys}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: acme-keys, namespace: shop, labels: {sluice.dev/credential: "true"}}
data: {new: YWNtZS1rZXktb2YtdGhpcy15ZWFy}
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop-hot, namespace: shop}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop, sectionName: hot}]
  rateLimits: [{name: per-address, keys: [{by: address}], requests: 1, per: 1h}]
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop-upload, namespace: shop}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop, sectionName: upload}]
  bodyLimit: 1Ki
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: tickets, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: tickets}]
  connection: {maxConnections: 1, maxPending: 1}
---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: pay, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: pay}]
  connection: {tls: {caRefs: [{name: pay-ca}]}}
''' + ''.join(WHO.replace('HOST', host).replace('METHODS', methods) for host, methods in (
    ('api', 'methods: [{name: keys, apiKey: {}}]\n'
            '  authorize: [{name: no-admins, action: Deny, paths: [{type: PathPrefix, value: /admin}]}, '
            '{name: all, action: Allow}]'),
    ('token', 'methods: [{name: idp, jwt: {issuer: "ISSUER", algorithms: [RS256], '
              'jwks: {uri: "ISSUER/keys", caRef: {name: pay-ca}, maxStale: 3s}}}]'),
    ('session', 'methods: [{name: session, external: {backendRef: {name: sessions, port: 80}, path: /status/503}}]'),
    ('waiting', 'methods: [{name: session, external: {backendRef: {name: sessions, port: 80}, path: /hang, timeout: 200ms}}]'),
    ('closed', 'methods: [{name: idp, jwt: {issuer: "https://idp.example.com", algorithms: [RS256], '
               'jwks: {configMapRef: {name: idp-keys}}}}]')))


class Shop:
    """What both worlds share: backends at `host`, and the texts that say what is served."""

    def __init__(self, host='127.0.0.1'):
        self.host = host
        self.good, self.bad, self.full = sluice.Origin('catalog', host=host), Bad(host), Full(host)
        self.authority = certs.Authority()
        self.issuer = Issuer(host, self.authority)
        self.stranger, dead = sluice.port(), sluice.port()
        serve(http.server.SimpleHTTPRequestHandler, host, self.stranger, certs.Authority().pair('pay', addresses=[host]))
        ports = {'cart': [dead], 'stock': [], 'legacy': [self.full.port], 'pay': [self.stranger],
                 'orders': [self.bad.port], 'reports': [self.bad.port], 'export': [self.bad.port], 'broken': [self.bad.port],
                 **{name: [self.good.port] for name in ('catalog', 'search', 'users', 'tickets', 'upload', 'sessions', 'slow')}}
        self.backends = ''.join(sluice.backend(name, *at, namespace='shop') for name, at in ports.items())
        self.backends = self.backends.replace('[127.0.0.1]', f'[{host}]')
        self.texts = [CLASS + CONFIG.replace('HOST', host), self.backends, ROUTES, POLICIES.replace('ISSUER', self.issuer.name),
                      certs.secret('secure', self.authority.pair('secure.example.com'), namespace='shop'),
                      certs.config_map('pay-ca', self.authority, namespace='shop')]


class Gateway(certs.Gateway):
    """Ports of its own for all listeners, and a log that is a file."""

    def __init__(self, *words, **how):
        self.tcp = sluice.port()
        super().__init__(*words, **how)
        self.access_log = os.path.join(self.folder, 'access.log')

    def start_proxy(self, **how):
        super().start_proxy(**how)
        link = os.path.join(self.folder, 'proxy.log')
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(self.proxy.log, link)

    def proxy_command(self):
        command = super().proxy_command()
        command[command.index('--ports') + 1] += f',5432={self.tcp}'
        return command


# ---- faults ----

def raw(port, data, wait=True, seconds=3):
    with socket.create_connection(('127.0.0.1', port), seconds) as s:
        s.sendall(data)
        try:
            return s.recv(65536) if wait else b''
        except OSError:
            return b''


def asks(path, host='shop.example.com', n=1, **how):
    def fault(gw, _shop):
        for _ in range(n):
            sluice.get(gw.port, path, host, **how)
    return fault


def many(path, n):
    """At once."""
    def fault(gw, _shop):
        all_of_them = [threading.Thread(target=lambda: sluice.get(gw.port, path, 'shop.example.com')) for _ in range(n)]
        for one in all_of_them:
            one.start()
        for one in all_of_them:
            one.join()
    return fault


def leaves(gw, _shop):
    with socket.create_connection(('127.0.0.1', gw.port), 3) as s:
        s.sendall(b'GET /slow HTTP/1.1\r\nHost: shop.example.com\r\n\r\n')
        time.sleep(0.1)


def other_host(gw, shop):
    certs.get(gw, shop.authority, 'secure.example.com', host='shop.example.com')


def too_late(gw, _shop):
    with socket.create_connection(('127.0.0.1', gw.port), 3) as s:
        s.sendall(b'GET /catalog HTTP/1.1\r\nHost: shop.exa')
        s.recv(65536)


def drains(gw, _shop):
    """A connection that stays longer than a proxy that ends may wait; then it is started again."""
    with socket.create_connection(('127.0.0.1', gw.tcp), 3) as s:
        s.sendall(b'GET /hang HTTP/1.1\r\nHost: x\r\n\r\n')
        eventually(lambda: gw.metrics()['sluice_connections{kind="upstream"}'] > 0, 'it is passed on')
        gw.proxy.stop()
    gw.start_proxy()
    gw.wait_ready()


def no_keys(gw, shop):
    """They have been read once, then nobody says that they are still good. The proxy must notice by itself."""
    def ask():
        return sluice.get(gw.port, '/', 'token.example.com', headers={'Authorization': 'Bearer ' + shop.issuer.say()})[0]
    eventually(lambda: ask() == 200, 'its keys are read')
    shop.issuer.alive = False
    gw.controller.kill()
    eventually(lambda: ask() == 503, 'they are too old', 40, 0.1)
    gw.start_controller()
    eventually(lambda: 'keys cannot be read' in gw.controller.output() or 'it answers 503' in gw.controller.output(), 'it is said')


FAULTS = {
    'bad_request': lambda gw, _: raw(gw.port, b'GET /catalog HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: +5\r\n\r\n'),
    'header_too_large': asks('/catalog', headers={'x-big': 'x' * 40000}),
    'body_too_large': asks('/upload', method='POST', body=b'x' * 2000),
    'client_timeout': too_late,
    'client_closed': leaves,
    'unauthenticated': asks('/', 'api.example.com'),
    'forbidden': asks('/admin', 'api.example.com', headers={'x-api-key': KEY}),
    'rate_limited': asks('/hot', n=3),
    'no_route': asks('/', 'shpo.example.com'),
    'method_not_allowed': asks('/catalog', method='TRACE'),
    'misdirected': other_host,
    'ambiguous_path': asks('/catalog/..%2fadmin'),
    'no_backend': asks('/gone'),
    'overloaded': many('/tickets', 5),
    'draining': drains,
    'internal': asks('/moved/' + 'y' * 6000),
    'policy_unavailable': asks('/', 'closed.example.com'),
    'auth_service_failed': asks('/', 'session.example.com'),
    'auth_service_timeout': asks('/', 'waiting.example.com'),
    'keys_unavailable': no_keys,
    'no_endpoint': asks('/stock'),
    'connect_refused': asks('/cart'),
    'connect_timeout': asks('/legacy'),
    'tls_failed': asks('/pay'),
    'upstream_timeout': asks('/search'),
    'upstream_closed': asks('/orders'),
    'upstream_reset': asks('/users'),
    'bad_response': asks('/reports'),
    'response_too_large': asks('/export'),
}


def stands_still(gw, _shop):
    """A proxy that takes nothing any more, and a change that waits for it."""
    def shown(state):
        return f'sluice_controller_proxies{{state="{state}"}} 1' in sluice.get(gw.controller_telemetry, '/metrics')[1]
    eventually(lambda: shown('current'), 'the proxy has found the controller again', 20, 0.1)
    gw.proxy.signal(signal.SIGSTOP)
    gw.changes()
    eventually(lambda: shown('behind'), 'it is behind', 40, 0.1)
    return lambda: gw.proxy.signal(signal.SIGCONT)


def pinned(gw, _shop):
    """To what serves."""
    there = ['--controller', f'127.0.0.1:{gw.controller_admin}']
    program = os.path.join(sluice.BIN, 'sluicectl')

    def ctl(*words):
        done = subprocess.run([program, *words, *there], env=dict(os.environ, **gw.environment), capture_output=True, text=True,
                              check=False)
        must(done.returncode == 0, f'{words}: {done.stderr}')
        return done.stdout
    newest = json.loads(ctl('history', '-o', 'json'))['revisions'][0]['revision']
    ctl('rollback', newest, '--yes', '--reason', 'we look first')
    return lambda: ctl('resume', '--yes')


def no_controller(gw, _shop):
    gw.controller.kill()
    eventually(lambda: 'cannot connect' in gw.proxy.output(), 'the proxy says so', 20)
    return gw.start_controller


def with_id(gw, _shop):
    sluice.get(gw.port, '/cart', 'shop.example.com', headers={'traceparent': f'00-{ID}-00f067aa0ba902b7-01', 'x-request-id': ID})


def several(*faults):
    def fault(gw, shop):
        for one in faults:
            one(gw, shop)
    return fault


ID = '0af7651916cd43dd8448eb211c80319c'
# Of the sections that are no reason's: what goes before their command. What is returned puts it right.
BEFORE = {
    'Where to look': asks('/stock'),
    '502, 503, 504': several(asks('/cart', n=4), asks('/stock'), asks('/broken')),
    'Slow': asks('/slow'),
    'One customer': with_id,
    'SluiceGatewayErrorsFast': FAULTS['no_backend'],
    'SluiceAuthErrorsFast': FAULTS['auth_service_failed'],
    'SluiceUpstreamErrorsFast': FAULTS['connect_refused'],
    'SluiceBackendErrors': asks('/broken'),
    'SluiceNoReadyEndpoint': FAULTS['no_endpoint'],
    'SluiceGatewaySlow': asks('/catalog'),
    'SluiceUpstreamSlow': asks('/slow'),
    'SluiceProxyBehind': stands_still,
    'SluicePinned': pinned,
    'SluiceControllerUnreachable': no_controller,
    'SluiceWorkersBusy': asks('/catalog', n=20),
    'SluiceOverloaded': FAULTS['overloaded'],
    'SluiceCostUp': asks('/catalog', n=20),
}


def happens(gw, shop, reason):
    """The fault, until the log says so."""
    FAULTS[reason](gw, shop)
    path = gw.access_log

    def logged():
        with open(path, encoding='utf-8') as f:
            return re.findall(rf'.*"reason":"{reason}".*', f.read())
    return eventually(logged, f'{reason} in the log')[-1]


# ---- running ----

def path_with(folder, gw, kubectl=None):
    """A PATH on which sluicectl asks this gateway, whatever its ports, unless it is told whom to ask."""
    there = os.path.join(folder, 'bin')
    os.makedirs(there, exist_ok=True)
    script = f'''#!/bin/sh
case " $* " in
*' -f '* | *' --proxy '* | *' --controller '*) exec {sluice.BIN}/sluicectl "$@" ;;
esac
case "$1" in
status | history) exec {sluice.BIN}/sluicectl "$@" --controller 127.0.0.1:{gw.controller_admin} ;;
routes | explain) exec {sluice.BIN}/sluicectl "$@" --proxy 127.0.0.1:{gw.admin} ;;
*) exec {sluice.BIN}/sluicectl "$@" ;;
esac
'''
    with open(os.path.join(there, 'sluicectl'), 'w', encoding='utf-8') as f:
        f.write(script)
    os.chmod(f.name, 0o755)
    if kubectl and not os.path.exists(os.path.join(there, 'kubectl')):
        os.symlink(kubectl, os.path.join(there, 'kubectl'))
    return there + ':' + os.environ['PATH']


def own_ports(text, gw):
    for known, own in (('7501', gw.telemetry), ('7502', gw.admin), ('7401', gw.controller_telemetry),
                       ('7402', gw.controller_admin), ('8080', gw.port)):
        text = re.sub(rf':{known}\b', f':{own}', text)
    return text


def run(command, gw, **environment):
    """AssertionError unless it ends as it should and says what was promised; what it has said."""
    done = subprocess.run(['bash', '-c', own_ports(command.text, gw)], cwd=gw.folder, capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, NO_COLOR='1', **environment))
    must(done.returncode == command.code, f'exit code {done.returncode}: {command.text}{done.stdout}{done.stderr}')
    missing = kept(command.promise, done.stdout)
    must(not missing, f'{command.text}did not say\n' + '\n'.join(missing) + f'\nbut\n{done.stdout}')
    if '-v' in sys.argv:
        print(f'$ {command.text}{done.stdout}', flush=True)
    return done.stdout


def tried(cases, gw, shop, where, **environment):
    """Each section's fault, then its commands for that place, one case for each; how many commands there were."""
    known, n, done = reasons(), 0, set()
    gw.environment = environment
    for heading, text in sections().items():
        here = [c for c in commands(text) if where in c.where]
        if not here or text in done:
            continue
        done.add(text)
        n += len(here)

        def check(heading=heading, here=here):
            if heading in known:
                happens(gw, shop, heading)
            mend = BEFORE.get(heading, lambda *_: None)(gw, shop)
            try:
                for command in here:
                    eventually_says(command, gw, **environment)
            finally:
                if mend:
                    mend()
        cases.case(heading, check)
    return n


def eventually_says(command, gw, **environment):
    """What is counted and logged is there a moment after the answer."""
    end = time.monotonic() + 10
    while True:
        try:
            return run(command, gw, **environment)
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
