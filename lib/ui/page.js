// SPDX-License-Identifier: Apache-2.0
//
// The live page: asks /live every two seconds while it can be seen, and writes down what it says. All that is
// shown goes in as text (textContent), whatever a name may look like.
'use strict';

const EVERY_MS = 2000;
const ROWS_MAX = 200;
const byId = id => document.getElementById(id);
const view = { data: null, sort: 'rate', find: '', asking: false };

// ---- words ----

function rate(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function time(us) {
  if (us === null || us === undefined) return '–';
  const ms = us / 1000;
  if (ms >= 1000) return (ms / 1000).toFixed(ms >= 10000 ? 0 : 1) + ' s';
  return (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)) + ' ms';
}

function span(ms) {
  const s = ms / 1000;
  if (s < 120) return Math.round(s) + ' s';
  if (s < 7200) return Math.round(s / 60) + ' min';
  return s < 172800 ? Math.round(s / 3600) + ' h' : Math.round(s / 86400) + ' d';
}

const percent = value => (value > 0 && value < 0.1 ? '<0.1' : value.toFixed(value >= 10 ? 0 : 1)) + ' %';
const bytes = value => (value / 1048576).toFixed(0) + ' MiB';
const routeName = r => r.namespace ? `${r.namespace}/${r.name}/${r.rule}` : r.name;
const others = r => Math.max(0, r.mean_us - r.gateway_mean_us - r.upstream_mean_us);

// ---- elements ----

function make(name, text, kind) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (kind) e.className = kind;
  return e;
}

function cell(text, kind) { return make('td', text, kind); }

// Which of the three parts the mean time went to.
function bar(r) {
  const parts = [['gateway', r.gateway_mean_us], ['upstream', r.upstream_mean_us], ['others', others(r)]];
  const e = make('div', undefined, 'bar');
  e.setAttribute('role', 'img');
  e.title = parts.map(([name, us]) => `${name} ${time(us)}`).join(', ');
  e.setAttribute('aria-label', e.title);
  for (const [name, us] of parts) {
    const part = make('span', undefined, 'bar-' + name);
    part.style.flexGrow = String(r.mean_us > 0 ? us / r.mean_us : 0);
    e.append(part);
  }
  return e;
}

function reasonLink(name) {
  const a = make('a', name);
  a.href = 'runbook.html#' + encodeURIComponent(name);
  return a;
}

// Rows are made anew each time; who had the focus has it again.
function fill(table, rows) {
  const held = document.activeElement;
  const key = table.contains(held) && held.closest('tbody') ? held.dataset.key : undefined;
  table.tBodies[0].replaceChildren(...rows);
  if (key !== undefined)
    for (const e of table.querySelectorAll('tbody [data-key]'))
      if (e.dataset.key === key) { e.focus(); break; }
}

function row(...cells) {
  const e = make('tr');
  e.append(...cells);
  return e;
}

function heads(id, columns) {
  byId(id).tHead.rows[0].replaceChildren(...columns.map(([text, kind, sort]) => {
    const th = make('th', sort ? undefined : text, kind);
    th.scope = 'col';
    if (sort) {
      const button = make('button', text);
      button.type = 'button';
      button.addEventListener('click', () => { view.sort = sort; showSort(); show(); });
      th.dataset.sort = sort;
      th.append(button);
    }
    return th;
  }));
}

function showSort() {
  for (const th of document.querySelectorAll('th[data-sort]'))
    if (th.dataset.sort === view.sort) th.setAttribute('aria-sort', 'descending');
    else th.removeAttribute('aria-sort');
}

// ---- the parts of the page ----

function showSummary(d) {
  const ready = d.proxies.filter(p => p.ready), step = ready.filter(p => p.current);
  const t = d.total, asked = t.requests > 0;
  byId('revision').textContent = d.revision;
  byId('step').textContent = `${step.length} of ${d.proxies.length}`;
  byId('step').className = step.length < d.proxies.length ? 'bad' : '';
  byId('rate').textContent = rate(t.requests_per_second);
  byId('failures').textContent = percent(t.failure_percent);
  byId('failures').className = t.failure_percent >= 1 ? 'bad' : '';
  byId('slow').textContent = asked ? `gateway ${time(t.gateway_mean_us)} / upstream ${time(t.upstream_mean_us)}` : 'nobody asks';
  byId('version').textContent = d.version;
}

const SORTS = {
  rate: r => r.requests_per_second,
  failures: r => r.failures_per_second,
  p99: r => r.p99_us === null ? -1 : r.p99_us,
};

function reasonsCell(r) {
  const td = cell(undefined, 'wide');
  r.reasons.slice(0, 3).forEach((reason, i) => {
    const a = reasonLink(reason.name);
    a.dataset.key = routeName(r) + ' ' + reason.name;
    if (i > 0) td.append(' ');
    td.append(a);
  });
  return td;
}

function routeRow(r) {
  const part = cell();
  part.append(bar(r));
  return row(
    cell(routeName(r), 'name'),
    cell(rate(r.requests_per_second), 'number'),
    cell(percent(r.failure_percent), 'number' + (r.failure_percent >= 1 ? ' bad' : '')),
    cell(time(r.p50_us), 'number wide'), cell(time(r.p99_us), 'number'),
    cell(time(r.gateway_p99_us), 'number wide'), cell(time(r.upstream_p99_us), 'number wide'),
    part, cell(r.slowest), reasonsCell(r));
}

