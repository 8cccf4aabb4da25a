# SPDX-License-Identifier: Apache-2.0
"""A constant load whose every request is accounted for.

Requests start at a rate, whether or not earlier ones have been answered (open loop), on connections
that are kept, and every tenth on a new one. Each ends exactly once: with the status that it should
have, or as a failure that says when and why. Nothing is tried again: a connection that the other side
closes while a request is under way is a failure, and so is an answer later than `patience`.

    with Ledger('10.97.0.100', 80, 'shop.example.com', rate=200) as load:
        ... what must not be noticed ...
    load.must_be_clean()
"""
import collections
import http.client
import threading
import time

from sluice import must

NEW_CONNECTION_EVERY = 10


class Ledger:
    def __init__(self, address, port, host, path='/', rate=100, workers=16, patience=5.0,
                 status=200, who=None):
        self.address, self.port, self.host, self.path = address, port, host, path
        self.rate, self.workers, self.patience, self.status = rate, workers, patience, status
        self.who = who  # of an answer's body: whom to count it for
        self.lock = threading.Lock()
        self.next = 0        # number of the next request
        self.answered = 0
        self.failures = []   # (seconds since the start, what)
        self.slowest = 0.0   # seconds from when a request should have started to its answer
        self.seen = collections.Counter()
        self.ending = threading.Event()
        self.threads = []

    def _take(self):
        with self.lock:
            number = self.next
            self.next += 1
        return number

    def _one(self, connection, number):
        if number % NEW_CONNECTION_EVERY == 0:
            connection.close()
        connection.request('GET', self.path, headers={'Host': self.host, 'x-number': str(number)})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != self.status:
            reason = answer.headers.get('sluice-reason', '')
            raise http.client.HTTPException(f'status {answer.status} {reason} {body[:80]!r}')
        return self.who(body.decode('latin-1')) if self.who else ''

    def _work(self):
        connection = http.client.HTTPConnection(self.address, self.port, timeout=self.patience)
        while not self.ending.is_set():
            number = self._take()
            due = self.started + number / self.rate
            if self.ending.wait(max(0, due - time.monotonic())):
                break
            begin = time.monotonic()
            try:
                who = self._one(connection, number)
                error = None
            except (OSError, http.client.HTTPException) as e:
                connection.close()
                error = f'{type(e).__name__}: {e}'
            now = time.monotonic()
            with self.lock:
                if error:
                    self.failures.append((begin - self.started, f'request {number}: {error}'))
                else:
                    self.answered += 1
                    self.seen[who] += 1
                    self.slowest = max(self.slowest, now - due)
        connection.close()

    def __enter__(self):
        self.started = time.monotonic()
        self.threads = [threading.Thread(target=self._work, daemon=True)
                        for _ in range(self.workers)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(self.patience + 1)

    def text(self):
        with self.lock:
            first = ''.join(f'\n  {at:7.2f} s {what}' for at, what in self.failures[:20])
            return (f'{self.answered} answered, {len(self.failures)} failed, '
                    f'slowest {self.slowest * 1000:.0f} ms{first}')

    def must_be_clean(self, at_least=1):
        must(not self.failures and self.answered >= at_least, self.text())
