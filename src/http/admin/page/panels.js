// The panels that a sample fills: tables, reasons, memory, lanes, and the verdict above them all.
import { $, bytes, count, element, exact, inBytes, inMicros, inMillis, meter, percent, say, several, span, svg, words } from './format.js';
import { histogram } from './charts.js';

// Rows are kept where they are for as long as they show the same thing, so that a click or the focus
// of a keyboard is not lost to the next second.
function fill(body, rows, key, make) {
  const there = new Map([...body.children].map(row => [row.dataset.key, row]));
  const wanted = rows.map(row => {
    const found = there.get(String(row[key])) ?? make(row);
    found.dataset.key = row[key];
    found.update(row);
    return found;
  });
  const same = wanted.length === body.children.length && wanted.every((row, at) => row === body.children[at]);
  if (same) return;
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  body.replaceChildren(...wanted);
  if (focused?.isConnected) focused.focus({ preventScroll: true });
}

function line(open, name, cells, update) {
  const button = element('button', { type: 'button', className: 'open', textContent: name, title: name });
  button.addEventListener('click', open);
  const row = element('tr', {}, element('td', {}, button), ...cells);
  row.update = update;
  return row;
}
const cell = (css = 'n') => element('td', { className: css });

export function busy({ active, rows }, look) {
  say('a-busy', active > rows.length ? `${exact(rows.length)} of ${exact(active)} active` : active ? `${exact(active)} active` : '');
  $('busy-none').hidden = rows.length > 0;
  $('busy').closest('.table').hidden = rows.length === 0;
  fill($('busy'), rows, 'channel', ({ channel }) => {
    const cells = [cell(), cell(), cell('n share')];
    return line(() => look('channel', channel), channel, cells, row => {
      say(cells[0], exact(row.sessions));
      say(cells[1], count(row.publications_per_s));
      say(cells[2], count(row.deliveries_per_s));
      cells[2].style.setProperty('--share', rows[0] && row.deliveries_per_s < busy.top * 0.03 ? 0 : row.deliveries_per_s / busy.top);
    });
  });
}

export function behind(sample, node, look) {
  const all = sample.row[5], { lag } = sample;
  say('n-behind', all ? several(all, 'session') : '');
  $('lag').hidden = !all;
  $('behind-none').hidden = all > 0;
  if (!all) return;
  const names = (bounds, show) => [...bounds.map(show), 'more'];
  // The last bars are those at the bound, where the policy begins.
  const late = (bounds, most) => bounds.findIndex(bound => bound >= most * 0.99);
  histogram($('lag-bytes'), lag.bytes, names(lag.bytes_bounds, inBytes), late(lag.bytes_bounds, node.outbox_bytes_max));
  histogram($('lag-ms'), lag.ms, names(lag.ms_bounds, inMillis), late(lag.ms_bounds, node.outbox_age_max_ms));
  fill($('slow'), lag.slowest, 'session', ({ session, user }) => {
    const cells = [cell(), cell(), cell(), cell()];
    return line(() => look('session', session), user ?? session, cells, row => {
      say(cells[0], inBytes(row.bytes));
      say(cells[1], inMillis(row.oldest_ms));
      say(cells[2], span(row.behind_ms / 1000));
      say(cells[3], row.lost ? exact(row.lost) : '–');
    });
  });
}

const HARMLESS = new Set(['client_closed', 'shutdown', 'kicked', 'token_expired']);

export const lately = seconds => (seconds >= 299 ? 'last 5 min' : seconds < 120 ? `last ${seconds} s` : `last ${Math.floor(seconds / 60)} min`);

export function reasons(list, none, all, { bad }) {
  const rows = Object.entries(all).map(([name, [recent, total]]) => ({ name, recent, total }))
    .filter(row => row.total > 0).sort((a, b) => b.recent - a.recent || b.total - a.total);
  const most = Math.max(1, ...rows.map(row => row.recent));
  $(none).hidden = rows.length > 0;
  $(list).hidden = rows.length === 0;
  $(list).replaceChildren(...rows.slice(0, 7).map(({ name, recent, total }) => {
    const isBad = recent > 0 && bad && !HARMLESS.has(name);
    return element('li', {}, element('span', { className: isBad ? 'bad' : '', textContent: words(name) }),
      element('span', {}, exact(recent), ' ', element('small', { textContent: `of ${count(total)}` })), meter(recent / most, isBad ? 'hot' : ''));
  }));
}

const STEPS = { conflate: 'smaller outboxes', drop: 'drop', evict: 'end the worst', refuse_sessions: 'nobody new', refuse_publications: 'no publications' };

