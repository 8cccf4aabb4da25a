# SPDX-License-Identifier: Apache-2.0
"""What the tests of the chart stand on: helm, and the chart rendered."""
import os
import subprocess

import yaml

import sluice
from sluice import must

CHART = os.path.join(sluice.TOP, 'charts/sluice')
CACHE = os.environ.get('SLUICE_CLUSTER_CACHE', os.path.expanduser('~/.cache/sluice-cluster'))
HELM = os.path.join(CACHE, 'bin/helm')  # of tests/cluster/build
KUBE_VERSION = '1.34.0'


def helm(*words, cwd=sluice.TOP):
    """(exit code, standard output, standard error)."""
    if not os.access(HELM, os.X_OK):
        sluice.skip('helm is not built: tests/cluster/build')
    done = subprocess.run([HELM, *words], capture_output=True, text=True, timeout=60, check=False,
                          cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def template(*words, release='sluice', namespace='sluice'):
    """The chart as text. words: `--set`, `a=b` ..."""
    code, out, err = helm('template', release, CHART, '--namespace', namespace,
                          '--kube-version', KUBE_VERSION, *words)
    must(code == 0, f'helm template {" ".join(words)}: {err}')
    return out


def render(*settings, **how):
    """The chart as objects; settings: `a=b` of --set."""
    words = [w for s in settings for w in ('--set', s)]
    return [o for o in yaml.safe_load_all(template(*words, **how)) if o]


def find(objects, kind, name, namespace=None):
    """The one object of that name."""
    found = [o for o in objects if o['kind'] == kind and o['metadata']['name'] == name
             and namespace in (None, o['metadata'].get('namespace'))]
    must(len(found) == 1, f'{len(found)} objects {kind} {name}')
    return found[0]
