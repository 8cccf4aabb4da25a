# SPDX-License-Identifier: Apache-2.0
"""A real API server for tests: etcd and kube-apiserver on loopback ports of their own, and a
controller (and proxy) on it.

    with kube.Cluster() as cluster:
        cluster.apply(kube.CRDS, manifest)          # YAML; made, or replaced
        with kube.Gateway(cluster) as gateway: ...

The programs come from $KUBEBUILDER_ASSETS or from the cache that tests/cluster/build fills; without
them a test is skipped. Certificates are made by openssl in a folder that goes with the test.
"""
import base64
import concurrent.futures
import glob
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

import yaml

import sluice

CACHE = os.path.join(os.environ.get('SLUICE_CLUSTER_CACHE',
                                    os.path.expanduser('~/.cache/sluice-cluster')), 'bin')
NEEDED = ('etcd', 'kube-apiserver', 'kubectl')
LIBRARY = yaml.CSafeLoader if hasattr(yaml, 'CSafeLoader') else yaml.SafeLoader


def programs():
    """The folder of etcd, kube-apiserver and kubectl, or the test is skipped."""
    for folder in (os.environ.get('KUBEBUILDER_ASSETS'), CACHE):
        if folder and all(os.access(os.path.join(folder, n), os.X_OK) for n in NEEDED):
            return folder
    sluice.skip('no etcd and kube-apiserver: set KUBEBUILDER_ASSETS, or run tests/cluster/build')
    return None


# ---- certificates ----

