# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by openssl in a folder that goes with the test; and a gateway that
listens on 443 as well.

    ca = certs.Authority()
    pair = ca.pair('shop.example.com')               # .crt, .key: files; .text: (certificate, key)
    certs.secret('shop', pair)                       # a manifest
    gw = certs.Gateway(manifests, web=origin)        # gw.https is the port
    status, body = certs.get(gw, ca, 'shop.example.com', '/')
"""
import atexit
import base64
import datetime
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile

import sluice

FOLDER = tempfile.mkdtemp(prefix='sluice-certs-')
atexit.register(shutil.rmtree, FOLDER, True)
_number = 0


def openssl(*words):
    done = subprocess.run(['openssl', *words], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f'openssl {words[0]}: {done.stderr.decode()}')
    return done.stdout


def _key(kind):
    return ['rsa:2048'] if kind == 'rsa' else ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']


def _read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


class Pair:
    def __init__(self, crt, key, ca):
        self.crt, self.key, self.above = crt, key, ca  # the last: the file of what is shown with it
        self.text = _read(crt) + (_read(ca) if ca else ''), _read(key)


class Authority:
    """A CA; its leaves are good for a month and bear the names that are asked for."""

    def __init__(self, above=None):
        self.crt, self.key = self._paths()
        signed = ['-CA', above.crt, '-CAkey', above.key] if above else []
        openssl('req', '-x509', '-newkey', *_key('ec'), '-nodes', '-keyout', self.key, '-out',
                self.crt, '-days', '30', '-subj', f'/CN=test authority {_number}', *signed)
        self.text = _read(self.crt)

    def below(self):
        """One that this one has signed."""
        return Authority(self)

    @staticmethod
    def _paths():
        global _number
        _number += 1
        return [os.path.join(FOLDER, f'{_number}.{end}') for end in ('crt', 'key')]

    def pair(self, *names, kind='ec', days=30, chain=False, uris=(), emails=(), addresses=(), subject=None, use=None):
        """names: DNS names, the first is the CN as well, unless there is a subject; use: serverAuth or
        clientAuth alone; days < 0: expired."""
        crt, key = self._paths()
        request = os.path.join(FOLDER, 'request')
        alt = ','.join([f'DNS:{n}' for n in names] + [f'URI:{u}' for u in uris] + [f'email:{e}' for e in emails]
                       + [f'IP:{a}' for a in addresses])
        extra = ['-addext', f'extendedKeyUsage={use}'] if use else []
        extra += ['-addext', f'subjectAltName={alt}'] if alt else []
        openssl('req', '-new', '-newkey', *_key(kind), '-nodes', '-keyout', key, '-out', request,
                '-subj', subject or f'/CN={names[0]}', *extra)
        openssl('x509', '-req', '-copy_extensions', 'copyall', '-days', str(days), '-in', request,
                '-CA', self.crt, '-CAkey', self.key, '-CAcreateserial', '-out', crt)
        pair = Pair(crt, key, self.crt if chain else None)
        if chain:
            with open(crt, 'w', encoding='utf-8') as f:
                f.write(pair.text[0])
        return pair

    def crl(self, *revoked, expired=False):
        """PEM: the list of those of its pairs that are revoked."""
        conf, index = (os.path.join(FOLDER, name) for name in ('ca.conf', 'index.txt'))
        with open(conf, 'w', encoding='utf-8') as f:
            f.write(f'[ca]\ndefault_ca = d\n[d]\ndatabase = {index}\ndefault_md = sha256\n')
        with open(index, 'w', encoding='utf-8') as f:
            for pair in revoked:
                serial = openssl('x509', '-noout', '-serial', '-in', pair.crt).decode()
                f.write(f'R\t400101000000Z\t240101000000Z\t{serial.strip().split("=")[1]}\tunknown'
                        '\t/CN=x\n')
        times = (['-crl_lastupdate', '200101000000Z', '-crl_nextupdate', '210101000000Z'] if expired
                 else ['-crldays', '30'])
        return openssl('ca', '-config', conf, '-gencrl', '-keyfile', self.key, '-cert', self.crt,
                       *times).decode()

    def context(self, protocols=None, version=None):
        """What a client that believes this authority goes by."""
        c = ssl.create_default_context(cafile=self.crt)
        if protocols:
            c.set_alpn_protocols(protocols)
        if version:
            c.minimum_version = c.maximum_version = version
        return c


def secret(name, pair, namespace='default'):
    """pair: a Pair, or its texts."""
    crt, key = (base64.b64encode(t.encode()).decode() for t in getattr(pair, 'text', pair))
    return f'''---
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}}}
type: kubernetes.io/tls
data: {{tls.crt: {crt}, tls.key: {key}}}
'''


def config_map(name, *authorities, namespace='default'):
    """A bundle of authorities under ca.crt."""
    pem = ''.join(_read(a.crt) for a in authorities)
    lines = ''.join(f'    {line}\n' for line in pem.splitlines())
    return f'''---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}, namespace: {namespace}}}
data:
  ca.crt: |
{lines}'''


def leaves(hosts):
    """Pairs of one root and one authority below it, one for each host, 0.5 ms each: (certificate of the leaf
    and that authority, key). openssl would be started three times for each."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    now, pem = datetime.datetime.utcnow(), serialization.Encoding.PEM

    def sign(subject, by, *extensions):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        builder = x509.CertificateBuilder(
            by[0].subject if by else subject, subject, key.public_key(), x509.random_serial_number(),
            now - datetime.timedelta(days=1), now + datetime.timedelta(days=30))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(by[1] if by else key, hashes.SHA256()), key
    is_authority = x509.BasicConstraints(True, None)
    authority = sign('test authority', sign('test root', None, is_authority), is_authority)
    chain = authority[0].public_bytes(pem)
    for host in hosts:
        leaf, key = sign(host, authority, x509.SubjectAlternativeName([x509.DNSName(host)]))
        yield ((leaf.public_bytes(pem) + chain).decode(),
               key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption()).decode())


