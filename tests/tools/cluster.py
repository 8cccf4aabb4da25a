# SPDX-License-Identifier: Apache-2.0
"""What the tests of tests/cluster/cases stand on: the cluster that tests/cluster/up started, our images
in it, Sluice installed by Helm, and the example of examples/kubernetes behind it.

    with cluster.Install('proxy.replicas=2') as sluice_:
        sluice_.examples()
        cluster.get(sluice_.address(), '/', 'shop.example.com')

What a test makes in the cluster it takes away again.
"""
import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys

import yaml

import sluice
from sluice import TOP, eventually, must

HERE = os.path.join(TOP, 'tests/cluster')
KEPT = os.path.join(TOP, 'build/cluster')  # images as archives
EXAMPLES = os.path.join(TOP, 'examples/kubernetes')
CHART = os.path.join(TOP, 'charts/sluice')
NAMESPACE = 'sluice'
SHOP = 'shop.example.com'
LEGACY = 'legacy.example.com'


def _names():
    """KUBECONFIG and the folder of programs, as tests/cluster/env.sh has them."""
    script = f'. {HERE}/env.sh; printf "%s\\n" "$KUBECONFIG" "$bin" "$images"'
    return subprocess.run(['bash', '-c', script], capture_output=True, text=True,
                          check=True).stdout.split()


KUBECONFIG, PROGRAMS, IMAGES = _names()
os.environ['KUBECONFIG'] = KUBECONFIG
os.environ['PATH'] = PROGRAMS + ':' + os.environ['PATH']


