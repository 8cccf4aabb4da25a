# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes a gateway every second, as the chart's ServiceMonitor has it scraped.

    with prometheus.Server(proxy=gw.telemetry, controller=gw.controller_telemetry) as prom:
        rows = prom.query('sum(sluice_requests_total)')       # [(labels, [(time, value) ...]) ...]
"""
import json
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import sluice

PROGRAM = '/usr/bin/prometheus'


class Server(sluice.Program):
    """Keyword arguments are the targets: name = port of its telemetry."""

    def __init__(self, **targets):
        if not os.access(PROGRAM, os.X_OK):
            sluice.skip('no prometheus: .ci/deps')
        self.port, self.folder = sluice.port(), tempfile.mkdtemp(prefix='sluice-prometheus-')
        config = os.path.join(self.folder, 'prometheus.yml')
        with open(config, 'w', encoding='utf-8') as f:
            json.dump(self.config(targets), f)  # JSON is YAML
        super().__init__('prometheus', [
            PROGRAM, f'--config.file={config}', f'--storage.tsdb.path={self.folder}/data', '--log.level=warn',
            f'--web.listen-address=127.0.0.1:{self.port}'])
        sluice.eventually(lambda: sluice.get(self.port, '/-/ready')[0] == 200, 'Prometheus is ready', 30)

    @staticmethod
    def config(targets):
        """Labels of a target are those that the operator gives it; `namespace` is that of the gateway's pods."""
        return {'global': {'scrape_interval': '1s', 'scrape_timeout': '1s'}, 'scrape_configs': [{
            'job_name': 'sluice', 'honor_labels': True,
            'static_configs': [{'targets': [f'127.0.0.1:{port}'], 'labels': {
                'namespace': 'sluice', 'pod': f'sluice-{name}-0', 'container': name, 'endpoint': 'telemetry'}}
                for name, port in targets.items()]}]}

    def api(self, path, **arguments):
        url = f'http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments, doseq=True)}'
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())['data']
        except urllib.error.HTTPError as error:
            raise AssertionError(f'{json.loads(error.read())["error"]}: {arguments}') from error

    def query(self, expr, at=None):
        """At one moment: [(labels, [(time, value)])]."""
        found = self.api('query', query=expr, **({'time': at} if at else {}))
        sluice.must(found['resultType'] == 'vector', f'{expr} is a {found["resultType"]}')
        return [(r['metric'], [(r['value'][0], float(r['value'][1]))]) for r in found['result']]

    def query_range(self, expr, seconds, step=1, end=None):
        """Over the last seconds."""
        end = end or time.time()
        found = self.api('query_range', query=expr, start=end - seconds, end=end, step=step)
        return [(r['metric'], [(t, float(v)) for t, v in r['values']]) for r in found['result']]

    def values(self, label, match):
        """What a label is in the series that match."""
        return self.api(f'label/{label}/values', **{'match[]': match})

    def __exit__(self, kind, *_):
        super().__exit__(kind)
        shutil.rmtree(self.folder, ignore_errors=True)
