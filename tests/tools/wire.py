# SPDX-License-Identifier: Apache-2.0
"""The link between controller and proxy, spoken by a test that may say anything: WebSocket frames
(RFC 6455) by hand, and the few messages of lib/wire.def that a test makes itself."""
import base64
import hashlib
import os
import re
import socket
import struct

from sluice import must

PROTOCOL = 'sluice.config.v1'
HELLO, ACK, NACK, REPORT, HAVE = 1, 2, 3, 4, 5
BEGIN, PUT, DEL, COMMIT, GET, HOLD = 16, 17, 18, 19, 20, 21
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
MESSAGE_MAX = 1 + (4 << 20) + (64 << 10)  # with its type


class Closed(Exception):
    """The other end has ended the connection."""


# ---- messages ----

def leb(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def unleb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def message(kind, **fields):
    """message(COMMIT, f1=7, f2=digest): numbers and bytes in the model's encoding."""
    out = bytearray([kind])
    for name, value in sorted(fields.items(), key=lambda f: int(f[0][1:])):
        number = int(name[1:])
        if not value:
            continue  # defaults are left out
        if isinstance(value, bytes):
            out += leb(number << 1 | 1) + leb(len(value)) + value
        else:
            out += leb(number << 1) + leb(int(value))
    return bytes(out)


def fields(data):
    """{number: value}; of what repeats, the last."""
    found, at = {}, 1
    while at < len(data):
        key, at = unleb(data, at)
        value, at = unleb(data, at)
        if key & 1:
            value, at = data[at:at + value], at + value
        found[key >> 1] = value
    return found


def hello(name=b'by-hand', digest=bytes(2048), follow=True):
    return message(HELLO, f1=name, f2=1, f3=digest, f6=follow)


# ---- frames ----

def frame(payload, opcode=BINARY, masked=False, final=True, length=None):
    """length: what the header says, when that is not the truth."""
    n = len(payload) if length is None else length
    head = bytearray([0x80 * final | opcode])
    if n < 126:
        head.append(0x80 * masked | n)
    elif n < 65536:
        head += struct.pack('>BH', 0x80 * masked | 126, n)
    else:
        head += struct.pack('>BQ', 0x80 * masked | 127, n)
    if masked:
        head += bytes(4)  # a mask of zeros leaves the payload as it is
    return bytes(head) + payload


class Link:
    """One end of a WebSocket."""

    def __init__(self, connection, masked):
        self.socket, self.masked, self.rest = connection, masked, b''
        connection.settimeout(20)

    def _more(self):
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionError as error:
            raise Closed from error
        if not piece:
            raise Closed
        self.rest += piece

    def _read(self, n):
        while len(self.rest) < n:
            self._more()
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def read_head(self):
        while b'\r\n\r\n' not in self.rest:
            self._more()
        head, _, self.rest = self.rest.partition(b'\r\n\r\n')
        return head.decode('latin-1')

    def _frame(self):
        first, second = self._read(2)
        n = second & 0x7f
        if n == 126:
            n, = struct.unpack('>H', self._read(2))
        elif n == 127:
            n, = struct.unpack('>Q', self._read(8))
        mask = self._read(4) if second & 0x80 else b''
        data = self._read(n)
        if mask:
            times = mask * (n // 4 + 1)
            data = bytes(a ^ b for a, b in zip(data, times))
        return first & 15, bool(first & 0x80), data

    def receive(self):
        """The next whole message."""
        whole = b''
        while True:
            opcode, final, data = self._frame()
            if opcode == CLOSE:
                raise Closed
            if opcode == PING:
                self.raw(frame(data, PONG, self.masked))
            if opcode >= 8:
                continue
            whole += data
            if final:
                return whole

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError as error:
            raise Closed from error

    def send(self, payload):
        self.raw(frame(payload, masked=self.masked))

    def closed(self):
        """Waits for the other end to end it; messages before that are passed over."""
        try:
            while True:
                self.receive()
        except Closed:
            return True
        except socket.timeout:
            return False
        finally:
            self.socket.close()


def dial(port, *more):
    """As a proxy does it: (link, head of the answer). `more`: further lines of the request."""
    link = Link(socket.create_connection(('127.0.0.1', port), 10), masked=True)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ['GET / HTTP/1.1', f'Host: 127.0.0.1:{port}', 'Upgrade: websocket',
             'Connection: Upgrade', f'Sec-WebSocket-Key: {key}', 'Sec-WebSocket-Version: 13',
             f'Sec-WebSocket-Protocol: {PROTOCOL}', *more]
    link.raw(('\r\n'.join(lines) + '\r\n\r\n').encode())
    return link, link.read_head()


class Controller:
    """The place where a proxy links to."""

    def __init__(self, port):
        self.listener = socket.create_server(('127.0.0.1', port))
        self.listener.settimeout(20)

    def accept(self):
        """The next proxy that links, and its hello."""
        link = Link(self.listener.accept()[0], masked=False)
        head = link.read_head()
        key = re.search(r'sec-websocket-key: (\S+)', head, re.I)
        must(key and PROTOCOL in head, f'not a proxy: {head}')
        digest = hashlib.sha1((key[1] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()
        link.raw((f'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
                  f'Connection: Upgrade\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n'
                  f'Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n').encode())
        first = link.receive()
        must(first[0] == HELLO, f'the first message is no hello but {first[0]}')
        return link, fields(first)
