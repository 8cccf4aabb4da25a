# SPDX-License-Identifier: Apache-2.0
"""A collector of traces (tests/otlp, built once from the Go module that it pins): it reads what it gets with the
OpenTelemetry Collector's own unmarshaller. And what it has read, as tests want it."""
import http.client
import json
import os
import subprocess
import urllib.parse

import sluice

OTLP = os.path.join(sluice.TOP, 'build/otlp')
SERVER, CLIENT = 2, 3


def cannot():
    """Why there is no collector on this machine; nothing when there is one."""
    done = subprocess.run([os.path.join(sluice.TOP, 'tests/otlp/build')], capture_output=True, text=True, check=False)
    return done.returncode and (done.stdout + done.stderr).strip().splitlines()[-1]


def config(backend='backendRef: {name: collector, namespace: default, port: 80}', more='percent: 100'):
    """A GatewayConfig that sends its spans to the Service `collector`."""
    return f'''---
apiVersion: sluice.dev/v1alpha1
kind: GatewayConfig
metadata: {{name: public}}
spec:
  tracing: {{{backend}, {more}}}
'''


CLASS = sluice.CLASS.rstrip().replace(
    'spec: {', 'spec: {parameters: {apiGroup: sluice.dev, kind: GatewayConfig, name: public}, ') + '\n'


def plain(value):
    kind, what = next(iter(value.items()), ('stringValue', ''))
    return int(what) if kind == 'intValue' else what


def named(attributes):
    return {a['key']: plain(a['value']) for a in attributes}


class Span:
    def __init__(self, span, resource):
        self.trace, self.id, self.parent = span['traceId'], span['spanId'], span.get('parentSpanId', '')
        self.name, self.kind, self.flags = span['name'], span['kind'], span.get('flags', 0)
        self.start, self.end = int(span['startTimeUnixNano']), int(span['endTimeUnixNano'])
        self.state, self.error = span.get('traceState', ''), span.get('status', {}).get('code') == 2
        self.resource = resource
        self.words = named(span.get('attributes', []))

    def __getitem__(self, name):
        return self.words.get(name)

    def __repr__(self):
        return f'{self.name} {self.words}{" error" if self.error else ""}'


class Collector(sluice.Program):
    """On 127.0.0.1:PORT, plain HTTP; with a pair of that authority, TLS."""

    def __init__(self, pair=None, authority=None):
        if why := cannot():
            sluice.skip(why)
        self.port, self.authority = sluice.port(), authority
        tls = ['--key', pair.key, '--certificate', pair.crt] if pair else []
        super().__init__('collector', [OTLP, '--listen', f'127.0.0.1:{self.port}', *tls])
        sluice.eventually(lambda: self.tell() == 200, 'the collector listens')

    def tell(self, **answer):
        """How it answers from now on: status, retry, wait, refuse, times."""
        c = http.client.HTTPSConnection('127.0.0.1', self.port, context=self.authority.context(), timeout=5) if self.authority \
            else http.client.HTTPConnection('127.0.0.1', self.port, timeout=5)
        try:
            c.request('PUT', '/answer?' + urllib.parse.urlencode(answer))
            return c.getresponse().status
        finally:
            c.close()

    def batches(self):
        lines = [json.loads(line) for line in self.output().splitlines(True) if line.startswith('{') and line.endswith('\n')]
        faults = [line['fault'] for line in lines if 'fault' in line]
        sluice.must(not faults, f'the collector cannot read it: {faults[:1]}')
        return lines

    def spans(self, trace=None):
        """Those that it has accepted; of one trace, by their start."""
        found = []
        for line in self.batches():
            for part in line['batch'].get('resourceSpans', []) if line['status'] == 200 else []:
                resource = named(part['resource']['attributes'])
                for scope in part['scopeSpans']:
                    found += [Span(s, resource) for s in scope.get('spans', [])]
        return sorted((s for s in found if trace in (None, s.trace)), key=lambda s: (s.start, s.kind))

    def of(self, trace, n=1):
        """The spans of a trace, as soon as there are n."""
        sluice.eventually(lambda: len(self.spans(trace)) >= n, f'{n} spans of {trace}: {self.spans(trace)}')
        return self.spans(trace)
