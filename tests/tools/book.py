# SPDX-License-Identifier: Apache-2.0
"""The pages: docs/, README.md and those of examples/, charts/ and tests/. Their blocks and the commands in them.

A block says by its first line what it is:

  ```yaml          resources, which the compiler takes; `yaml values` is for the chart
  ```json          JSON
  ```promql        a query
  ```panel         what panels of the dashboard show (tests/tools/walk.py)
  ```usage         how a program is called; its options are those that its --help names
  ```              a drawing, a format, or what the commands before it print
  ```sh            a command that is run: here, against the quickstart (tests/e2e/pages)
  ```sh cluster    against an API server (tests/kube/pages)
  ```sh by TEST    by that test
  ```sh not: WHY   by nobody

`exit-1` among the words is the exit code of a command that has found something. The block without a word that follows
shows what is promised; see oncall.py, which has this form for docs/runbook.md."""
import os
import re
import textwrap

import sluice

FENCE = re.compile(r'^( *)(```+)([^\n`]*)\n(.*?)^\1\2$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(([^)\s]+)\)')
LANGUAGES = ('yaml', 'json', 'promql', 'panel', 'usage', 'sh', '')
RUNBOOK = 'docs/runbook.md'  # has tests of its own


class Block:
    def __init__(self, page, line, words, text, follows):
        self.page, self.line, self.words, self.text, self.follows = page, line, words.split(), text, follows
        self.language = self.words[0] if self.words else ''

    def __str__(self):
        return f'{self.page}:{self.line}'


class Command:
    def __init__(self, block):
        words = block.words[1:]
        self.block, self.text, self.promise = block, block.text, ''
        self.code = 1 if 'exit-1' in words else 0
        self.by = words[words.index('by') + 1] if 'by' in words else None
        self.why = ' '.join(words[words.index('not:') + 1:]) if 'not:' in words else None
        self.where = 'cluster' if 'cluster' in words else 'standalone'


def read(path):
    with open(os.path.join(sluice.TOP, path), encoding='utf-8') as f:
        return f.read()


def pages():
    """Paths below the top of the tree."""
    yield 'README.md'
    for folder in ('docs', 'examples', 'charts', 'tests'):
        for path, _, names in sorted(os.walk(os.path.join(sluice.TOP, folder))):
            yield from (os.path.relpath(os.path.join(path, n), sluice.TOP) for n in sorted(names) if n.endswith('.md'))


def blocks(page):
    text, made, end = read(page), [], 0
    for m in FENCE.finditer(text):
        made.append(Block(page, text.count('\n', 0, m.start()) + 1, m[3], textwrap.dedent(m[4]), not text[end:m.start()].strip()))
        end = m.end()
    return made


def commands(page):
    """What is promised follows at once; it may be for several commands."""
    made, fresh = [], []
    for block in blocks(page):
        if not block.follows:
            fresh = []
        if block.language == 'sh':
            fresh.append(Command(block))
            made.append(fresh[-1])
        elif not block.language and fresh:
            for command in fresh:
                command.promise = block.text
            fresh = []
    return made


def run_here(where):
    """The commands that the test for that place runs, page after page."""
    return {page: found for page in pages() if page != RUNBOOK
            if (found := [c for c in commands(page) if c.where == where and not c.by and not c.why])}
