# SPDX-License-Identifier: Apache-2.0
"""What the Python tests stand on: ports, programs, origins, and a whole gateway on one machine.

    with sluice.Origin('red') as red, sluice.Gateway(route, red=red) as gw:
        status, body = gw.get('/echo', host='shop.example.com')

A program is started in its own process, dies with the test, and its output is kept in a file that
is printed when the test fails. Nothing here sleeps for luck: eventually() asks until it is so.
"""
import atexit
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get('SLUICE_BIN', os.path.join(TOP, 'build/release'))
SKIP = 77
_next_port = int(os.environ.get('SLUICE_PORTS', '21000'))


def skip(why):
    print(why)
    sys.exit(SKIP)


def need(*names):
    """Programs of this build, or the test is skipped."""
    for name in names:
        if not os.access(os.path.join(BIN, name), os.X_OK):
            skip(f'{name} is not built')


def port():
    """The next port of this test's own that nobody holds."""
    global _next_port
    while True:
        _next_port += 1
        with socket.socket() as s:
            try:
                s.bind(('127.0.0.1', _next_port - 1))
                return _next_port - 1
            except OSError:
                continue


def add_address(address):
    """One of this machine that is not called loopback, for as long as the test runs; False: nobody may do that."""
    def ip(what):
        return subprocess.run(['ip', 'address', what, f'{address}/32', 'dev', 'lo'], capture_output=True, check=False)
    try:
        added = ip('add')
    except OSError:
        return False
    if added.returncode != 0 and b'File exists' not in added.stderr:
        return False
    atexit.register(ip, 'del')
    return True


def eventually(check, what, seconds=10.0, every=0.01):
    """The first true answer of check(); AssertionError when none came in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = check()
            if answer:
                return answer
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() > end:
            raise AssertionError(f'not within {seconds} s: {what}')
        time.sleep(every)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Program:
    """A running program; its output is in .log."""
    running = []

    def __init__(self, label, command, cpus=None, env=None, limits=None):
        self.label, self.command = label, command
        handle, self.log = tempfile.mkstemp(prefix=f'{label}-', suffix='.log')

        def prepare():
            _die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background job would ignore it
            if cpus is not None:
                os.sched_setaffinity(0, cpus)
            if limits is not None:
                limits()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=handle,
                                        stderr=handle, preexec_fn=prepare,
                                        env=dict(os.environ, **(env or {})))
        os.close(handle)
        Program.running.append(self)

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=20):
        return self.process.wait(seconds)

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=20):
        """SIGTERM, then the exit code; a program that does not end is a failure."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f'{self.label} did not end {seconds} s after SIGTERM')
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.kill()


@atexit.register
def _end_all():
    for program in Program.running:
        program.kill()
        try:
            os.unlink(program.log)
        except OSError:
            pass


def show_logs():
    for program in Program.running:
        text = program.output()
        print(f'--- {program.label}: {" ".join(program.command)}')
        print('\n'.join(text.splitlines()[-60:]))