class Authority:
    """A CA, and what it signs, as files of a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = os.path.join(folder, 'ca.crt')
        self._openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                      '-nodes', '-days', '30', '-subj', '/CN=test', '-keyout', self.path('ca.key'),
                      '-out', self.ca)

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *words):
        done = subprocess.run(['openssl', *words], capture_output=True, cwd=self.folder, check=False)
        if done.returncode != 0:
            raise AssertionError(f'openssl {words[0]}: {done.stderr.decode()}')

    def sign(self, name, subject, names=''):
        """(certificate, key) files."""
        key, request, made = (self.path(name + end) for end in ('.key', '.csr', '.crt'))
        extra = ['-addext', f'subjectAltName={names}'] if names else []
        self._openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                      '-nodes', '-subj', subject, '-addext',
                      'extendedKeyUsage=serverAuth,clientAuth', *extra, '-keyout', key, '-out',
                      request)
        self._openssl('x509', '-req', '-copy_extensions', 'copyall', '-days', '30', '-in', request,
                      '-CA', self.ca, '-CAkey', self.path('ca.key'), '-out', made)
        return made, key

    def key_pair(self, name):
        self._openssl('genrsa', '-out', self.path(name), '2048')
        return self.path(name)


# ---- what is kept in it ----

def crd(plural, kind, scope='Namespaced', group='sluice.dev', version='v1alpha1'):
    """A CustomResourceDefinition that takes any fields."""
    return f'''---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {plural}.{group}
  annotations: {{api-approved.kubernetes.io: "unapproved, for a test"}}
spec:
  group: {group}
  scope: {scope}
  names: {{kind: {kind}, listKind: {kind}List, plural: {plural}, singular: {kind.lower()}}}
  versions:
    - name: {version}
      served: true
      storage: true
      subresources: {{status: {{}}}}
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
'''


def _ours():
    texts = []
    for path in sorted(glob.glob(os.path.join(sluice.TOP, 'crds/*.yaml'))):
        with open(path, encoding='utf-8') as f:
            texts.append(f.read())
    return '---\n'.join(texts)


CRDS = _ours()  # as `sluicectl crds` writes them
GRANT_CRD = crd('referencegrants', 'ReferenceGrant', group='gateway.networking.k8s.io',
                version='v1beta1')


def route(name, host, service, namespace='default', port=80, **more):
    return {'apiVersion': 'sluice.dev/v1alpha1', 'kind': 'Route',
            'metadata': {'name': name, 'namespace': namespace},
            'spec': {'ingressClassName': 'sluice', 'hostnames': [host],
                     'rules': [{'backendRefs': [{'name': service, 'port': port}]}], **more}}


def backend(name, *ports, at='127.0.0.1', namespace='default'):
    """A Service and its EndpointSlice, whose address is none of loopback: see address()."""
    return sluice.backend(name, *ports, namespace=namespace).replace('[127.0.0.1]', f'[{at}]')


class Api:
    """Requests of one user; a connection for each thread."""

    def __init__(self, server, ca, certificate=None, token=None):
        self.server, self.token = server, token
        self.context = ssl.create_default_context(cafile=ca)
        if certificate:
            self.context.load_cert_chain(*certificate)
        self.local = threading.local()

    def raw(self, method, path, body=None, kind='application/json', timeout=30):
        """(status, bytes)"""
        headers = {'Content-Type': kind, 'Accept': 'application/json'}
        if self.token:
            headers['Authorization'] = 'Bearer ' + self.token
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        for last in (False, True):
            connection = getattr(self.local, 'connection', None)
            fresh = connection is None
            if fresh:
                connection = http.client.HTTPSConnection(self.server, timeout=timeout,
                                                         context=self.context)
                self.local.connection = connection
            try:
                connection.request(method, path, body=data, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.local.connection = None
                if fresh or last:
                    raise
        return None

    def ask(self, method, path, body=None, **how):
        """The answer's JSON; AssertionError for what is not 2xx."""
        status, text = self.raw(method, path, body, **how)
        if not 200 <= status < 300:
            raise AssertionError(f'{method} {path}: {status} {text.decode()[:500]}')
        return json.loads(text) if text.startswith(b'{') else text.decode()

    def get(self, path):
        return self.ask('GET', path)

    def make(self, documents):
        """Many new ones, a few at once."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(self.ask, 'POST', path_of(d, ''), d) for d in documents]:
                done.result()

    def delete(self, path, missing_ok=False):
        status, text = self.raw('DELETE', path)
        if status >= 300 and not (missing_ok and status == 404):
            raise AssertionError(f'DELETE {path}: {status} {text.decode()[:500]}')

    def apply(self, *manifests):
        """Makes or replaces each document of YAML texts, or objects."""
        for manifest in manifests:
            documents = [manifest]
            if isinstance(manifest, str):
                documents = [d for d in yaml.load_all(manifest, LIBRARY) if d]
            for document in documents:
                self.apply_one(document)

    def apply_one(self, document):
        """By server-side apply, so that no resourceVersion is needed."""
        self.ask('PATCH', path_of(document) + '?fieldManager=test&force=true', document,
                 kind='application/apply-patch+yaml')


PLURALS = {'IngressClass': 'ingressclasses', 'Ingress': 'ingresses',
           'TrafficPolicy': 'trafficpolicies', 'AuthPolicy': 'authpolicies'}
OF_CLUSTER = ('IngressClass', 'GatewayConfig', 'Namespace', 'Node', 'CustomResourceDefinition',
              'ClusterRole', 'ClusterRoleBinding')


def path_of(document, name=None):
    api, kind, meta = document['apiVersion'], document['kind'], document['metadata']
    base = f'/apis/{api}' if '/' in api else f'/api/{api}'
    if kind not in OF_CLUSTER:
        base += f'/namespaces/{meta.get("namespace", "default")}'
    return f'{base}/{PLURALS.get(kind, kind.lower() + "s")}/{meta["name"] if name is None else name}'


class Server(sluice.Program):
    """A program whose many words are of no interest while it runs."""

    def output(self):
        text = super().output()
        lines = text.splitlines() if not self.alive() else re.findall(r'^[EF]\d.*', text, re.M)
        return '\n'.join(line[:300] for line in lines[-5:])


class Cluster(Api):
    """An API server whose user may do everything."""

    def __init__(self, *options, compaction='5m', crds=CRDS):
        sluice.need('sluice-controller', 'sluice-proxy')
        self.bin = programs()
        self.folder = tempfile.mkdtemp(prefix='sluice-kube-')
        self.authority = Authority(self.folder)
        self.port, self.etcd_port, peer = sluice.port(), sluice.port(), sluice.port()
        self.address = f'127.0.0.1:{self.port}'
        self.serving = self.authority.sign('apiserver', '/CN=kube-apiserver',
                                           'IP:127.0.0.1,DNS:localhost,DNS:kubernetes')
        self.admin = self.authority.sign('admin', '/O=system:masters/CN=admin')
        self.accounts = self.authority.key_pair('accounts.key')
        self.options = [f'--etcd-compaction-interval={compaction}', *options]
        super().__init__(self.address, self.authority.ca, self.admin)
        self.etcd = Server('etcd', [
            os.path.join(self.bin, 'etcd'), '--name', 'test', '--data-dir',
            os.path.join(self.folder, 'etcd'), '--unsafe-no-fsync', '--log-level', 'error',
            '--listen-client-urls', self.etcd_url(), '--advertise-client-urls', self.etcd_url(),
            '--listen-peer-urls', f'http://127.0.0.1:{peer}', '--initial-advertise-peer-urls',
            f'http://127.0.0.1:{peer}', '--initial-cluster', f'test=http://127.0.0.1:{peer}',
            '--quota-backend-bytes', str(4 << 30)])
        self.server_program = None
        self.start_server()
        if crds:
            self.define(crds)

    def etcd_url(self):
        return f'http://127.0.0.1:{self.etcd_port}'

    def start_server(self):
        self.server_program = Server('kube-apiserver', [
            os.path.join(self.bin, 'kube-apiserver'), f'--etcd-servers={self.etcd_url()}',
            '--bind-address=127.0.0.1', f'--secure-port={self.port}',
            '--service-cluster-ip-range=10.96.0.0/12', '--authorization-mode=RBAC',
            f'--client-ca-file={self.authority.ca}', f'--tls-cert-file={self.serving[0]}',
            f'--tls-private-key-file={self.serving[1]}',
            f'--cert-dir={self.folder}', '--service-account-issuer=https://kubernetes.default.svc',
            f'--service-account-key-file={self.accounts}',
            f'--service-account-signing-key-file={self.accounts}',
            '--disable-admission-plugins=ServiceAccount',
            '--endpoint-reconciler-type=none', '--max-requests-inflight=2000',
            '--max-mutating-requests-inflight=1000', *self.options])
        sluice.eventually(lambda: self.raw('GET', '/readyz')[0] == 200, 'the API server is ready',
                          60, 0.1)

    def stop_server(self):
        self.server_program.kill()

    def define(self, crds):
        """Definitions, and waits until the server serves them."""
        self.apply(crds)
        for d in yaml.load_all(crds, LIBRARY):
            path = f'/apis/{d["spec"]["group"]}/{d["spec"]["versions"][0]["name"]}/' \
                   f'{d["spec"]["names"]["plural"]}'
            sluice.eventually(lambda p=path: self.raw('GET', p)[0] == 200, path, 20)

    def namespace(self, name, **labels):
        self.apply({'apiVersion': 'v1', 'kind': 'Namespace',
                    'metadata': {'name': name, 'labels': labels}})

    def account(self, name, rules, namespace='default', roles=()):
        """A ServiceAccount with the rules everywhere (and roles: {namespace: rules}); a token."""
        group = 'rbac.authorization.k8s.io'
        subject = [{'kind': 'ServiceAccount', 'name': name, 'namespace': namespace}]
        self.apply({'apiVersion': 'v1', 'kind': 'ServiceAccount',
                    'metadata': {'name': name, 'namespace': namespace}},
                   {'apiVersion': f'{group}/v1', 'kind': 'ClusterRole', 'metadata': {'name': name},
                    'rules': rules},
                   {'apiVersion': f'{group}/v1', 'kind': 'ClusterRoleBinding',
                    'metadata': {'name': name}, 'subjects': subject,
                    'roleRef': {'apiGroup': group, 'kind': 'ClusterRole', 'name': name}})
        for ns, more in dict(roles).items():
            self.apply({'apiVersion': f'{group}/v1', 'kind': 'Role',
                        'metadata': {'name': name, 'namespace': ns}, 'rules': more},
                       {'apiVersion': f'{group}/v1', 'kind': 'RoleBinding',
                        'metadata': {'name': name, 'namespace': ns}, 'subjects': subject,
                        'roleRef': {'apiGroup': group, 'kind': 'Role', 'name': name}})
        return self.token_of(name, namespace)

    def token_of(self, name, namespace='default', seconds=3600):
        answer = self.ask('POST', f'/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token',
                          {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest',
                           'spec': {'expirationSeconds': seconds}})
        return answer['status']['token']

    def kubeconfig(self, token=None, token_file=None, server=None, name='kubeconfig'):
        """A file for the user that may do everything, or for a token."""
        with open(self.authority.ca, 'rb') as f:
            ca = base64.b64encode(f.read()).decode()
        user = {'client-certificate': self.admin[0], 'client-key': self.admin[1]}
        if token:
            user = {'token': token}
        elif token_file:
            user = {'tokenFile': token_file}
        config = {'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'test',
                  'clusters': [{'name': 'test', 'cluster': {
                      'server': f'https://{server or self.address}',
                      'certificate-authority-data': ca}}],
                  'users': [{'name': 'test', 'user': user}],
                  'contexts': [{'name': 'test', 'context': {'cluster': 'test', 'user': 'test',
                                                            'namespace': 'default'}}]}
        path = os.path.join(self.folder, name)
        with open(path + '.new', 'w', encoding='utf-8') as f:
            yaml.safe_dump(config, f)
        os.rename(path + '.new', path)
        return path

    def kubectl(self, *words, given=None):
        done = subprocess.run([os.path.join(self.bin, 'kubectl'), *words], input=given, text=True,
                              capture_output=True, check=False,
                              env=dict(os.environ, KUBECONFIG=self.kubeconfig()))
        if done.returncode != 0:
            raise AssertionError(f'kubectl {" ".join(words)}: {done.stderr}')
        return done.stdout

    def etcd_ask(self, path, body):
        connection = http.client.HTTPConnection('127.0.0.1', self.etcd_port, timeout=60)
        connection.request('POST', '/v3/kv/' + path, json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise AssertionError(f'etcd {path}: {answer.status} {text.decode()[:300]}')
        return json.loads(text)

    def compact(self):
        """etcd forgets every revision before now."""
        revision = self.etcd_ask('put', {'key': 'YQ==', 'value': 'YQ=='})['header']['revision']
        self.etcd_ask('compaction', {'revision': revision, 'physical': True})

    def load(self, documents):
        """Very many custom resources, laid in etcd as the API server would have done."""
        def b64(text):
            return base64.b64encode(text.encode()).decode()
        batch = []
        for i, document in enumerate(documents):
            group, meta = document['apiVersion'].split('/')[0], document['metadata']
            meta.update(uid=f'00000000-0000-4000-8000-{i:012d}', generation=1,
                        creationTimestamp='2026-01-02T03:04:05Z')
            key = f'/registry/{group}/{document["kind"].lower()}s/{meta["namespace"]}/{meta["name"]}'
            batch.append({'requestPut': {'key': b64(key), 'value': b64(json.dumps(document))}})
            if len(batch) == 100:
                self.etcd_ask('txn', {'success': batch})
                batch = []
        if batch:
            self.etcd_ask('txn', {'success': batch})
        self._await_cache(document)

    def _await_cache(self, like):
        """What one transaction writes has one revision, and the API server must not give a list from
        the middle of it: the rest would never come. So its cache is behind all of them first."""
        one = dict(like, metadata={'name': 'behind-all', 'namespace': like['metadata']['namespace']})
        version = self.ask('POST', path_of(one, ''), one)['metadata']['resourceVersion']
        self.get(path_of(one) + '?resourceVersion=' + version)
        self.delete(path_of(one))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and kind is not SystemExit:
            sluice.show_logs()
        self.server_program.kill()
        self.etcd.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


READ = ['get', 'list', 'watch']


def rules(*without):
    """What the controller needs, for account(); without: names of resources left out, as "routes"
    (to read) or "routes/status" (to write)."""
    wanted = [('networking.k8s.io', ['ingresses', 'ingressclasses']),
              ('sluice.dev', ['routes', 'gatewayconfigs', 'trafficpolicies', 'authpolicies',
                              'consumers']),
              ('', ['services', 'namespaces']), ('discovery.k8s.io', ['endpointslices']),
              ('gateway.networking.k8s.io', ['referencegrants']),
              ('apiextensions.k8s.io', ['customresourcedefinitions'])]
    found = [{'apiGroups': [group], 'resources': [r for r in names if r not in without],
              'verbs': READ} for group, names in wanted]
    written = [('sluice.dev', [f'{name}/status' for name in wanted[1][1]], ['patch']),
               ('networking.k8s.io', ['ingresses/status'], ['patch']),
               ('coordination.k8s.io', ['leases'], ['get', 'create', 'patch']),
               ('events.k8s.io', ['events'], ['get', 'create', 'patch']),
               ('apps', ['deployments'], ['get'])]
    found += [{'apiGroups': [group], 'resources': [r for r in names if r not in without],
               'verbs': verbs} for group, names, verbs in written]
    by_name = [name for name in ('secrets', 'configmaps') if name not in without]
    found.append({'apiGroups': [''], 'resources': by_name, 'verbs': ['get']})
    return [r for r in found if r['resources']]


class Gateway(sluice.Gateway):
    """A controller on a cluster, and a proxy behind it if it is started."""

    def __init__(self, cluster, *options, kubeconfig=None, start_proxy=True, **how):
        self.cluster = cluster
        self.kubeconfig = kubeconfig or cluster.kubeconfig()
        super().__init__('', start=False, controller_options=options, **how)
        self.start_controller()
        if start_proxy:
            self.start_proxy()
            self.wait_ready(30)

    def start_controller(self, **how):
        self.controller = sluice.Program('controller', [
            os.path.join(sluice.BIN, 'sluice-controller'), '--source', 'kube', '--kubeconfig',
            self.kubeconfig, '--link', f'127.0.0.1:{self.link}',
            '--telemetry', f'127.0.0.1:{self.controller_telemetry}',
            '--admin', f'127.0.0.1:{self.controller_admin}', *self.controller_options], **how)

    def said(self):
        """(status, body) of the controller's /ready."""
        return sluice.get(self.controller_telemetry, '/ready')[:2]

    def wait_controller(self, seconds=30):
        sluice.eventually(lambda: self.said()[0] == 200, 'the controller is ready', seconds)

    def status(self, **which):
        query = urllib.parse.urlencode(which)
        return json.loads(sluice.get(self.controller_admin, '/status?' + query)[1])

    def known(self, kind):
        """How many resources of a kind the controller has."""
        return int(self.counted(f'sluice_controller_watch_resources{{kind="{kind}"}}'))

    def counted(self, name):
        text = sluice.get(self.controller_telemetry, '/metrics')[1]
        found = re.search(r'^' + re.escape(name) + r' (\S+)$', text, re.M)
        return float(found[1]) if found else 0.0


def address():
    """An address of this machine that an EndpointSlice may have: none of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(('192.0.2.1', 9))  # sends nothing
        return s.getsockname()[0]


def says(name, host, body, namespace='default', **spec):
    """A Route that answers by itself."""
    rule = {'filters': [{'type': 'DirectResponse',
                         'directResponse': {'statusCode': 200, 'body': body}}]}
    made = route(name, host, 'none', namespace)
    made['spec'].update(rules=[rule], **spec)
    return made


def answered(gateway, host, path='/'):
    """What a request to the proxy gives: (status, body)."""
    return gateway.get(path, host=host)[:2]


def timed(check, what, seconds=10.0):
    """Milliseconds until check() is true."""
    began = time.monotonic()
    sluice.eventually(check, what, seconds, 0.001)
    return (time.monotonic() - began) * 1000