def run(*command, text=None, check=True, seconds=600, quiet=False):
    """Standard output; a command that fails is a failure of the test, with what it said."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds,
                          check=False)
    if check and done.returncode != 0:
        raise AssertionError(f'{" ".join(command)} ended with {done.returncode}:\n'
                             f'{done.stdout[-3000:]}{done.stderr[-3000:]}')
    if done.stderr and not quiet and not check:
        print(done.stderr, end='')
    return done.stdout


def kubectl(*words, **how):
    return run('kubectl', *words, **how)


def helm(*words, **how):
    return run('helm', *words, **how)


def objects(kind, namespace=None, selector=None):
    words = ['get', kind, '-o', 'json', *(['-n', namespace] if namespace else ['-A'])]
    return json.loads(kubectl(*words, *(['-l', selector] if selector else [])))['items']


def field(kind, name, path, namespace=NAMESPACE):
    return kubectl('-n', namespace, 'get', kind, name, '-o', f'jsonpath={{{path}}}', check=False,
                   quiet=True)


def apply(text):
    kubectl('apply', '-f', '-', text=text)


def get(address, path='/', host=SHOP, port=80, timeout=5):
    """(status, body, headers) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request('GET', path, headers={'Host': host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode('latin-1'), answer.headers
    finally:
        connection.close()


def rolled_out(name, namespace=NAMESPACE, seconds=180):
    kubectl('-n', namespace, 'rollout', 'status', f'deployment/{name}', f'--timeout={seconds}s')


def restart(name, namespace=NAMESPACE):
    """Every pod of a Deployment replaced, and the old ones gone."""
    before = {p['metadata']['name'] for p in objects('pods', namespace)}
    kubectl('-n', namespace, 'rollout', 'restart', f'deployment/{name}')
    rolled_out(name, namespace)
    old = {n for n in before if n.startswith(name + '-')}
    must(old, f'{name} had no pod')
    eventually(lambda: not old & {p['metadata']['name'] for p in objects('pods', namespace)},
               f'the old pods of {name} are gone', 120, every=0.5)


# ---- images ----

def need():
    """A cluster that runs, or the test is skipped."""
    if not os.path.exists(KUBECONFIG):
        sluice.skip('no cluster runs: tests/cluster/up')
    if subprocess.run(['kubectl', 'get', '--raw', '/readyz'], capture_output=True,
                      check=False).returncode != 0:
        sluice.skip('the cluster does not answer: tests/cluster/down, then up')


def source_tag():
    """Of what the images are made from: one tag, one content."""
    made_from = ['Dockerfile', 'Makefile', '.ci', 'lib', 'proxy', 'controller', 'ctl',
                 'tests/tests.mk', 'tests/tools/origin.c', 'examples/quickstart']
    names = run('git', '-C', TOP, 'ls-files', '--cached', '--others', '--exclude-standard',
                *made_from).split()
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        path = os.path.join(TOP, name)
        if os.path.exists(path):
            with open(path, 'rb') as f:
                digest.update(name.encode() + b'\0' + f.read())
    return 'test-' + digest.hexdigest()[:12]


def loaded():
    return run('bash', '-c', f'. {HERE}/env.sh; ctr images list -q').split()


def load(archive):
    run(os.path.join(HERE, 'image'), 'load', archive)


def tag_image(old, new):
    run('bash', '-c', f'. {HERE}/env.sh; ctr images tag --force "$1" "$2"', 'tag', old, new)


def buildah(*words, **how):
    """On a storage of our own: each change of the source leaves 0.7 GB behind, until the next one."""
    return run('buildah', '--root', os.path.join(KEPT, 'storage'), '--runroot', '/run/sluice-buildah',
               *words, seconds=900, **how)


def build_image(target, tag, platform=''):
    """An archive of that target of the Dockerfile; kept, so that one is made only once."""
    os.makedirs(KEPT, exist_ok=True)
    archive = os.path.join(KEPT, f'sluice-{target}-{tag}.tar')
    if os.path.exists(archive):
        return archive
    base = os.path.join(IMAGES, 'debian-bookworm.tar')
    run(os.path.join(HERE, 'debian-base'))
    if 'debian' not in buildah('images', '--format', '{{.Name}}'):
        buildah('pull', f'docker-archive:{base}')
    if not any(source_tag() in name for name in os.listdir(KEPT)):
        for name in os.listdir(KEPT):
            if name.startswith('sluice-'):
                os.unlink(os.path.join(KEPT, name))
        buildah('rmi', '--prune', '--force')
    bud = ['bud', '--isolation', 'chroot', '--layers']
    if platform:
        own = run('dpkg', '--print-architecture').strip()
        bud += ['--platform', f'linux/{platform}', '--build-arg', f'BUILDPLATFORM=linux/{own}']
    buildah(*bud, '--target', 'deps', '-t', f'deps:{platform or "native"}', TOP)
    image = f'sluice-{target}:{tag}'
    buildah(*bud, '--target', target, '--build-arg', f'VERSION={tag}', '-t', image, TOP)
    buildah('push', image, f'docker-archive:{archive}.new:{image}')
    buildah('rmi', image)
    os.rename(archive + '.new', archive)
    return archive


def images(*targets):
    """Builds and loads both images, and other ones; their tag."""
    tag = source_tag()
    there = loaded()
    for target in ('controller', 'proxy', *targets):
        if not any(name.endswith(f'sluice-{target}:{tag}') for name in there):
            load(build_image(target, tag))
    return tag


def echo_image():
    """The example's image under its own name; the cluster has no registry."""
    with open(os.path.join(EXAMPLES, '1-backends.yaml'), encoding='utf-8') as f:
        name = re.search(r'image: (\S+)', f.read())[1]
    if name not in loaded():
        load(os.path.join(IMAGES, 'echo-basic.tar'))
        tag_image('sluice.test/echo-basic:1', name)


def image_of(name, program, image, add=lambda root: None):
    """That program and its libraries as an image; what add() puts into the root directory, too."""
    root, archive = os.path.join(KEPT, name), os.path.join(KEPT, f'{name}.tar')
    os.makedirs(KEPT, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    run(os.path.join(TOP, '.ci/image-root'), program, 'test', root)
    add(root)
    run(os.path.join(HERE, 'image'), 'pack', archive, image, root, f'/usr/bin/{os.path.basename(program)}')
    load(archive)


def origin_image():
    """tests/tools/origin as sluice.test/origin:1, for load that the example's backend is too slow for."""
    sluice.need('tests/tools/origin')
    image_of('origin', os.path.join(sluice.BIN, 'tests/tools/origin'), 'sluice.test/origin:1')


def python_image(image):
    """Debian's Python of this machine under that name."""
    program = os.path.realpath('/usr/bin/python3')
    library = f'/usr/lib/{os.path.basename(program)}'

    def add(root):
        shutil.copytree(library, root + library, symlinks=True, ignore=shutil.ignore_patterns(
            '__pycache__', 'dist-packages', 'test', 'lib2to3', 'config-*'))
        os.symlink(os.path.basename(program), os.path.join(root, 'usr/bin/python3'))
    if image not in loaded():
        image_of('python', program, image, add)


def idp_image():
    """tests/idp, a static program, as sluice.test/idp:1."""
    archive = os.path.join(KEPT, 'idp.tar')
    run(os.path.join(HERE, 'image'), 'pack', archive, 'sluice.test/idp:1', os.path.join(TOP, 'build/idp'))
    load(archive)


# ---- Sluice ----

class Install:
    """The chart, installed as release `sluice` in a namespace of its own where Pod Security is
    `restricted`; the last word of each setting wins."""

    SMALL = ('proxy.resources.requests.cpu=50m', 'controller.resources.requests.cpu=20m')

    def __init__(self, *settings, release='sluice', namespace=NAMESPACE):
        self.release, self.namespace, self.settings = release, namespace, [*self.SMALL, *settings]
        self.namespaces = [namespace]
        self.tag = None

    def words(self, *settings):
        return [w for s in (f'image.tag={self.tag}', *self.settings, *settings)
                for w in ('--set', s)]

    def make_namespace(self, name, labels=''):
        apply(f'{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}}}}}')
        if name not in self.namespaces:
            self.namespaces.append(name)

    def upgrade(self, *settings):
        helm('upgrade', self.release, CHART, '-n', self.namespace, '--wait', '--timeout', '3m',
             *self.words(*settings))

    def examples(self):
        echo_image()
        self.namespaces.append('shop')
        kubectl('apply', '-f', EXAMPLES)
        for name in ('monolith', 'catalog'):
            rolled_out(name, 'shop')

    def origins(self, replicas=2):
        """The example with our own origin for its backends: faster, and it ends gently."""
        origin_image()
        self.namespaces.append('shop')
        text = ''
        for name in sorted(os.listdir(EXAMPLES)):
            with open(os.path.join(EXAMPLES, name), encoding='utf-8') as f:
                parts = list(yaml.safe_load_all(f))
            for part in parts:
                if part['kind'] == 'Deployment':
                    self._origin(part, replicas)
            text += yaml.safe_dump_all(parts, explicit_start=True)
        apply(text)
        for name in ('monolith', 'catalog'):
            rolled_out(name, 'shop')

    @staticmethod
    def _origin(deployment, replicas):
        spec = deployment['spec']
        spec['replicas'] = replicas
        spec['strategy'] = {'rollingUpdate': {'maxUnavailable': 0, 'maxSurge': 1}}
        container = spec['template']['spec']['containers'][0]
        container['image'] = 'sluice.test/origin:1'
        container['args'] = ['--listen', '0.0.0.0:3000', '--name', deployment['metadata']['name']]
        container['lifecycle'] = {'preStop': {'sleep': {'seconds': 5}}}
        spec['template']['spec']['terminationGracePeriodSeconds'] = 8  # it takes no notice of SIGTERM

    def address(self, status=200, path='/'):
        """Of the Service, once it has one and the shop answers so through it."""
        ip = eventually(lambda: field('service', 'sluice-proxy',
                                      '.status.loadBalancer.ingress[0].ip', self.namespace),
                        'the Service has an address', 30, every=0.2)
        eventually(lambda: get(ip, path)[0] == status, f'{SHOP} answers at {ip}', 60, every=0.1)
        return ip

    def uninstall(self):
        helm('uninstall', self.release, '-n', self.namespace, '--wait', '--timeout', '3m')

    def __enter__(self):
        need()
        self.tag = images()
        self.make_namespace(self.namespace, 'pod-security.kubernetes.io/enforce: restricted')
        try:
            helm('install', self.release, CHART, '-n', self.namespace, '--wait', '--timeout', '3m',
                 *self.words())
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show()
        helm('uninstall', self.release, '-n', self.namespace, check=False, quiet=True)
        for name in reversed(self.namespaces):
            kubectl('delete', 'namespace', name, '--wait=false', '--ignore-not-found')
        eventually(lambda: not {n['metadata']['name'] for n in objects('namespaces')}
                   & set(self.namespaces), 'the namespaces are gone', 150, every=0.5)

    def show(self):
        for namespace in self.namespaces:
            print(f'--- {namespace}')
            print(kubectl('-n', namespace, 'get', 'pods,services,endpointslices', '-o', 'wide',
                          check=False))
            print(kubectl('-n', namespace, 'get', 'events', '--sort-by=.lastTimestamp', check=False)[-4000:])
        for part in ('proxy', 'controller'):
            for pod in objects('pods', self.namespace, f'app.kubernetes.io/component={part}'):
                name = pod['metadata']['name']
                print(f'--- {name} {pod["status"].get("podIP")}')
                text = kubectl('-n', self.namespace, 'logs', '--all-containers', '--tail=100000', name, check=False)
                lines = [line for line in text.splitlines() if '"status":' not in line]  # of the access log
                print('\n'.join(lines[-40:]))