class Gateway(sluice.Gateway):
    def __init__(self, manifests, proxy_options=(), **how):
        self.https = sluice.port()
        super().__init__(manifests, proxy_options=proxy_options, **how)

    def proxy_command(self):
        command = super().proxy_command()
        at = command.index('--ports') + 1
        command[at] += f',443={self.https}'
        return command


def dial(port, context, name, timeout=10):
    """A TLS connection to 127.0.0.1; name: whom it asks for, and who must answer (None: nobody)."""
    plain = socket.create_connection(('127.0.0.1', port), timeout=timeout)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the request waits for an ACK
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def get(gateway, authority, name, path='/', host=None, context=None, **fields):
    """(status, body, headers) of one request over TLS."""
    s = dial(gateway.https, context or authority.context(), name)
    connection = http.client.HTTPConnection(name or 'localhost')
    connection.sock = s
    try:
        connection.request('GET', path, headers={'Host': host or name, **fields})
        answer = connection.getresponse()
        return answer.status, answer.read().decode('latin-1'), answer.headers
    finally:
        connection.close()


class Session:
    """What a client of openssl's keeps of a connection."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix='session-', dir=FOLDER)
        os.close(handle)
        self.got = False  # a ticket

    def connect(self, port, version, name='shop.example.com', keep=True, pair=None, status=200):
        """'New' or 'Reused', of a connection that has had that answer; with `keep` the session is that
        of this one from now on. `pair` is shown."""
        fresh = self.path + '.new'
        command = ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-servername', name,
                   version, '-sess_out', fresh, '-ign_eof']
        if self.got:
            command += ['-sess_in', self.path]
        if pair:
            command += ['-cert', pair.crt, '-key', pair.key]
            command += ['-cert_chain', pair.above] if pair.above else []
        done = subprocess.run(command, input=f'GET / HTTP/1.1\r\nHost: {name}\r\n'
                              'Connection: close\r\n\r\n', capture_output=True, text=True,
                              timeout=20, check=False)
        said = re.search(r'^(New|Reused), ', done.stdout, re.M)
        sluice.must(said and f'HTTP/1.1 {status}' in done.stdout, f'{version}: {done.stdout[-300:]}'
                    f'{done.stderr[-300:]}')
        if keep and os.path.exists(fresh):  # else it is as it was
            self.got = 'TLS session ticket:' in done.stdout
            os.replace(fresh, self.path)
        return said[1]
