# SPDX-License-Identifier: Apache-2.0
"""docs/walkthrough-502.md as tests see it. A section of it is headed by the name of a fault of alarms.FAULTS, and has

  ```panel    lines `panel of the dashboard: name of a series`, which that panel shows now
  ```sh by …  a command, and behind it what it has printed: oncall.py says how the two are compared"""
import os
import subprocess
import tempfile
import time

import alarms
import cluster
import dashboard
import oncall
import sluice
from sluice import must

PAGE = os.path.join(sluice.TOP, 'docs/walkthrough-502.md')
SECONDS = 30  # that the dashboard shows


def sections():
    with open(PAGE, encoding='utf-8') as f:
        return oncall.sections(f.read())


def faults():
    """Each section with a command is about a fault that there is."""
    found = [heading for heading, text in sections().items() if oncall.commands(text)]
    must(len(found) >= 5 and set(found) <= set(alarms.FAULTS), f'sections {found}, faults {list(alarms.FAULTS)}')
    return found


def path_with_plugin(folder):
    """kubectl finds `kubectl sluice` as its users have it: a link on the PATH."""
    for name in ('sluicectl', 'kubectl-sluice'):
        os.symlink(os.path.join(sluice.BIN, 'sluicectl'), os.path.join(folder, name))
    return folder + ':' + os.environ['PATH']


def legend(target, labels):
    name = target['legendFormat']
    if name == '__auto':
        return ' '.join(v for k, v in sorted(labels.items()))
    for key, value in labels.items():
        name = name.replace('{{' + key + '}}', value)
    return name.strip()


def shown(watch, title):
    """{name of a series: value} of that panel."""
    found = {}
    for p in dashboard.dashboard()['panels']:
        for t in p.get('targets', []) if p['title'] == title else []:
            for labels, points in watch.query(dashboard.filled(t['expr'], SECONDS, '10s')):
                found[legend(t, labels)] = points[0][1]
    return found


def panels(text):
    """(panel, series) of the blocks."""
    return [[w.strip() for w in line.split(':', 1)] for words, body in oncall.BLOCK.findall(text) if words == 'panel'
            for line in body.splitlines()]


def walked(name, watch):
    """AssertionError unless the section of that fault is as it is now."""
    text = sections()[name]
    for title, series in panels(text):
        found = shown(watch, title)
        must(found.get(series, 0) > 0, f'{title} does not show {series}, but {found}')
    commands = oncall.commands(text)
    must(commands, f'{name}: no command')
    with tempfile.TemporaryDirectory() as folder:
        path = path_with_plugin(folder)
        for command in commands:
            must(*said_in_the_end(command, path))


def said(command, path):
    """(whether it is as the page has it, what it was)."""
    done = subprocess.run(['bash', '-c', command.text], capture_output=True, text=True, timeout=60, check=False,
                          env=dict(os.environ, NO_COLOR='1', PATH=path, KUBECONFIG=cluster.KUBECONFIG))
    missing = oncall.kept(command.promise, done.stdout)
    return (done.returncode == command.code and not missing,
            f'{command.text}ended with {done.returncode}; missing are\n' + '\n'.join(missing) + f'\nin\n{done.stdout}{done.stderr}')


def said_in_the_end(command, path, seconds=20):
    """What Kubernetes shows of a pod that ends again and again differs from one moment to the next."""
    end = time.monotonic() + seconds
    while True:
        there, text = said(command, path)
        if there or time.monotonic() > end:
            return there, text
        time.sleep(1)
