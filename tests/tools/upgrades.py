# SPDX-License-Identifier: Apache-2.0
"""Both ends of an upgrade, byte by byte, for what no well-behaved client or server does.

    with upgrades.Server(answer, sluice.port()) as server, sluice.Gateway(route, ws=server.port) as gw:
        c = upgrades.Client(gw.port)
        c.send(upgrades.handshake())

A server keeps what it has read of each connection in .seen; `answer(connection)` says what it does.
"""
import base64
import hashlib
import os
import socket
import struct
import threading

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
KEY = b'dGhlIHNhbXBsZSBub25jZQ=='
PLAIN = (b'Connection: Upgrade', b'Upgrade: websocket')


def handshake(path='/ws', fields=PLAIN, version=b'1.1', method=b'GET', host=b'shop.example.com', body=b''):
    lines = [method + b' ' + path.encode() + b' HTTP/' + version, b'Host: ' + host,
             b'Sec-WebSocket-Key: ' + KEY, b'Sec-WebSocket-Version: 13', *fields]
    return b'\r\n'.join(lines) + b'\r\n\r\n' + body


def accept_of(head):
    """What Sec-WebSocket-Accept must be for that request."""
    key = next((line.split(b':', 1)[1].strip() for line in head.split(b'\r\n')
                if line.lower().startswith(b'sec-websocket-key:')), b'')
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def agree(head, protocol=b'websocket', connection=b'upgrade', more=b''):
    return (b'HTTP/1.1 101 Switching Protocols\r\nConnection: ' + connection + b'\r\nUpgrade: ' + protocol +
            b'\r\nSec-WebSocket-Accept: ' + accept_of(head) + b'\r\n' + more + b'\r\n')


def frame(opcode, payload=b'', masked=False, fin=True):
    n, mask = len(payload), os.urandom(4) if masked else b''
    length = bytes([n]) if n < 126 else b'\x7e' + struct.pack('>H', n) if n < 65536 else b'\x7f' + struct.pack('>Q', n)
    out = bytes([(0x80 if fin else 0) | opcode, length[0] | (0x80 if masked else 0)]) + length[1:] + mask
    return out + (bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload)


class End(Exception):
    """The peer has ended where more was wanted."""


class Bytes:
    """A socket, and what was read from it beyond what was asked for."""

    def __init__(self, s):
        self.socket, self.rest, self.seen = s, b'', b''
        s.settimeout(20)

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        self.rest += data
        self.seen += data
        return data

    def exactly(self, n):
        while len(self.rest) < n:
            if not self.more():
                raise End(self.rest)
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def head(self):
        while b'\r\n\r\n' not in self.rest:
            if not self.more():
                raise End(self.rest)
        out, self.rest = self.rest.split(b'\r\n\r\n', 1)
        return out + b'\r\n\r\n'

    def all(self):
        """To the end."""
        while self.more():
            pass
        out, self.rest = self.rest, b''
        return out

    def is_quiet(self, seconds=0.2):
        """Nothing comes for so long."""
        self.socket.settimeout(seconds)
        try:
            return not self.rest and self.socket.recv(1) is None
        except socket.timeout:
            return True
        finally:
            self.socket.settimeout(20)

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


class Client(Bytes):
    def __init__(self, port, wrap=None):
        s = socket.create_connection(('127.0.0.1', port), timeout=20)
        super().__init__(wrap(s) if wrap else s)

    def status(self):
        self.answer = self.head()
        return int(self.answer.split(b' ', 2)[1])


class Server:
    """answer(connection, head) is called for the first request of each connection, in a thread."""

    def __init__(self, answer, port):
        self.answer, self.connections, self.errors = answer, [], []
        self.listener = socket.create_server(('127.0.0.1', port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            c = Bytes(s)
            self.connections.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            c.request = c.head()
            self.answer(c, c.request)
        except (OSError, End) as e:
            self.errors.append(e)
        finally:
            c.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
