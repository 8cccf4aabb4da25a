# SPDX-License-Identifier: Apache-2.0
"""Measures Sluice on a Route and compares with tests/budget.json. "recorded" is the figure that was
measured when it was last accepted; SLUICE_RECORD=1 writes a new one."""
import contextlib
import http.server
import importlib.machinery
import importlib.util
import json
import os
import socket
import sys
import tempfile
import threading

import certs
import nginx
import signers
import sluice
import tokens

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = os.path.join(sluice.TOP, 'tests/budget.json')
ROUTE = '''
apiVersion: sluice.dev/v1alpha1
kind: Route
metadata: {name: shop, namespace: default}
spec:
  hostnames: [shop.example.com]
  rules:
    - name: everything
      matches:
        - path: {type: PathPrefix, value: /shop}
      backendRefs: [{name: origin, port: 80}]
'''


def load_measure():
    loader = importlib.machinery.SourceFileLoader('measure', os.path.join(HERE, 'measure'))
    spec = importlib.util.spec_from_loader('measure', loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


SECURE = ROUTE.replace('  rules:', '  tls: {certificateRefs: [{name: shop}]}\n  rules:')


POLICY = '''---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: origin, namespace: default}
spec:
  targetRefs: [{kind: Service, name: origin}]
  connection: {tls: {caRefs: [{name: ca}]}}
'''
AUTH = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: workforce, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods:
    - name: workforce
      jwt: {issuer: https://idp.example.com, audiences: [shop], algorithms: [RS256], jwks: {configMapRef: {name: idp}}}
  authorize:
    - {name: readers, action: Allow, methods: [GET], scopes: [catalog.read]}
    - {name: admins, action: Allow, claims: [{path: [realm_access, roles], values: [admin]}]}
  identity: {headers: [{name: x-user-id, from: sub}]}
'''
OWN = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: partners, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods:
    - METHOD
  identity: {headers: [{name: x-consumer, from: consumer}]}
---
apiVersion: sluice.dev/v1alpha1
kind: Consumer
metadata: {name: acme, namespace: default}
spec:
  credentials:
    - {hmac: {secretRef: {name: acme}}}
    - {jwt: {key: acme, algorithm: HS256, secretRef: {name: acme}}}
'''
PASSWORDS = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: staff, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods: [{name: staff, basic: {secretRef: {name: staff}}}]
  identity: {headers: [{name: x-user-id, from: sub}]}
'''
LIMITS = '''---
apiVersion: sluice.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: limits, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  rateLimits: [{name: per-address, keys: [{by: address}], requests: 10000000, per: 1s}]
'''
CA = certs.Authority()
CLASS = sluice.CLASS.replace('spec: {', '''spec:
  parameters: {apiGroup: sluice.dev, kind: GatewayConfig, name: sluice}
  ''').replace('ingress-controller}', 'ingress-controller')
ASKING = '''---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: sluice}
spec:
  listeners:
    - name: https
      port: 443
      protocol: HTTPS
      tls: {clientValidation: {mode: Optional, caRefs: [{name: ca, namespace: default}]}}
'''
DEVICES = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: devices, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods:
    - name: devices
      clientCertificate:
        caRefs: [{name: ca}]
        subjectAltNames: [{type: URI, uri: "spiffe://example.com/ns/shop/*"}]
  authorize:
    - {name: readers, action: Allow, methods: [GET], authMethods: [devices]}
  identity: {headers: [{name: x-user-id, from: sub}]}
'''


def caller():
    """(what a gateway needs to know of an issuer, the header with its token of 800 bytes)"""
    issuer = tokens.Issuer()
    token = issuer.say('248289761001', aud='shop', scope='openid profile catalog.read catalog.write',
                       realm_access={'roles': ['viewer', 'editor']}, email='joe@example.com', jti='7' * 36)
    assert 750 <= len(token) <= 850, len(token)
    return AUTH + tokens.config_map('idp', 'jwks.json', tokens.key_set(issuer)), \
        {'Authorization': f'Bearer {token}'}


def signer(by):
    """The same of a Consumer with a secret. by: hmac, which signs the request, or hs256, a token."""
    secret = 'k' * 32
    if by == 'hmac':
        method = '{name: signed, hmac: {clockSkew: 24h}}'
        headers = signers.message('acme', secret, '/shop/list?page=2')
    else:
        method = '{name: token, jwt: {issuer: acme, audiences: [shop], algorithms: [HS256], consumers: {}}}'
        token = tokens.Issuer('acme').say('joe', key=secret, algorithm='HS256', aud='shop', life=86400)
        headers = {'Authorization': f'Bearer {token}'}
    return OWN.replace('METHOD', method) + tokens.secret('acme', {'secret': secret}), headers


def visitor():
    """The same with a user name and password."""
    return PASSWORDS + tokens.secret('staff', {'auth': 'bob:$2y$05$wPGCwkkR0sxNni0LbOFOYe78LqqwzV9LTE9O3sQDthXHqsYBYBKR2\n'}), \
        {'Authorization': 'Basic Ym9iOlNlY3JldCE='}


ASKS = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: workforce, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods: [METHOD]
  authorize: [{name: all, action: Allow, methods: [GET]}]
'''
SESSION = '''{name: session, external: {backendRef: {name: asked, port: 80}, path: /check, timeout: 10s,
      headersToBackend: [x-user], cache: {key: [{cookie: session}], ttl: 1h}}}'''
NAMED = SESSION.replace('headersToBackend', 'consumerHeader: x-who, headersToBackend') + '''
  identity: {headers: [{name: x-consumer, from: consumer}]}'''
OPAQUE = '''{name: opaque, introspection: {backendRef: {name: asked, port: 80}, clientID: gateway, clientSecretRef: {name: client},
      timeout: 10s, cacheTtl: 1h, audiences: [shop], requiredClaims: [{path: [tenant], values: [acme]}]}}
  identity: {headers: [{name: x-user-id, from: sub}]}'''

CONSUMER_NAMED = '''---
apiVersion: sluice.dev/v1alpha1
kind: Consumer
metadata: {name: acme, namespace: default}
spec: {groups: [partners]}
'''


@contextlib.contextmanager
def asked(method):
    """(policies, the header) of a service that is asked once; what it says of the caller is remembered."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def answer(self):
            self.rfile.read(int(self.headers.get('content-length') or 0))
            text = b'{"active":true,"sub":"248289761001","aud":["shop"],"tenant":"acme","scope":"catalog.read"}'
            self.send_response(200)
            self.send_header('x-user', '248289761001')
            self.send_header('x-who', 'acme')
            self.send_header('content-length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', sluice.port()), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    header = {'Authorization': 'Bearer ' + 'x' * 40} if method == OPAQUE else {'Cookie': 'session=' + 'x' * 40}
    yield (ASKS.replace('[METHOD]', '\n    - ' + method) + sluice.backend('asked', server.server_address[1]) +
           (CONSUMER_NAMED if method == NAMED else '') + tokens.secret('client', {'client-secret': 'password'})), header
    server.shutdown()


@contextlib.contextmanager
def backend_of(h2c, upstream):
    """An origin; h2c: nghttpd, whose answer is an empty file."""
    if upstream:
        with nginx.Server(CA.pair('origin.default.svc'), body='') as origin:
            yield origin
        return
    if not h2c:
        with sluice.Origin('origin', '--body', '0') as origin:
            yield origin
        return
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, 'shop'))
        open(os.path.join(folder, 'shop/list'), 'wb').close()
        number = sluice.port()
        with sluice.Program('nghttpd', ['nghttpd', '--no-tls', '-d', folder, str(number)]) as server:
            server.port = number
            sluice.eventually(lambda: socket.create_connection(('127.0.0.1', number)).close() is None,
                              'nghttpd listens')
            yield server


def gateway_of(origin, tls, upstream, h2c, policies=''):
    if policies:
        return sluice.Gateway(ROUTE + policies, origin=origin)
    if upstream:
        return sluice.Gateway(ROUTE + POLICY + certs.config_map('ca', CA), origin=origin)
    if h2c:
        return sluice.Gateway(ROUTE + sluice.backend('origin', origin.port).replace(
            'port: 80}]\n---', 'port: 80, appProtocol: kubernetes.io/h2c}]\n---'))
    if not tls:
        return sluice.Gateway(ROUTE, origin=origin)
    pair = certs.Authority().pair('shop.example.com')
    return certs.Gateway(SECURE + certs.secret('shop', pair), origin=origin)


def asking_gateway(origin, policies):
    """One that asks clients for certificates of CA."""
    gateway = certs.Gateway(SECURE + certs.secret('shop', CA.pair('shop.example.com')) + certs.config_map('ca', CA)
                            + ASKING + policies, start=False, origin=origin)
    gateway.write('class.yaml', CLASS)
    gateway.start_controller()
    gateway.start_proxy()
    gateway.wait_ready()
    keys_are_made(gateway)
    return gateway


def keys_are_made(gateway):
    """Those of internal tokens come a second after the first proxy: what is pushed would be counted."""
    sluice.eventually(lambda: gateway.metrics().get('sluice_config_objects{kind="signing_keys"}') == 1, 'all keys are made')


def judge(label, figure, words, detail=''):
    """Prints the figure, and ends the test if it is more than its budget allows."""
    with open(BUDGET, encoding='utf-8') as f:
        budgets = json.load(f)
    budget = budgets[label]
    print(f'{label}: {figure:.5g} {words} (at most {budget["at_most"]:g}'
          + (f', recorded {budget["recorded"]:g}' if budget.get('recorded') else '') + ')', detail)
    if os.environ.get('SLUICE_RECORD') == '1' and 'recorded' in budget:
        budget['recorded'] = round(figure)
        with open(BUDGET, 'w', encoding='utf-8') as f:
            rows = [f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in budgets.items()]
            f.write('{\n' + ',\n'.join(rows) + '\n}\n')
    if figure > budget['at_most']:
        sys.exit(f'{figure:.5g} is more than the {budget["at_most"]:g} that are allowed')
    recorded = budget.get('recorded')
    if recorded and figure > recorded * (1 + budget['drift']):
        sys.exit(f'{figure:.5g} is more than {budget["drift"]:.0%} above the recorded {recorded:g}')


def figure_of(what, streams=0, tls=False, upstream=False, h2c=False, policies='', headers=None, **how):
    """(the figure, detail)"""
    measure = load_measure()
    with backend_of(h2c, upstream) as origin, gateway_of(origin, tls, upstream, h2c, policies) as gateway:
        number = gateway.https if tls else gateway.port
        # A push would be counted, and the controller makes these a second after the first proxy came.
        keys_are_made(gateway)
        # Its state file lets the proxy under strace or valgrind start as it would anywhere.
        gateway.proxy.stop()
        subject = measure.Subject(gateway.proxy_command(), number, 'shop.example.com',
                                  '/shop/list?page=2', streams, tls, upstream, headers)
        return measure.WHAT[what](subject, **how)


def figure_of_shown(what, policies=''):
    """(the figure, detail) of requests on connections that have shown a certificate."""
    measure = load_measure()
    pair = CA.pair('one.devices.example.com', uris=['spiffe://example.com/ns/shop/one'])
    with backend_of(False, False) as origin, asking_gateway(origin, policies) as gateway:
        gateway.proxy.stop()
        subject = measure.Subject(gateway.proxy_command(), gateway.https, 'shop.example.com',
                                  '/shop/list?page=2', tls=True, pair=pair)
        return measure.WHAT[what](subject)


def check_certificate(what, unit):
    """What a policy adds to a request whose connection has shown a certificate that was judged before:
    auth-certificate-WHAT."""
    figure, detail = figure_of_shown(what, DEVICES)
    judge(f'auth-certificate-{what}', figure - figure_of_shown(what)[0], unit, detail)


def check(what, unit, streams=0, tls=False, upstream=False, h2c=False, **how):
    """streams: of HTTP/2 on each connection; its budget is called h2-WHAT, over TLS tls-WHAT, with
    TLS to the upstream alone upstream-tls-WHAT, with HTTP/2 to it
    h2c-WHAT."""
    label = ('upstream-tls-' if upstream else 'tls-' if tls else 'h2c-' if h2c else '') + (f'h2-{what}' if streams else what)
    figure, detail = figure_of(what, streams, tls, upstream, h2c, **how)
    judge(label, figure, unit, detail)


def check_asked(label, what, unit, beside=False):
    """The same for a request whose answer by a service is known: external-WHAT, external-named-WHAT, introspection-WHAT."""
    with asked({'introspection': OPAQUE, 'external-named': NAMED}.get(label, SESSION)) as (policies, headers):
        figure, detail = figure_of(what, policies=policies, headers=headers)
    if beside:
        figure -= figure_of(what, headers=headers)[0]
    judge(f'{label}-{what}', figure, unit, detail)


def check_token(what, unit, beside=False, of=caller, label='auth'):
    """The same for a request with a JSON Web Token that was seen before: auth-WHAT. beside: what is
    more than without a policy, with the same bytes in the request."""
    policies, headers = of()
    figure, detail = figure_of(what, policies=policies, headers=headers)
    if beside:
        figure -= figure_of(what, headers=headers)[0]
    judge(f'{label}-{what}', figure, unit, detail)


def check_signed(what, unit, by, **how):
    """Likewise, signed with a Consumer's secret: hmac-WHAT or hs256-WHAT."""
    check_token(what, unit, of=lambda: signer(by), label=by, **how)


def check_password(what, unit, beside=False):
    """For one with a password that was verified before: basic-WHAT."""
    check_token(what, unit, beside, of=visitor, label='basic')


TRACING = '''---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: sluice}
spec: {tracing: {backendRef: {name: collector, namespace: default, port: 80}, percent: 1}}
'''


@contextlib.contextmanager
def collector():
    """It takes all spans, and looks at none; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def do_POST(self):
            self.rfile.read(int(self.headers['content-length']))
            self.send_response(200)
            self.send_header('content-length', '0')
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', sluice.port()), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def check_everything(what, unit, off=None, **how):
    """What the access log, to a file, and spans of one in a hundred requests add to one, with all that other
    threads do for them: everything-on-WHAT. off: what it costs without; None: it is measured."""
    measure = load_measure()
    with backend_of(False, False) as origin, collector() as port, tempfile.TemporaryDirectory() as folder, sluice.Gateway(
            ROUTE + TRACING, access_log=os.path.join(folder, 'log'), start=False, origin=origin, collector=port) as gateway:
        gateway.write('class.yaml', CLASS)
        gateway.start_controller()
        gateway.start_proxy()
        gateway.wait_ready()
        keys_are_made(gateway)
        gateway.proxy.stop()
        subject = measure.Subject(gateway.proxy_command(), gateway.port, 'shop.example.com', '/shop/list?page=2')
        figure, detail = measure.WHAT[what](subject, **how)
    judge(f'everything-on-{what}', figure - (off or figure_of(what, **how)[0]), unit, detail)


def check_limits(what, unit, beside=False):
    """The same for a request that is counted by its address, and allowed: limits-WHAT."""
    figure, detail = figure_of(what, policies=LIMITS)
    if beside:
        figure -= figure_of(what)[0]
    judge(f'limits-{what}', figure, unit, detail)


def check_issued(what, unit, beside=False):
    """The same where the backend gets an internal token, that was signed before: auth-token-WHAT.
    beside: what is more than without one."""
    policies, headers = caller()
    issued = policies.replace('identity: {', 'identity: {token: {issue: {audience: shop, ttl: 1h}}, ')
    assert issued != policies
    figure, detail = figure_of(what, policies=issued, headers=headers)
    if beside:
        figure -= figure_of(what, policies=policies, headers=headers)[0]
    judge(f'auth-token-{what}', figure, unit, detail)
    judge(f'auth-{what}', figure, unit, detail)


LOGIN = '''---
apiVersion: sluice.dev/v1alpha1
kind: AuthPolicy
metadata: {name: people, namespace: default}
spec:
  targetRefs: [{group: sluice.dev, kind: Route, name: shop}]
  methods:
    - name: browser
      oidc: {issuer: "%s", clientID: shop, clientSecretRef: {name: client}, caRef: {name: ca}, scopes: [profile, email]}
  authorize: [{name: all, action: Allow, authMethods: [browser]}]
  identity: {headers: [{name: x-user-id, from: sub}]}