export function memory({ used, max, pressure, history, pending }, steps) {
  const [number, unit] = bytes(used), share = used / max;
  say('n-memory', number);
  say('u-memory', `${unit} of ${inBytes(max)}`);
  const width = $('budget').clientWidth || 300, at = percent => (percent / 100) * width, y = 8;
  const reached = steps.findIndex(step => step.name === pressure);
  const marks = steps.flatMap((step, number) => {
    const css = number <= reached ? 'step on' : 'step';
    const label = svg('text', { x: at(step.percent), y: 43, 'text-anchor': 'middle' });
    label.textContent = number ? step.percent : `${step.percent} %`;
    return [svg('line', { class: css, x1: at(step.percent), x2: at(step.percent), y1: y - 5, y2: y + 24 }), label];
  });
  $('budget').replaceChildren(svg('svg', { viewBox: `0 0 ${width} 44`, role: 'img', 'aria-label': `${percent(share)} of the budget is used` },
    svg('rect', { class: 'well', x: 0.5, y, width: width - 1, height: 20, rx: 5 }),
    svg('rect', { class: 'used', x: 1, y: y + 1, width: Math.max(used ? 2 : 0, share * (width - 2)), height: 18, rx: Math.min(4, share * width / 2) }), ...marks));
  say('a-memory', `${percent(share)} used. ${reached < 0 ? `From ${steps[0].percent} %: ${STEPS[steps[0].name]}.` : `Now: ${STEPS[pressure]}.`} Histories ${inBytes(history)}, on the way ${inBytes(pending)}.`);
}

export function lanes(lanes, workers, list) {
  const most = Math.max(1, ...lanes.map(lane => lane.deliveries_per_s));
  const rows = lanes.slice(0, 16).map((lane, at) => element('li', {}, element('span', { textContent: `lane ${at}` }), element('span'),
    element('span', { textContent: `${count(lane.deliveries_per_s)} deliveries/s, ${inBytes(lane.bytes_per_s)}/s` }), meter(lane.deliveries_per_s / most)));
  const busiest = workers.slice(0, 16).map((share, at) => element('li', {}, element('span', { textContent: `thread ${at}` }), element('span'),
    element('span', { textContent: `${percent(share)} busy` }), meter(share, share > 0.9 ? 'hot' : 'b')));
  $(list).replaceChildren(...rows, ...busiest);
}

const sum = (all, skip = new Set()) => Object.entries(all).reduce((total, [name, [recent]]) => total + (skip.has(name) ? 0 : recent), 0);

// One sentence for whoever only glances.
export function verdict(sample, node) {
  const [, sessions, publications, deliveries, waits, behind] = sample.row, { memory } = sample;
  const dropped = sum(sample.drops, new Set(['conflate', 'latest'])), ended = sum(sample.disconnects, HARMLESS);
  const window = `in the ${lately(sample.recent_s)}`;
  const busiest = Math.max(0, ...sample.workers), told = [];
  let mood = 'good';
  const note = (level, text) => { told.push(text); if (mood !== 'bad') mood = level; };
  if (memory.pressure !== 'none') note('bad', `memory is tight: ${STEPS[memory.pressure]}`);
  if (sample.refused_per_s > 0) note('bad', `${count(sample.refused_per_s)} publications/s are refused`);
  if (behind > 0) note(behind > Math.max(3, sessions * 0.05) ? 'bad' : 'warn', `${several(behind, 'session')} ${behind === 1 ? 'is' : 'are'} behind`);
  if (dropped) note('warn', `${several(dropped, 'message')} dropped ${window}`);
  if (ended) note('warn', `${several(ended, 'session')} ended by the node ${window}`);
  if (busiest > 0.95) note('warn', 'a thread is busy all the time');
  if (sample.process.fds > sample.process.fds_max * 0.9) note('bad', 'file descriptors run out');
  if (told.length) {
    const text = told.join('; ');
    return { mood, head: mood === 'bad' ? 'Needs a look.' : 'Worth a look.', text: `${text[0].toUpperCase()}${text.slice(1)}.` };
  }
  if (!publications && !deliveries) return { mood: 'quiet', head: 'Quiet.', text: `${several(sessions, 'session')}, nothing is being published.` };
  const wait = waits[2] == null ? '' : `; 99 % of the messages reach their socket within ${inMicros(waits[2])}`;
  return { mood, head: 'All is well.', text: `Nobody is behind, nothing was dropped ${window}${wait}.` };
}
