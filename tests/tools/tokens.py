# SPDX-License-Identifier: Apache-2.0
"""An issuer of JSON Web Tokens (by PyJWT), and a backend that tells what it was sent."""
import base64
import http.server
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


def b64(number, size):
    return base64.urlsafe_b64encode(number.to_bytes(size, 'big')).rstrip(b'=').decode()


class Issuer:
    """One key; `say` makes a token of the claims. kind: RS256, ES256, EdDSA ..."""

    def __init__(self, name='https://idp.example.com', kind='RS256', kid='one'):
        self.name, self.kind, self.kid = name, kind, kid
        if kind[0] in 'RP':
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        elif kind == 'EdDSA':
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = ec.generate_private_key({'ES256': ec.SECP256R1, 'ES384': ec.SECP384R1,
                                                'ES512': ec.SECP521R1}[kind]())

    def jwk(self):
        public = self.key.public_key()
        about = {'kid': self.kid, 'alg': self.kind, 'use': 'sig'}
        if self.kind[0] in 'RP':
            n = public.public_numbers()
            return {'kty': 'RSA', 'n': b64(n.n, 256), 'e': b64(n.e, 3), **about}
        if self.kind == 'EdDSA':
            raw = base64.urlsafe_b64encode(public.public_bytes_raw()).rstrip(b'=').decode()
            return {'kty': 'OKP', 'crv': 'Ed25519', 'x': raw, **about}
        n, size = public.public_numbers(), (public.key_size + 7) // 8
        return {'kty': 'EC', 'crv': f'P-{public.key_size}', 'x': b64(n.x, size),
                'y': b64(n.y, size), **about}

    def say(self, sub='joe', headers=None, life=600, key=None, algorithm=None, **claims):
        now = int(time.time())
        text = {'iss': self.name, 'sub': sub, 'iat': now, 'exp': now + life, **claims}
        text = {k: v for k, v in text.items() if v is not None}
        return jwt.encode(text, key or self.key, algorithm=algorithm or self.kind,
                          headers={'kid': self.kid, **(headers or {})})


def key_set(*issuers):
    return json.dumps({'keys': [i.jwk() for i in issuers]})


def config_map(name, key, text, namespace='default'):
    return '---\n' + json.dumps({
        'apiVersion': 'v1', 'kind': 'ConfigMap',
        'metadata': {'name': name, 'namespace': namespace}, 'data': {key: text}}) + '\n'


def secret(name, entries, namespace='default', label=True):
    labels = {'sluice.dev/credential': 'true'} if label else {}
    return '---\n' + json.dumps({
        'apiVersion': 'v1', 'kind': 'Secret', 'stringData': entries,
        'metadata': {'name': name, 'namespace': namespace, 'labels': labels}}) + '\n'


class Teller:
    """A backend whose answer is what it was asked: method, target and headers, as JSON."""

    def __init__(self, at=0):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def answer(self):
                n = int(self.headers.get('content-length') or 0)
                self.rfile.read(n)
                fields = {}
                for name, value in self.headers.items():
                    fields.setdefault(name.lower(), []).append(value)
                told = {'method': self.command, 'target': self.path, 'headers': fields}
                seen.append(told)
                body = json.dumps(told).encode()
                self.send_response(200)
                self.send_header('content-length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', at), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
