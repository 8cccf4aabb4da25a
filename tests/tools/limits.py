# SPDX-License-Identifier: Apache-2.0
"""Several proxies behind one controller, and load that is asked for at even times."""
import os
import threading
import time

import sluice
from sluice import Client, eventually, must

HOST = 'shop.example.com'
SECONDS = int(os.environ.get('SLUICE_LIMIT_SECONDS', '20'))


class Proxy:
    """One of several behind the gateway's controller."""

    def __init__(self, gw, name):
        self.port, self.telemetry, self.admin = sluice.port(), sluice.port(), sluice.port()
        self.program = sluice.Program(name, [
            os.path.join(sluice.BIN, 'sluice-proxy'), '--name', name, '--controller', f'ws://127.0.0.1:{gw.link}',
            '--bind', '127.0.0.1', '--ports', f'80={self.port}', '--workers', '2',
            '--telemetry', f'127.0.0.1:{self.telemetry}', '--admin', f'127.0.0.1:{self.admin}', '--access-log', 'off',
            '--drain-delay', '0s', '--drain-timeout', '1s'])
        eventually(lambda: sluice.get(self.telemetry, '/ready')[0] == 200, f'{name} is ready', 20)

    def metric(self, name):
        """0: it is not there."""
        text = sluice.get(self.telemetry, '/metrics')[1]
        return float(([line for line in text.splitlines() if line.startswith(name)] or ['0'])[0].split()[-1])


class Load:
    """So many requests a second to one proxy, at even times; who is allowed is counted."""

    def __init__(self, proxy, rate):
        self.proxy, self.rate, self.allowed, self.asked, self.over = proxy, rate, 0, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client, due = Client(self.proxy.port), time.monotonic()
        while not self.over:
            due += 1 / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                head, _ = client.ask(HOST)
            except (OSError, AssertionError):
                return  # the proxy has gone
            must(head.startswith((b'HTTP/1.1 200', b'HTTP/1.1 429')), head)
            self.asked += 1
            self.allowed += head.startswith(b'HTTP/1.1 200')

    def end(self):
        self.over = True
        self.thread.join()


def measure(loads, seconds):
    """Allowed in a second, over all."""
    started, before = time.monotonic(), sum(load.allowed for load in loads)
    time.sleep(seconds)
    return (sum(load.allowed for load in loads) - before) / (time.monotonic() - started)


def within(loads, limit, words, seconds=SECONDS, least=0.95, most=1.05):
    """limit: requests a second."""
    rate = measure(loads, seconds)
    print(f'{words}: {rate:.1f} of {limit} a second, asked {[load.rate for load in loads]}', flush=True)
    must(least * limit <= rate <= most * limit, f'{words}: {rate:.1f} a second')
