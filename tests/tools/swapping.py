# SPDX-License-Identifier: Apache-2.0
"""A proxy whose configuration is changed all the time by tests/tools/wirectl, next to load."""
import os
import re
import time

import many
import sluice
from sluice import eventually, must


class Wire(sluice.Gateway):
    """A proxy behind wirectl, which stands where a controller would."""

    def __init__(self, seconds, rate, **options):
        sluice.need('sluice-proxy', 'tests/tools/wirectl', 'tests/tools/origin')
        super().__init__('', start=False, **options)
        self.red, self.blue = sluice.Origin('red'), sluice.Origin('blue')
        self.wirectl = sluice.Program('wirectl', [
            os.path.join(sluice.BIN, 'tests/tools/wirectl'), '--listen', f'127.0.0.1:{self.link}',
            '--proxy', str(self.port), '--red', str(self.red.port), '--blue', str(self.blue.port),
            '--seconds', str(seconds), '--rate', str(rate)])
        self.says('listening')
        self.start_proxy()
        self.says('served')

    def says(self, word):
        eventually(lambda: word in self.wirectl.output() or not self.wirectl.alive(), word, 30)
        must(word in self.wirectl.output(), self.wirectl.output())

    def figures(self):
        """{'transactions': 6000.0, ...} at the end of the run."""
        found = dict(re.findall(r'(\w+)=([\d.]+)', self.wirectl.output()))
        must('transactions' in found, self.wirectl.output())
        return {name: float(value) for name, value in found.items()}

    def in_use(self, what):
        return sum(v for k, v in self.metrics().items() if what in k)


def run(seconds, rate, connections=16, workers=2):
    """Figures of wirectl, the proxy's memory 5 s after the start and at the end, wrk's summary."""
    with Wire(seconds, rate, workers=workers) as gw:
        load = sluice.wrk(gw.port, seconds + 1, connections, host='weight.test', path='/delay/2')
        early = None
        begin = time.monotonic()
        while gw.wirectl.alive():
            must(gw.proxy.alive(), 'the proxy ended: ' + gw.proxy.output()[-800:])
            must(time.monotonic() - begin < seconds + 90, 'wirectl does not end')
            time.sleep(0.2)
            if early is None and time.monotonic() - begin >= 5:
                early = many.memory(gw.proxy)
        late = many.memory(gw.proxy)
        must(gw.wirectl.process.returncode == 0, gw.wirectl.output())
        result = load.summary()
        must(result['errors'] == 0 and result['non_2xx'] == 0, result['text'])
        eventually(lambda: gw.in_use('sluice_streams{') == 0, 'no request is left')
        eventually(lambda: gw.in_use('="buffers"') == 0, 'the buffers are back')
        must(gw.proxy.stop(30) == 0, 'the proxy ended badly: ' + gw.proxy.output()[-800:])
        return gw.figures(), early, late, result
