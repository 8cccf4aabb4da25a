# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frame by frame, for what no well-behaved client sends.

    c = h2raw.Connection(gateway.port)
    c.request(1, '/echo', end=False)
    c.send(h2raw.DATA, 1, b'body', h2raw.END_STREAM)
    c.until(lambda f: f.type == h2raw.DATA and f.stream == 1 and f.ends)

Heads are sent as literals without an index. Of those that come only the status is read, and only
where it is one of the static table.
"""
import collections
import socket
import struct
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, CALM = 0, 1, 5, 11
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
STATUS = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}


class Frame(collections.namedtuple('Frame', 'type flags stream payload')):
    @property
    def ends(self):
        return self.type in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self):
        """Of RST_STREAM and GOAWAY."""
        at = 4 if self.type == GOAWAY else 0
        return struct.unpack_from('>I', self.payload, at)[0]

    @property
    def last(self):
        """Of GOAWAY: the last stream that is served."""
        return struct.unpack_from('>I', self.payload)[0]

    @property
    def status(self):
        first = next(b for b in self.payload if b & 0xe0 != 0x20)  # behind changes of the table's size
        return STATUS.get(first)


def frame(kind, stream, payload=b'', flags=0):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, out = len(value) - 127, b'\x7f'
    while rest > 127:
        out += bytes([rest & 127 | 128])
        rest >>= 7
    return out + bytes([rest]) + value


def block(fields):
    return b''.join(b'\0' + text(name) + text(value) for name, value in fields)


def head(path='/', method='GET', host='shop.example.com', more=()):
    return block([(':method', method), (':scheme', 'http'), (':path', path), (':authority', host), *more])


class Connection:
    def __init__(self, port, settings=b'', timeout=20, over=None):
        """over: a socket that is connected already, and speaks TLS, say."""
        self.socket = over or socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.buffer, self.seen, self.closed = b'', [], False
        self.raw(PREFACE + frame(SETTINGS, 0, settings))

    def raw(self, data):
        """False when the other side has closed already."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def send(self, kind, stream, payload=b'', flags=0):
        return self.raw(frame(kind, stream, payload, flags))

    def request(self, stream, path='/', end=True, **how):
        return self.send(HEADERS, stream, head(path, **how), END_HEADERS | (END_STREAM if end else 0))

    def window(self, stream, more):
        return self.send(WINDOW_UPDATE, stream, struct.pack('>I', more))

    def reset(self, stream, code=8):
        return self.send(RST_STREAM, stream, struct.pack('>I', code))

    def next(self, seconds=20):
        """The next frame; None at the end of the connection. Settings and pings are acknowledged."""
        end = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], 'big')
                if len(self.buffer) >= 9 + size:
                    kind, flags, stream = struct.unpack('>BBI', self.buffer[3:9])
                    got = Frame(kind, flags, stream & 0x7fffffff, self.buffer[9:9 + size])
                    self.buffer = self.buffer[9 + size:]
                    self.seen.append(got)
                    if kind == SETTINGS and not flags & ACK:
                        self.send(SETTINGS, 0, flags=ACK)
                    return got
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                raise AssertionError(f'no frame within {seconds} s; seen: {self.brief()}') from None
            except OSError:
                data = b''
            if not data:
                self.closed = True
                return None
            self.buffer += data

    def until(self, wanted, seconds=20):
        """The first frame that is wanted, or AssertionError when the connection ends before."""
        end = time.monotonic() + seconds
        while True:
            got = self.next(max(end - time.monotonic(), 0.001))
            if got is None:
                raise AssertionError(f'the connection ended; seen: {self.brief()}')
            if wanted(got):
                return got

    def drain(self, seconds=20):
        """All frames until the connection ends."""
        first = len(self.seen)
        while self.next(seconds) is not None:
            pass
        return self.seen[first:]

    def brief(self):
        return [(f.type, f.flags, f.stream, len(f.payload)) for f in self.seen[-8:]]

    def close(self):
        self.socket.close()