---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {name: sluice}
spec:
  auth: {allowedPrivateCIDRs: [127.0.0.0/8]}
  listeners:
    - {name: http, port: 80, protocol: HTTP}
    - {name: https, port: 443, protocol: HTTPS}
'''


def check_login(what, unit):
    """What a policy adds to a request over TLS whose session was seen before, with the same bytes in the request:
    oidc-WHAT."""
    import idp
    measure, host = load_measure(), 'shop.example.com'
    authority = certs.Authority()
    with backend_of(False, False) as origin, certs.Gateway('', origin=origin, start=False) as gateway:
        base = f'https://{host}:{gateway.https}'
        provider = idp.Provider(authority, base + '/oauth2/callback', base + '/bye')
        gateway.write('class.yaml', CLASS)
        gateway.write('routes.yaml', SECURE.replace('value: /shop', 'value: /') + LOGIN % provider.issuer
                      + certs.config_map('ca', authority) + certs.secret('shop', authority.pair(host))
                      + tokens.secret('client', {'client-secret': 's3cret'}))
        gateway.start_controller()
        gateway.start_proxy()
        gateway.wait_ready()
        browser = idp.Browser(authority.context(), {})
        sluice.eventually(lambda: browser.ask(base + '/shop/list').status == 302, 'keys and discovery', 20)
        answer = browser.log_in(base + '/shop/list')
        assert answer.status == 200, answer.status
        sluice.eventually(lambda: gateway.get('/.well-known/sluice/jwks.json')[0] == 200, 'all keys are made')
        headers = {'Cookie': '; '.join(f'{name}={value}' for (h, name), (value, _) in browser.cookies.items()
                                       if h == host and 'tries' not in name and 'login' not in name)}
        gateway.proxy.stop()
        subject = measure.Subject(gateway.proxy_command(), gateway.https, host, '/shop/list?page=2', 0, True, False,
                                  headers)
        figure, detail = measure.WHAT[what](subject)
    judge(f'oidc-{what}', figure - figure_of(what, tls=True, headers=headers)[0], unit, detail)