def get(number, path='/', host=None, method='GET', headers=None, body=None, timeout=10):
    """(status, body, headers) of one request on a connection of its own."""
    connection = http.client.HTTPConnection('127.0.0.1', number, timeout=timeout)
    try:
        fields = dict(headers or {})
        if host:
            fields['Host'] = host
        connection.request(method, path, body=body, headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.read().decode('latin-1'), answer.headers
    finally:
        connection.close()


class Origin(Program):
    def __init__(self, name, *options, at=None, cpus=None, host='127.0.0.1'):
        self.port = at or port()
        self.name = name
        super().__init__(name, [os.path.join(BIN, 'tests/tools/origin'), '--listen',
                                f'{host}:{self.port}', '--name', name, *options], cpus=cpus)
        eventually(lambda: 'listening' in self.output(), f'{name} listens')

    def count(self):
        return int(get(self.port, '/_count')[1])


CLASS = '''apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: sluice
  annotations: {ingressclass.kubernetes.io/is-default-class: "true"}
spec: {controller: sluice.dev/ingress-controller}
'''


def backend(name, *ports, namespace='default'):
    """A Service `name` on port 80, with one endpoint of 127.0.0.1 for each of `ports`."""
    text = f'''---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  ports: [{{name: http, port: 80}}]
'''
    for number in ports:
        text += f'''---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{number}
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: {number}}}]
endpoints:
  - {{addresses: [127.0.0.1], conditions: {{ready: true}}}}
'''
    return text


def ingress(service, host=None, name='all'):
    """An Ingress that sends everything (of a host) to a service."""
    rule = f'host: {host}\n      http:' if host else 'http:'
    return f'''---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}, namespace: default}}
spec:
  ingressClassName: sluice
  rules:
    - {rule}
        paths:
          - path: /
            pathType: Prefix
            backend: {{service: {{name: {service}, port: {{number: 80}}}}}}
'''


class Gateway:
    """A controller on a directory and a proxy behind it. Keyword arguments are backends: name =
    port, Origin, or a list of them. `manifests` is written as routes.yaml beside them."""

    def __init__(self, manifests, workers=1, proxy_options=(), controller_options=(),
                 access_log='off', at=None, drain_delay='0s', drain_timeout='20s', start=True,
                 **backends):
        need('sluice-controller', 'sluice-proxy')
        self.folder = tempfile.mkdtemp(prefix='sluice-gateway-')
        self.manifests = os.path.join(self.folder, 'manifests')
        os.mkdir(self.manifests)
        self.state = os.path.join(self.folder, 'last-good')
        self.port = at or port()
        self.link, self.telemetry, self.admin = port(), port(), port()
        self.controller_telemetry, self.controller_admin = port(), port()
        self.workers, self.options = workers, list(proxy_options)
        self.controller_options = list(controller_options)
        self.access_log = access_log
        self.drain = ['--drain-delay', drain_delay, '--drain-timeout', drain_timeout]
        self.controller = self.proxy = None
        self.write('class.yaml', CLASS)
        text = ''
        for name, at_ports in backends.items():
            listed = at_ports if isinstance(at_ports, (list, tuple)) else [at_ports]
            text += backend(name, *[getattr(p, 'port', p) for p in listed])
        self.write('backends.yaml', text)
        self.write('routes.yaml', manifests)
        if start:
            self.start_controller()
            self.start_proxy()
            self.wait_ready()

    def write(self, name, text):
        """As an editor does it: a new file, then a rename."""
        path = os.path.join(self.manifests, name)
        with open(path + '.tmp', 'w', encoding='utf-8') as f:
            f.write(text)
        os.rename(path + '.tmp', path)

    def start_controller(self, **how):
        self.controller = Program('controller', [
            os.path.join(BIN, 'sluice-controller'), '--source', f'dir:{self.manifests}',
            '--link', f'127.0.0.1:{self.link}',
            '--telemetry', f'127.0.0.1:{self.controller_telemetry}',
            '--admin', f'127.0.0.1:{self.controller_admin}', *self.controller_options], **how)

    def proxy_command(self):
        return [os.path.join(BIN, 'sluice-proxy'), '--name', 'proxy-1',
                '--controller', f'ws://127.0.0.1:{self.link}', '--state', self.state,
                '--bind', '127.0.0.1', '--ports', f'80={self.port}',
                '--workers', str(self.workers), '--telemetry', f'127.0.0.1:{self.telemetry}',
                '--admin', f'127.0.0.1:{self.admin}', '--access-log', self.access_log, '--audit-log', 'off',
                *self.drain, *self.options]

    def start_proxy(self, **how):
        self.proxy = Program('proxy', self.proxy_command(), **how)

    def ready(self):
        if not self.proxy.alive():
            raise AssertionError('the proxy ended: ' + self.proxy.output()[-500:])
        return get(self.telemetry, '/ready')[0] == 200

    def is_current(self):
        """Whether each proxy serves what the controller has made of the manifests that it has seen."""
        proxies = json.loads(get(self.controller_admin, '/status')[1])['proxies']
        return all(p['current'] for p in proxies) and len(proxies) > 0

    def wait_ready(self, seconds=20):
        eventually(self.ready, 'the proxy is ready', seconds)

    def get(self, path='/', host='shop.example.com', **how):
        return get(self.port, path, host, **how)

    def metrics(self):
        """{'name{labels}': value} of the proxy."""
        with urllib.request.urlopen(f'http://127.0.0.1:{self.telemetry}/metrics') as answer:
            found = re.findall(r'^([^#\s]\S*?(?:\{.*\})?) (\S+)', answer.read().decode(), re.M)
        return {name: float(value) for name, value in found}

    def stop(self, seconds=30):
        return [p.stop(seconds) for p in (self.proxy, self.controller) if p is not None]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            show_logs()
        for program in (self.proxy, self.controller):
            if program is not None:
                program.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def version_before():
    """The folder with controller and proxy of the version before this one; the test is skipped where it is not in the clone."""
    done = subprocess.run([os.path.join(TOP, 'tests/tools/before')], stdout=subprocess.PIPE, check=False)
    text = done.stdout.decode().strip()
    if done.returncode == SKIP:
        skip(text)
    must(done.returncode == 0, 'the version before cannot be built')
    return text


class Cases:
    """The lines that tests/run counts: one for each check."""

    def __init__(self):
        self.failed = 0

    def case(self, name, check):
        started = time.monotonic()
        try:
            check()
        except AssertionError as error:
            self.failed += 1
            print(f'failed {name}: {error}', flush=True)
            return False
        print(f'ok {name} {time.monotonic() - started:.2f} s', flush=True)
        return True

    def end(self):
        if self.failed:
            show_logs()
        sys.exit(1 if self.failed else 0)


def must(condition, words):
    if not condition:
        raise AssertionError(words)


class Client:
    """One keep-alive connection, one request at a time; as little as possible beside the socket."""

    def __init__(self, number):
        self.socket = socket.create_connection(('127.0.0.1', number), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, host, *lines, path='/'):
        text = ''.join(f'{line}\r\n' for line in (f'GET {path} HTTP/1.1', f'Host: {host}', *lines, ''))
        self.socket.sendall(text.encode())
        data = b''
        while b'\r\n\r\n' not in data:
            piece = self.socket.recv(65536)
            must(piece, f'the connection ended: {data!r}')
            data += piece
        head, _, body = data.partition(b'\r\n\r\n')
        length = int(re.search(rb'content-length: (\d+)', head, re.I)[1])
        while len(body) < length:
            body += self.socket.recv(65536)
        return head, body


def percentile(values, p):
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def wrk(number, seconds, connections=64, host='shop.example.com', path='/', threads=1):
    """A wrk that runs beside the test: a Program whose .summary() waits for its end."""
    p = Program('wrk', ['wrk', f'-t{threads}', f'-c{connections}', f'-d{seconds}s', '-H',
                        f'Host: {host}', f'http://127.0.0.1:{number}{path}'])

    def summary():
        p.wait(seconds + 20)
        text = p.output()
        requests = re.search(r'(\d+) requests in', text)
        must(requests, f'wrk said: {text}')
        errors = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)',
                           text)
        bad = re.search(r'Non-2xx or 3xx responses: (\d+)', text)
        return {'requests': int(requests[1]),
                'errors': sum(map(int, errors.groups())) if errors else 0,
                'non_2xx': int(bad[1]) if bad else 0, 'text': text}
    p.summary = summary
    return p
