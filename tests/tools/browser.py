# SPDX-License-Identifier: Apache-2.0
"""A real browser under a test's hand: headless Chromium and its DevTools protocol, one page.

    with browser.Page() as page:
        page.open('http://127.0.0.1:7402/ui/')
        page.eventually("document.title === 'Sluice: live'")
        must(page.complaints == [], page.complaints)
"""
import asyncio
import base64
import json
import os
import shutil
import tempfile
import threading
import time

import sluice

try:
    import websockets
except ImportError as error:
    sluice.skip(f'{error} (apt-get install python3-websockets)')
BROWSER = '/usr/lib/chromium/chromium-headless-shell'  # itself: the script in /usr/bin ends, and leaves it
if not os.access(BROWSER, os.X_OK):
    sluice.skip('Chromium is not there (apt-get install chromium-headless-shell)')


class Page:
    def __init__(self, *options):
        self.folder, self.port = tempfile.mkdtemp(prefix='sluice-browser-'), sluice.port()
        self.program = sluice.Program('browser', [
            BROWSER, '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', f'--user-data-dir={self.folder}',
            f'--remote-debugging-port={self.port}', *options, 'about:blank'])
        self.complaints = []  # of the console and of policies: errors, warnings, exceptions
        self.fetched = []     # every address that was asked for
        self.answers, self.number = {}, 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        page = sluice.eventually(self._page, 'the browser is there', 30)
        self._wait(self._connect(page))
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop)
        for domain in ('Page', 'Runtime', 'Log', 'Network', 'Audits'):
            self.call(domain + '.enable')

    def _page(self):
        targets = json.loads(sluice.get(self.port, '/json/list')[1])
        return next((t['webSocketDebuggerUrl'] for t in targets if t['type'] == 'page'), None)

    def _wait(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    async def _connect(self, page):
        self.socket = await websockets.connect(page, max_size=None)

    async def _listen(self):
        try:
            async for text in self.socket:
                self._hear(json.loads(text))
        except websockets.ConnectionClosed:
            pass

    def _hear(self, m):
        what, how = m.get('method'), m.get('params')
        if 'id' in m:
            self.answers[m['id']] = m
        elif what == 'Log.entryAdded' and how['entry']['level'] in ('error', 'warning'):
            self.complaints.append(how['entry']['text'])
        elif what == 'Runtime.exceptionThrown':
            self.complaints.append(how['exceptionDetails'])
        elif what == 'Runtime.consoleAPICalled' and how['type'] in ('error', 'warning', 'assert'):
            self.complaints.append(how['args'])
        elif what == 'Audits.issueAdded':
            self.complaints.append(how['issue'])
        elif what == 'Network.requestWillBeSent':
            self.fetched.append(how['request']['url'])

    def call(self, method, **params):
        self.number += 1
        number = self.number
        self._wait(self.socket.send(json.dumps({'id': number, 'method': method, 'params': params})))
        answer = sluice.eventually(lambda: self.answers.pop(number, None), method, 30)
        sluice.must('error' not in answer, f'{method}: {answer}')
        return answer['result']

    def open(self, address):
        self.call('Page.navigate', url=address)

    def ask(self, expression):
        """The value of a JavaScript expression."""
        result = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        sluice.must('exceptionDetails' not in result, f'{expression}: {result}')
        return result['result'].get('value')

    def eventually(self, expression, seconds=10):
        """The first true value of it."""
        return sluice.eventually(lambda: self.ask(expression), expression, seconds, 0.1)

    def size(self, width, height, mobile=False):
        self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def prefers(self, scheme):
        self.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])

    def key(self, key, code=None):
        for kind in ('keyDown', 'keyUp'):
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode={'Tab': 9, 'Enter': 13}.get(key, 0),
                      text='\r' if key == 'Enter' and kind == 'keyDown' else '')

    def picture(self, path):
        data = self.call('Page.captureScreenshot', format='png')['data']
        with open(path, 'wb') as f:
            f.write(base64.b64decode(data))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and self.complaints:
            print('the browser complains:', self.complaints[:5])
        self.program.kill()
        for _ in range(20):  # its children write a moment longer
            shutil.rmtree(self.folder, True)
            if not os.path.exists(self.folder):
                break
            time.sleep(0.1)
