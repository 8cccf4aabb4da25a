// SPDX-License-Identifier: Apache-2.0
//
// docs/runbook.md of this version, as far as its Markdown is needed to read it: headings with their anchors,
// blocks of code, tables as they are, paragraphs. Everything goes in as text.
'use strict';

const anchor = title => title.toLowerCase().replace(/[^a-z0-9_ -]/g, '').replace(/ /g, '-');

function block(name, text) {
  const e = document.createElement(name);
  e.textContent = text;
  return e;
}

function heading(line) {
  const marks = line.indexOf(' '), title = line.slice(marks + 1);
  const e = block('h' + Math.min(marks, 4), title);
  e.id = anchor(title);
  return e;
}

const plain = text => text.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[*`]/g, '');

function read(text) {
  const out = [];
  let lines = [], code = false;
  const end = name => {
    if (lines.length > 0) out.push(block(name, name === 'pre' ? lines.join('\n') : plain(lines.join(' '))));
    lines = [];
  };
  for (const line of text.split('\n')) {
    if (line.startsWith('```')) {
      end(code ? 'pre' : lines[0] && lines[0].startsWith('|') ? 'pre' : 'p');
      code = !code;
    } else if (code) {
      lines.push(line);
    } else if (/^#+ /.test(line)) {
      end('p');
      out.push(heading(line));
    } else if (line === '') {
      end(lines[0] && lines[0].startsWith('|') ? 'pre' : 'p');
    } else {
      lines.push(line);
    }
  }
  end('p');
  return out;
}

function go() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) target.scrollIntoView();
}

fetch('runbook.md').then(answer => answer.text()).then(text => {
  document.getElementById('text').replaceChildren(...read(text));
  go();
});
addEventListener('hashchange', go);
