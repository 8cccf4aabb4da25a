# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider of somebody else (tests/idp, built once from the Go module that it pins), and a browser as
far as a login needs one: it keeps cookies as RFC 6265bis says, and follows redirects."""
import html
import http.client
import os
import re
import ssl
import subprocess
import urllib.parse

import certs
import sluice

IDP = os.path.join(sluice.TOP, 'build/idp')


def cannot():
    """Why there is no provider on this machine; nothing when there is one."""
    done = subprocess.run([os.path.join(sluice.TOP, 'tests/idp/build')], capture_output=True, text=True, check=False)
    return done.returncode and (done.stdout + done.stderr).strip().splitlines()[-1]


class Provider(sluice.Program):
    """At https://127.0.0.1:PORT/; client "shop" with the password "s3cret"; its people are in tests/idp/main.go."""

    def __init__(self, authority, redirect, logout, life='1h'):
        if why := cannot():
            sluice.skip(why)
        self.port = sluice.port()
        self.issuer = f'https://127.0.0.1:{self.port}/'
        self.context = ssl.create_default_context(cafile=authority.crt)
        self.pair = authority.pair('localhost', addresses=['127.0.0.1'])
        super().__init__('idp', [IDP, self.issuer, f'127.0.0.1:{self.port}', self.pair.crt, self.pair.key, redirect,
                                 logout, life])
        sluice.eventually(lambda: self.tell() == 0, 'the provider listens')

    def tell(self, **words):
        """How many questions its token endpoint has had; from now on it is down, or slow, or neither."""
        connection = http.client.HTTPSConnection('127.0.0.1', self.port, context=self.context, timeout=10)
        connection.request('GET', '/_test?' + urllib.parse.urlencode(words))
        try:
            return int(connection.getresponse().read())
        finally:
            connection.close()


class Answer:
    def __init__(self, url, status, body, headers):
        self.url, self.status, self.body, self.headers = url, status, body, headers

    @property
    def location(self):
        where = self.headers.get('location')
        return where and urllib.parse.urljoin(self.url, where)


class Browser:
    """names: {host: port} that are 127.0.0.1 here."""

    def __init__(self, context, names):
        self.context, self.names, self.cookies = context, names, {}

    def _sent(self, host, path):
        return '; '.join(f'{name}={value}' for (h, name), (value, p) in self.cookies.items()
                         if h == host and path.startswith(p))

    def _keep(self, host, line):
        first, *rest = [part.strip() for part in line.split(';')]
        name, _, value = first.partition('=')
        told = {k.lower(): v for k, _, v in (part.partition('=') for part in rest)}
        sluice.must('secure' in told and 'httponly' in told or host == '127.0.0.1', f'a cookie without Secure: {line}')
        if name.startswith('__Host-'):
            sluice.must(told.get('path') == '/' and 'domain' not in told, f'no browser keeps {line}')
        sluice.must(len(name) + len(value) <= 4096, f'a cookie of {len(value)} bytes')
        if told.get('max-age') == '0':
            self.cookies.pop((host, name), None)
        else:
            self.cookies[host, name] = (value, told.get('path', '/'))

    def ask(self, url, method='GET', body=None, **fields):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
        connection.sock = certs.dial(parts.port, self.context, parts.hostname, 20)
        target = parts.path + ('?' + parts.query if parts.query else '')
        headers = {'accept': 'text/html,*/*', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document',
                   'cookie': self._sent(parts.hostname, parts.path), **{k.replace('_', '-'): v for k, v in fields.items()}}
        try:
            connection.request(method, target, body=body, headers={k: v for k, v in headers.items() if v})
            answer = connection.getresponse()
            got = Answer(url, answer.status, answer.read().decode('latin-1'), answer.headers)
        finally:
            connection.close()
        for line in got.headers.get_all('set-cookie') or []:
            self._keep(parts.hostname, line)
        return got

    def follow(self, answer, until=None):
        """Redirects, until an address begins so, or there are none."""
        for _ in range(20):
            if answer.status not in (301, 302, 303, 307) or (until and answer.location.startswith(until)):
                return answer
            answer = self.ask(answer.location)
        raise AssertionError(f'it goes round: {answer.location}')

    def fill(self, answer, **words):
        """The form of a page, with these words in it."""
        action = re.search(r'action="([^"]*)"', answer.body)[1]
        fields = dict(re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', answer.body))
        body = urllib.parse.urlencode({**{k: html.unescape(v) for k, v in fields.items()}, **words})
        return self.ask(urllib.parse.urljoin(answer.url, html.unescape(action)), 'POST', body,
                        content_type='application/x-www-form-urlencoded')

    def log_in(self, url, until=None):
        """To that page, over the provider's form: its answer, or the redirect to an address that begins so."""
        page = self.follow(self.ask(url))
        sluice.must('name="password"' in page.body, f'no form of the provider: {page.url} {page.status} {page.body[:300]}')
        return self.follow(self.fill(page, username='ann', password='verysecure'), until)