function showRoutes(d) {
  const find = view.find.toLowerCase(), of = SORTS[view.sort];
  const found = d.routes.filter(r => routeName(r).toLowerCase().includes(find));
  found.sort((a, b) => of(b) - of(a) || (routeName(a) < routeName(b) ? -1 : 1));
  fill(byId('routes'), found.slice(0, ROWS_MAX).map(routeRow));
  byId('routes-note').textContent =
    d.seconds === 0 ? 'The proxies were asked just now.' :
    found.length === 0 ? `No request in the last ${Math.round(d.seconds)} s.` :
    `${Math.min(found.length, ROWS_MAX)} of ${d.routes.length} with requests, over the last ${Math.round(d.seconds)} s.`;
}

function showReasons(d) {
  fill(byId('reasons'), d.total.reasons.map(r => {
    const name = cell(), link = reasonLink(r.name);
    link.dataset.key = r.name;
    name.append(link);
    return row(name, cell(r.origin), cell(rate(r.per_second), 'number'));
  }));
}

function stateOf(p) {
  if (p.nack) return ['refused: ' + p.nack, 'bad'];
  if (p.behind) return ['behind', 'bad'];
  if (p.ready && p.current) return ['current', 'good'];
  return [p.ready ? 'waiting' : 'starting', 'warn'];
}

function showFleet(d) {
  fill(byId('fleet'), d.proxies.map(p => row(
    cell(p.name, 'name'), cell(...stateOf(p)), cell(p.revision, 'wide'),
    cell(p.lag_ms > 0 ? span(p.lag_ms) : '–', 'number'),
    cell(rate(p.requests_per_second), 'number'), cell(String(p.connections), 'number'),
    cell(bytes(p.memory_bytes), 'number wide'),
    cell((p.version || 'older') + (p.live === false && d.seconds > 3 ? ' (tells no routes)' : ''), 'wide'))));
}

function whoOf(c) {
  return c.note ? '–' : [...new Set(c.causes.map(x => x.manager || x.file).filter(Boolean))].join(', ') || '–';
}

function causeOf(c) {
  const names = c.note ? [c.note] : c.causes.map(x => `${x.kind} ${x.namespace ? x.namespace + '/' : ''}${x.name}`);
  const more = c.note ? 0 : c.n_causes - names.length;
  return names.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function movedOf(c) {
  return [[c.added, 'added'], [c.changed, 'changed'], [c.removed, 'removed']].filter(([n]) => n > 0)
    .map(([n, word]) => `${n} ${word}`).join(', ') || '–';
}

function showChanges(d) {
  byId('changes-section').hidden = d.changes.length === 0;
  fill(byId('changes'), d.changes.map(c => row(
    cell(span(Math.max(0, d.now_ms - c.time_ms)) + ' ago'), cell(whoOf(c)), cell(causeOf(c)), cell(movedOf(c)),
    cell(`${c.proxies.current}/${c.proxies.ready}`, 'number'), cell(c.revision, 'wide'))));
}

function showRefused(d) {
  const items = d.refused.map(r => (r.message || `${r.kind} ${r.namespace}/${r.name}: ${r.reason}`) +
    (r.held ? ' (its last good version serves)' : '')).concat(d.faults);
  byId('pinned').hidden = !d.pinned;
  byId('pinned').textContent = d.pinned ? d.pinned.text : '';
  byId('refused-section').hidden = items.length === 0;
  byId('refused').replaceChildren(...items.map(text => make('li', text)));
}

function show() {
  const d = view.data;
  if (d) [showSummary, showRoutes, showReasons, showFleet, showChanges, showRefused].forEach(part => part(d));
}

function say(text, bad) {
  const state = byId('state');
  if (state.textContent !== text) state.textContent = text;
  state.className = bad ? 'bad' : '';
}

// ---- asking ----

async function ask() {
  if (view.asking || document.hidden) return;
  view.asking = true;
  try {
    const answer = await fetch('../live', { cache: 'no-store' });
    if (!answer.ok) throw new Error('it answers ' + answer.status);
    view.data = await answer.json();
    show();
    say(view.data.of === 'proxy' ? 'live, of this proxy alone' : 'live');
  } catch (error) {
    say('cannot reach it: ' + error.message, true);
  } finally {
    view.asking = false;
  }
}

heads('routes', [['route'], ['requests/s', 'number', 'rate'], ['failures', 'number', 'failures'], ['p50', 'number wide'],
  ['p99', 'number', 'p99'], ['gateway p99', 'number wide'], ['upstream p99', 'number wide'], ['where the time goes'],
  ['slowest'], ['reasons', 'wide']]);
heads('reasons', [['reason'], ['origin'], ['per second', 'number']]);
heads('fleet', [['proxy'], ['state'], ['revision', 'wide'], ['lag', 'number'], ['requests/s', 'number'],
  ['connections', 'number'], ['memory', 'number wide'], ['version', 'wide']]);
heads('changes', [['when'], ['who'], ['what'], ['objects'], ['live', 'number'], ['revision', 'wide']]);
showSort();
byId('find').addEventListener('input', e => { view.find = e.target.value; show(); });
document.addEventListener('visibilitychange', ask);
setInterval(ask, EVERY_MS);
ask();
