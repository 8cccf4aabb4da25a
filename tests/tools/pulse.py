# SPDX-License-Identifier: Apache-2.0
"""A control beside a measurement: when did the machine itself stand still?

One process for each CPU that this test may use does nothing but ask for the time and sleep a
fraction of a millisecond. Where it was not woken for longer than the limit, whatever was measured
meanwhile says nothing about the program under test.
"""
import multiprocessing
import os
import time

PAUSE_S = 0.0005


def _spin(cpu, limit_s, pipe):
    os.sched_setaffinity(0, {cpu})
    before = time.monotonic()
    while True:
        time.sleep(PAUSE_S)
        now = time.monotonic()
        if now - before > limit_s:
            pipe.send((before, now))
        before = now


class Pulse:
    """with Pulse() as pulse: ...; pulse.stalled(from, to) afterwards, in time.monotonic()."""

    def __init__(self, limit_ms=5):
        self.limit_s = limit_ms / 1000
        self.stalls = []
        self.processes, self.pipes = [], []

    def __enter__(self):
        for cpu in sorted(os.sched_getaffinity(0)):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            p = multiprocessing.Process(target=_spin, args=(cpu, self.limit_s, theirs),
                                        daemon=True)
            p.start()
            self.processes.append(p)
            self.pipes.append(ours)
        return self

    def __exit__(self, *_):
        for p in self.processes:
            p.kill()
            p.join()

    def _collect(self):
        for pipe in self.pipes:
            while pipe.poll():
                self.stalls.append(pipe.recv())

    def stalled(self, begin, end):
        """Whether a stall overlaps that time. Ask a moment after `end`: it tells when it wakes."""
        self._collect()
        return any(a < end and begin < b for a, b in self.stalls)
