# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between the controller and the API server.

    Proxy   ends TLS in front of a kube.Cluster and speaks HTTP/1.1 on both sides: it can answer
            instead of the server, hang, cut an answer, and put bytes into a watch that runs
    Shim    passes TCP on as it is and can go silent without closing: a half-open connection

    with faults.Proxy(cluster) as proxy:
        proxy.rule(r'/routes\\?', faults.answer(500), times=2)
        ... a controller on cluster.kubeconfig(token=..., server=proxy.address)
        proxy.inject(r'/routes\\?watch', b'this is no JSON\\n')
"""
import http.client
import json
import re
import select
import socket
import ssl
import threading
import time

import sluice


def answer(status, message='made by the test', reason='', headers=None, body=None):
    """An action: this instead of the server's answer."""
    if body is None:
        body = json.dumps({'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure',
                           'message': message, 'reason': reason, 'code': status}).encode()
    return ('answer', status, dict(headers or {}), body)


HANG = ('hang',)


def cut(after):
    """An action: the connection dies after so many bytes of the body."""
    return ('cut', after)


def event(kind, item):
    return json.dumps({'type': kind, 'object': item}).encode() + b'\n'


EXPIRED = event('ERROR', {'kind': 'Status', 'apiVersion': 'v1', 'status': 'Failure', 'code': 410,
                          'reason': 'Expired', 'message': 'too old resource version: 1 (2)'})


class Stream:
    """An answer that is under way."""

    def __init__(self, line, sock):
        self.line, self.sock, self.lock = line, sock, threading.Lock()
        self.alive, self.has_head = True, False

    def chunk(self, data):
        with self.lock:
            self.sock.sendall(f'{len(data):x}\r\n'.encode() + data + b'\r\n')

    def ended(self):
        """A client that waits for an answer says nothing: what it says is good-bye."""
        try:
            return not self.alive or bool(select.select([self.sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def close(self):
        self.alive = False
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Proxy:
    def __init__(self, cluster):
        self.cluster = cluster
        self.port = sluice.port()
        self.address = f'127.0.0.1:{self.port}'
        self.rules, self.asked, self.streams = [], [], []
        self.lock = threading.Lock()
        self.inner = ssl.create_default_context(cafile=cluster.authority.ca)
        self.outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.outer.load_cert_chain(*cluster.serving)
        self.listener = None
        self.accept(True)

    # ---- what a test says ----

    def rule(self, pattern, action, times=1 << 30):
        """For requests whose "METHOD /path?query" contains the pattern; the newest rule first."""
        with self.lock:
            self.rules.insert(0, [re.compile(pattern), action, times])

    def clear(self):
        with self.lock:
            self.rules.clear()

    def count(self, pattern):
        with self.lock:
            return sum(1 for line, _ in self.asked if re.search(pattern, line))

    def times(self, pattern):
        """When they were asked, monotonic seconds."""
        with self.lock:
            return [at for line, at in self.asked if re.search(pattern, line)]

    def live(self, pattern):
        with self.lock:
            return [s for s in self.streams if re.search(pattern, s.line) and not s.ended()]

    def inject(self, pattern, data):
        """Into every answer whose body is under way and matches; how many there were."""
        found = [s for s in self.live(pattern) if s.has_head]
        for stream in found:
            stream.chunk(data)
        return len(found)

    def drop(self, pattern=''):
        for stream in self.live(pattern):
            stream.close()

    def accept(self, yes):
        """False: connections are refused, those that stand are closed."""
        if yes and self.listener is None:
            self.listener = socket.create_server(('127.0.0.1', self.port))
            threading.Thread(target=self.listen, args=(self.listener,), daemon=True).start()
        elif not yes and self.listener is not None:
            listener, self.listener = self.listener, None
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            self.drop()

    # ---- connections ----

    def listen(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            with self.outer.wrap_socket(sock, server_side=True) as secure:
                secure.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reader = secure.makefile('rb')
                while self.one(secure, reader):
                    pass
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def action_for(self, line):
        with self.lock:
            self.asked.append((line, time.monotonic()))
            for rule in self.rules:
                if rule[0].search(line) and rule[2] > 0:
                    rule[2] -= 1
                    return rule[1]
        return None

    def one(self, sock, reader):
        """A request and its answer; False: the connection is done with."""
        words = reader.readline().decode('latin-1').split()
        if len(words) < 3:
            return False
        headers = http.client.parse_headers(reader)
        body = reader.read(int(headers.get('Content-Length', 0)))
        line = f'{words[0]} {words[1]}'
        action = self.action_for(line)
        if action == HANG:
            stream = self.begin(line, sock)
            while stream.alive:
                time.sleep(0.05)
            return False
        if action and action[0] == 'answer':
            _, status, extra, text = action
            fields = {'Content-Type': 'application/json', 'Content-Length': str(len(text)), **extra}
            head = f'HTTP/1.1 {status} {http.client.responses.get(status, "")}\r\n'
            head += ''.join(f'{k}: {v}\r\n' for k, v in fields.items()) + '\r\n'
            sock.sendall(head.encode() + text)
            return True
        return self.forward(sock, words, headers, body, line, action)

    def begin(self, line, sock):
        stream = Stream(line, sock)
        with self.lock:
            self.streams = [s for s in self.streams if s.alive] + [stream]
        return stream

    def forward(self, sock, words, headers, body, line, action):
        upstream = http.client.HTTPSConnection(self.cluster.address, context=self.inner)
        kept = {k: v for k, v in headers.items()
                if k.lower() in ('authorization', 'accept', 'content-type')}
        stream = self.begin(line, sock)
        try:
            upstream.request(words[0], words[1], body=body or None, headers=kept)
            got = upstream.getresponse()
            head = f'HTTP/1.1 {got.status} {got.reason}\r\nTransfer-Encoding: chunked\r\n'
            for name in ('Content-Type', 'Retry-After'):
                if got.headers.get(name):
                    head += f'{name}: {got.headers[name]}\r\n'
            with stream.lock:
                sock.sendall(head.encode() + b'\r\n')
            stream.has_head = True
            left = action[1] if action and action[0] == 'cut' else None
            while stream.alive:
                data = got.read1(65536)
                if not data:
                    with stream.lock:
                        sock.sendall(b'0\r\n\r\n')
                    return True
                if left is not None and len(data) >= left:
                    stream.chunk(data[:left])
                    stream.close()
                    return False
                left = None if left is None else left - len(data)
                stream.chunk(data)
            return False
        finally:
            stream.alive = False
            upstream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.accept(False)


class Shim:
    """TCP, passed on byte by byte until it is told to be silent."""

    def __init__(self, target):
        self.target, self.silent = target, False
        self.port = sluice.port()
        self.address = f'127.0.0.1:{self.port}'
        self.deaf = self.connections = 0
        self.listener = socket.create_server(('127.0.0.1', self.port))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def silence(self):
        """From now on nothing passes on the connections that there are."""
        self.silent = True
        sluice.eventually(lambda: self.deaf == self.connections, 'all are silent')

    def relay(self, client):
        """A connection that has met silence stays silent: those that come later are none of it."""
        host, _, port = self.target.partition(':')
        met = False
        with client, socket.create_connection((host, int(port))) as server:
            while True:
                if self.silent and not met:
                    met = True
                    self.deaf += 1
                if met:
                    time.sleep(0.05)
                    continue
                readable, _, _ = select.select([client, server], [], [], 0.05)
                for one in readable:
                    data = one.recv(65536)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
