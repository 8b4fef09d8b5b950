// The admin page: signing in, the stream of samples, and what each of them fills.
import { $, bytes, count, exact, inBytes, inMicros, micros, percent, say, span } from './format.js';
import { Chart } from './charts.js';
import * as panels from './panels.js';
import { ask, look, set } from './look.js';

const ROWS_MAX = 300;
const STALE_MS = 3_500;
let node = null, source = null, rows = [], heard = 0, charts = null;

// What a row holds, by place.
const [SESSIONS, PUBLICATIONS, DELIVERIES, WAITS, , , CPU, RSS] = [1, 2, 3, 4, 5, 6, 7, 8];

function makeCharts() {
  const one = (place, css) => [{ pick: row => row[place], css }];
  const make = (id, options) => new Chart($(`c-${id}`), options);
  return [
    make('deliveries', { label: 'Deliveries a second', lines: one(DELIVERIES), show: value => (value == null ? '–' : `${count(value)}/s`), least: 10, area: true }),
    make('wait', {
      label: 'Time from publish to socket', log: true, least: 1000, show: inMicros,
      lines: [
        { pick: row => row[WAITS][2], css: 'b', name: '99 %' },
        { pick: row => row[WAITS][1], css: 'b-mid', name: '95 %' },
        { pick: row => row[WAITS][0], css: 'b-low', name: '50 %' },
      ],
    }),
    make('publications', { label: 'Publications a second', lines: one(PUBLICATIONS), show: value => (value == null ? '–' : `${count(value)}/s`), least: 10, area: true }),
    make('sessions', { label: 'Sessions', lines: one(SESSIONS, 'b'), show: count, least: 10, area: true }),
    make('cpu', { label: 'Cores in use', lines: one(CPU), show: value => (value == null ? '–' : `${count(value)} core${value === 1 ? '' : 's'}`), least: 1, area: true, top: node.cores || null }),
    make('rss', { label: 'Resident memory', lines: one(RSS, 'b'), show: inBytes, least: 1 << 20, area: true, unit: 1 << 20 }),
  ];
}

function show(sample) {
  const [, sessions, publications, deliveries, waits, , , cpu, rss] = sample.row;
  $('board').dataset.stale = false;
  const { mood, head, text } = panels.verdict(sample, node);
  $('verdict').dataset.mood = mood;
  say('verdict-head', head); say('verdict-text', text);

  say('n-deliveries', count(deliveries)); say('a-deliveries', `${inBytes(sample.bytes_per_s)}/s to sockets`);
  say('n-publications', count(publications)); say('a-publications', sample.refused_per_s ? `${count(sample.refused_per_s)}/s refused` : `${count(sample.received_per_s)}/s from sockets`);
  say('n-sessions', exact(sessions));
  say('a-sessions', [`${count(sample.opened_per_s)} opened/s`, `${exact(sample.users)} users`, `${exact(sample.channels)} channels`].join(' · '));
  const [wait, unit] = micros(waits[2]);
  say('n-wait', wait); say('u-wait', unit); say('a-wait', waits[0] == null ? 'nothing was delivered' : `half within ${inMicros(waits[0])}`);
  say('n-cpu', count(cpu)); say('u-cpu', node.cores ? `of ${node.cores} cores` : 'cores');
  const [resident, residentUnit] = bytes(rss);
  say('n-rss', resident); say('u-rss', residentUnit);

  panels.busy.top = Math.max(0, ...sample.busy.rows.map(row => row.deliveries_per_s));
  panels.busy(sample.busy, look);
  panels.behind(sample, node, look);
  panels.memory(sample.memory, node.memory_steps);
  const window = `${panels.lately(sample.recent_s)}, of all`;
  say('a-drops', window); say('a-ends', window);
  panels.reasons('drops', 'drops-none', sample.drops, { bad: true });
  panels.reasons('ends', 'ends-none', sample.disconnects, { bad: true });
  panels.lanes(sample.lanes, sample.workers, 'lanes');
  const { fds, fds_max: most, tasks } = sample.process;
  say('foot', `Up ${span(sample.uptime_s)} · ${exact(fds)} of ${exact(most)} file descriptors (${percent(fds / most)}) · ${exact(tasks)} tasks · ${exact(sample.subscriptions)} subscriptions · ${exact(sample.viewers)} watching`);
}

function draw() { for (const chart of charts) chart.set(rows); }

function linked(state, text) {
  $('link').dataset.state = state;
  say('link-text', text);
}

function watch() {
  source?.close();
  const mine = source = new EventSource('/admin/events');
  linked('waiting', 'connecting');
  mine.addEventListener('history', event => { rows = JSON.parse(event.data).rows; draw(); });
  mine.addEventListener('sample', event => {
    const sample = JSON.parse(event.data);
    heard = Date.now();
    rows = [...rows, sample.row].slice(-ROWS_MAX);
    linked('live', 'live');
    show(sample); draw();
  });
  mine.addEventListener('over', () => signedOut('Your session is over. Sign in again.'));
  mine.addEventListener('error', () => { lost(); if (mine.readyState === EventSource.CLOSED) again(mine); });
}

function lost() {
  $('board').dataset.stale = true;
  const since = heard ? ` since ${new Date(heard).toLocaleTimeString()}` : '';
  linked('lost', `no connection${since}`);
}

// An EventSource does not tell what it was answered: ask for what does.
async function again(mine) {
  const { status, body } = await ask('/admin/node');
  if (mine !== source) return;
  if (status === 200 && !body.access) return signedOut('Your session is over. Sign in again.');
  if (status === 200) linked('lost', 'too many watch; trying again');
  setTimeout(() => { if (mine === source) start(); }, 3000);
}

setInterval(() => { if (source && heard && Date.now() - heard > STALE_MS && $('link').dataset.state === 'live') lost(); }, 1000);

function signedOut(text = '') {
  source?.close();
  source = null;
  if ($('look').open) $('look').close();
  document.body.dataset.stage = 'door';
  delete document.body.dataset.access;
  $('who').hidden = $('board').hidden = true;
  $('door').hidden = false;
  say('node', ''); say('wrong', text);
  $('key').focus();
}

async function start() {
  const { status, body, problem } = await ask('/admin/node');
  if (status === 200 && !body.access) return signedOut();
  if (status !== 200) {
    $('who').hidden = false;
    linked('lost', status ? problem : 'no connection; trying again');
    return setTimeout(start, 3000);
  }
  node = body;
  document.title = `${node.name} · Fanfare admin`;
  say('node', `${node.name} · ${node.version}`);
  document.body.dataset.stage = 'board';
  document.body.dataset.access = node.access;
  $('door').hidden = true;
  $('who').hidden = $('board').hidden = false;
  $('read-only').hidden = node.access === 'full';
  charts ??= makeCharts();
  watch();
}

$('door').addEventListener('submit', async event => {
  event.preventDefault();
  say('wrong', '');
  const form = new URLSearchParams({ key: $('key').value });
  const { status, problem } = await ask('/admin/do/login', { method: 'POST', body: form });
  if (status !== 200) {
    say('wrong', problem);
    $('key').select();
    return;
  }
  $('key').value = '';
  start();
});
$('leave').addEventListener('click', async () => {
  await ask('/admin/do/logout', { method: 'POST', body: '' });
  signedOut();
});
set();
start();
