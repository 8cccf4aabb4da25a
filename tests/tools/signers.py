# SPDX-License-Identifier: Apache-2.0
"""Clients that sign their requests: HTTP Message Signatures (RFC 9421) with a shared secret, and the
form of Kong's plugin hmac-auth. Written from the RFCs, with Python's own HMAC."""
import base64
import email.utils
import hashlib
import hmac
import time

COVERS = ('@method', '@authority', '@path', '@query')


def b64(data):
    return base64.b64encode(data).decode()


def mac(secret, text, algorithm='hmac-sha256'):
    return b64(hmac.new(secret.encode(), text.encode(), algorithm.removeprefix('hmac-')).digest())


def content_digest(body, algorithm='sha-256'):
    return f'{algorithm}=:{b64(hashlib.new(algorithm.replace("-", ""), body).digest())}:'


def message(keyid, secret, target='/', method='GET', host='shop.example.com', covers=COVERS, created=None,
            algorithm='hmac-sha256', fields=None, secure=False, **params):
    """Fields of a request; those of `fields` that are covered are signed and among them."""
    path, has_query, query = target.partition('?')
    scheme = 'https' if secure else 'http'
    known = {'@method': method, '@authority': host, '@path': path, '@query': '?' + query,
             '@scheme': scheme, '@request-target': target, '@target-uri': f'{scheme}://{host}{target}'}
    known.update({name.lower(): value for name, value in (fields or {}).items()})
    del has_query
    created = int(time.time()) if created is None else created
    about = '(' + ' '.join(f'"{name}"' for name in covers) + f');created={created};keyid="{keyid}"'
    for name, value in params.items():
        about += f';{name}={value}' if isinstance(value, int) else f';{name}="{value}"'
    lines = [f'"{name}": {known[name]}' for name in covers] + [f'"@signature-params": {about}']
    return {'Signature-Input': f'sig1={about}', 'Signature': f'sig1=:{mac(secret, chr(10).join(lines), algorithm)}:',
            **(fields or {})}


def kong(username, secret, target='/', method='GET', names=('date', 'request-line'), at=None,
         algorithm='hmac-sha256', version='1.1', body=None, fields=None):
    """Likewise. body: a Digest is signed with the rest."""
    have = {'date': email.utils.formatdate(time.time() if at is None else at, usegmt=True), **(fields or {})}
    if body is not None:
        have['digest'] = f'SHA-256={b64(hashlib.sha256(body).digest())}'
        names = (*names, 'digest')
    line = f'{method} {target} HTTP/{version}'
    text = '\n'.join(line if n == 'request-line' else f'{n}: {have[n]}' for n in names)
    return {**have, 'Authorization': f'hmac username="{username}", algorithm="{algorithm}", '
                                     f'headers="{" ".join(names)}", signature="{mac(secret, text, algorithm)}"'}
