# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 requests as a strict reader sees them (RFC 9112), and a server that records them.

It is a second opinion, so it shares nothing with the proxy's parser: what a proxy forwards has to
read here as exactly the requests that the proxy says it has forwarded.
"""
import collections
import re
import socket
import threading

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb'[\t\x20-\x7e\x80-\xff]*\Z')
TARGET = re.compile(rb'[\x21-\x7e]+\Z')
HOST = re.compile(rb'(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&\'()*+,;=-]*)(?::[0-9]*)?\Z')  # RFC 3986

# used: bytes of the whole request; close: it is the last one on its connection
Request = collections.namedtuple('Request', 'method target host body used close')


class Cut(Exception):
    """More bytes are needed. begun: the request line and framing are known."""

    def __init__(self, begun=None):
        super().__init__('cut')
        self.begun = begun


def chunked(data):
    """(bytes used, content) of the chunked body that data starts with; Cut; ValueError."""
    at, content = 0, []
    while True:
        end = data.find(b'\r\n', at)
        if end < 0:
            if data[at:at + 1] and not re.match(rb'[0-9A-Fa-f]', data[at:at + 1]):
                raise ValueError('chunk line')
            raise Cut()
        size = re.match(rb'([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\Z', data[at:end])
        if not size:
            raise ValueError(f'chunk line {data[at:end]!r}')
        n, at = int(size[1], 16), end + 2
        if n == 0:
            break
        if len(data) < at + n + 2:
            if len(data) > at + n and data[at + n:at + n + 1] != b'\r':
                raise ValueError('no CR LF behind a chunk')
            raise Cut()
        if data[at + n:at + n + 2] != b'\r\n':
            raise ValueError('no CR LF behind a chunk')
        content.append(data[at:at + n])
        at += n + 2
    while True:  # trailers
        end = data.find(b'\r\n', at)
        if end < 0:
            raise Cut()
        if end == at:
            return end + 2, b''.join(content)
        name, colon, value = data[at:end].partition(b':')
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise ValueError(f'trailer {data[at:end]!r}')
        at = end + 2


def read_request(data, empty_line=False):
    """The first Request of data. Cut; ValueError: malformed, it says why. empty_line: one before it
    is passed over, as a server should (RFC 9112 2.2)."""
    start = 2 if empty_line and data.startswith(b'\r\n') else 0
    end = data.find(b'\r\n\r\n', start)
    if end < 0:
        raise Cut()
    line, *lines = data[start:end].split(b'\r\n')
    words = line.split(b' ')
    if len(words) != 3 or not TOKEN.match(words[0]) or not TARGET.match(words[1]):
        raise ValueError(f'request line {line!r}')
    if words[2] not in (b'HTTP/1.1', b'HTTP/1.0'):
        raise ValueError(f'version {words[2]!r}')
    lengths, codings, hosts, options = [], [], [], []
    for field in lines:
        name, colon, value = field.partition(b':')
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise ValueError(f'field {field!r}')
        name, value = name.lower(), value.strip(b' \t')
        if name == b'host':
            hosts.append(value)
        if name == b'content-length':
            lengths.append(value)
        if name == b'transfer-encoding':
            codings.append(value.lower())
        if name == b'expect' and value.lower() != b'100-continue':
            raise ValueError(f'Expect {value!r}')  # RFC 9110 10.1.1: nobody else's are known
        if name == b'connection':
            options += [o.strip(b' \t').lower() for o in value.split(b',')]
    if len(hosts) > 1 or (not hosts and words[2] == b'HTTP/1.1'):
        raise ValueError(f'{len(hosts)} Host fields')
    if hosts and not HOST.match(hosts[0]):
        raise ValueError(f'Host {hosts[0]!r}')
    if lengths and codings:
        raise ValueError('Content-Length and Transfer-Encoding')
    if len(lengths) > 1 or len(codings) > 1:
        raise ValueError('a framing field twice')
    if codings and (codings[0] != b'chunked' or words[2] == b'HTTP/1.0'):
        raise ValueError(f'Transfer-Encoding {codings[0]!r} in {words[2]!r}')
    if lengths and not re.match(rb'[0-9]{1,19}\Z', lengths[0]):
        raise ValueError(f'Content-Length {lengths[0]!r}')
    host = hosts[0] if hosts else None
    used, close = end + 4, b'close' in options
    if words[2] == b'HTTP/1.0' and b'keep-alive' not in options:
        close = True
    if codings:
        try:
            n, body = chunked(data[used:])
        except Cut as cut:
            raise Cut((words[0], words[1])) from cut
        except ValueError as error:
            error.begun = (words[0], words[1])
            raise
        return Request(words[0], words[1], host, body, used + n, close)
    n = int(lengths[0]) if lengths else 0
    if len(data) < used + n:
        raise Cut((words[0], words[1]))
    return Request(words[0], words[1], host, data[used:used + n], used + n, close)


class Recorder:
    """The upstream: keeps every request but those to `ignore`, and answers whole ones."""

    def __init__(self, address, ignore=None):
        self.ignore = ignore
        self.listener = socket.create_server(address, backlog=64)
        self.lock = threading.Lock()
        self.clear()
        threading.Thread(target=self.accept, daemon=True).start()

    def clear(self):
        with self.lock:
            self.requests, self.malformed, self.open = [], [], {}

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data, key = b'', object()
        with connection:
            try:
                while True:
                    more = connection.recv(65536)
                    if not more:
                        break
                    data = self.take(key, connection, data + more)
            except (ValueError, OSError) as error:
                if isinstance(error, ValueError):
                    with self.lock:
                        self.malformed.append(str(error))
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n'
                                       b'Connection: close\r\n\r\n')
            finally:
                with self.lock:
                    self.open[key] = (self.open.get(key, (b'',))[0], False)

    def take(self, key, connection, data):
        while data:
            try:
                request = read_request(data)
            except Cut:
                break
            data = data[request.used:]
            with self.lock:
                if request.target != self.ignore:
                    self.requests.append(request)
                self.open[key] = (b'', True)  # before the answer, which is what a test waits for
            body = b'' if request.method == b'HEAD' else b'ok'
            connection.sendall(b'HTTP/1.1 200 OK\r\nX-Recorder: yes\r\nContent-Length: 2\r\n\r\n' +
                               body)
        with self.lock:
            self.open[key] = (data, True)
        return data

    def seen(self):
        """(requests, beginnings of cut ones, what was malformed) since clear()."""
        with self.lock:
            return (list(self.requests), [data for data, _ in self.open.values() if data],
                    list(self.malformed))
