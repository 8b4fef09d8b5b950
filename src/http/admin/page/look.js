// A close look at one channel or session, and what can be done to it.
import { $, count, element, exact, inBytes, inMillis, say, several, span, words } from './format.js';

let shown = null, turn = 0;

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(8000), ...options });
  } catch {
    return { status: 0, problem: 'The node does not answer.' };
  }
  const body = await answer.json().catch(() => ({}));
  const text = typeof body.error === 'string' ? body.error : `The node answers ${answer.status}.`;
  return { status: answer.status, body, problem: answer.ok ? '' : `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}` };
}
export const post = (action, body) => ask(`/admin/do/${action}`, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });

const fact = (name, value) => (value == null || value === '' ? [] : [element('dt', { textContent: name }), element('dd', { textContent: value })]);
const chip = (name, kind, id) => {
  const button = element('button', { type: 'button', textContent: name, title: name });
  button.addEventListener('click', () => look(kind, id));
  return button;
};

function channel(at) {
  const { rule } = at, keeps = rule.history;
  const does = [['cache', 'the newest at once'], ['presence', 'presence'], ['join_leave', 'joins and leaves']].filter(([key]) => rule[key]).map(([, name]) => name);
  const dropped = Object.entries(at.dropped).map(([cause, number]) => `${exact(number)} ${words(cause)}`).join(', ');
  $('facts').replaceChildren(
    ...fact('Sessions', exact(at.sessions_count)),
    ...fact('Publications', `${exact(at.publications)} since it was made`),
    ...fact('Dropped', dropped || 'none'),
    ...fact('Position', at.position ? `offset ${exact(at.position.offset)} of epoch ${at.position.epoch}` : 'keeps no history'),
    ...fact('Keeps', keeps ? `${several(keeps.publications_max, 'publication')}, ${inBytes(keeps.bytes_max)}, ${span(keeps.age_max_ms / 1000)}` : null),
    ...fact('Who is behind', { disconnect: 'is disconnected' }[rule.policy] ?? `loses messages (${words(rule.policy)})`),
    ...fact('Key', rule.key_pointer),
    ...fact('Besides', does.join(', ')),
  );
  const rows = at.sessions.map(row => chip(row.user ?? row.session, 'session', row.session));
  const head = at.sessions_count > rows.length ? `${exact(rows.length)} of ${several(at.sessions_count, 'session')}` : several(rows.length, 'session');
  $('look-list').replaceChildren(element('h3', { textContent: head }), element('div', { className: 'chips' }, ...rows));
}

function session(at) {
  const ends = at.expires_unix_s ? new Date(at.expires_unix_s * 1000).toLocaleString() : null;
  $('facts').replaceChildren(
    ...fact('User', at.user ?? 'none'),
    ...fact('Address', at.address ?? 'a Unix socket'),
    ...fact('Since', `${span(at.age_s)} ago`),
    ...fact('Format', at.format),
    ...fact('Last heard', `${inMillis(at.silent_ms)} ago`),
    ...fact('Token ends', ends),
    ...fact('Waiting', at.messages ? `${several(at.messages, 'message')}, ${inBytes(at.bytes)}, the oldest for ${inMillis(at.oldest_ms)}` : 'nothing: it keeps up'),
    ...fact('Lost', at.lost ? `${several(at.lost, 'message')} since it fell behind` : null),
  );
  const chips = at.channels.slice(0, 50).map(name => chip(name, 'channel', name));
  $('look-list').replaceChildren(element('h3', { textContent: several(at.channels.length, 'subscription') }), element('div', { className: 'chips' }, ...chips));
}

// `id` is the name of a channel, or a session.
export async function look(kind, id) {
  const mine = ++turn;
  shown = { kind, id };
  say('look-kind', kind === 'channel' ? 'Channel' : 'Session');
  say('look-head', id);
  say('look-wrong', ''); say('look-done', '');
  $('facts').replaceChildren(); $('look-list').replaceChildren();
  $('test').hidden = $('end').hidden = true;
  sure(false);
  if (!$('look').open) $('look').showModal();
  const query = kind === 'channel' ? `channel?name=${encodeURIComponent(id)}` : `session?id=${encodeURIComponent(id)}`;
  const { status, body, problem } = await ask(`/admin/${query}`);
  if (mine !== turn) return;
  say('look-wrong', problem);
  const mayChange = document.body.dataset.access === 'full';
  $('test').hidden = !mayChange || kind !== 'channel' || ![200, 404].includes(status);
  if (status !== 200) return;
  $('end').hidden = !mayChange || kind !== 'session';
  (kind === 'channel' ? channel : session)(body);
}

function sure(isAsked) {
  $('end-ask').hidden = isAsked;
  $('end-sure').hidden = !isAsked;
  if (isAsked) $('end-no').focus();
}

export function set() {
  $('look-close').addEventListener('click', () => $('look').close());
  $('look').addEventListener('click', event => { if (event.target === $('look')) $('look').close(); });
  $('look').addEventListener('close', () => { turn++; });
  $('end-ask').addEventListener('click', () => sure(true));
  $('end-no').addEventListener('click', () => { sure(false); $('end-ask').focus(); });
  $('end-yes').addEventListener('click', async () => {
    const { status, problem } = await post('disconnect', { session: shown.id });
    sure(false);
    say('look-wrong', problem);
    if (status !== 200) return;
    $('end').hidden = true;
    say('look-done', 'It is disconnected.');
  });
  $('test').addEventListener('submit', async event => {
    event.preventDefault();
    const { status, body, problem } = await post('publish', { channel: shown.id, text: $('test-text').value, json: $('test-json').checked });
    say('look-wrong', problem);
    say('look-done', status === 200 ? `Published to ${count(body.subscribers)} ${body.subscribers === 1 ? 'session' : 'sessions'}.` : '');
    if (status === 200) { $('test-text').value = ''; $('look-wrong').textContent = ''; }
  });
  $('test-text').addEventListener('keydown', event => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('test').requestSubmit();
  });
  $('find').addEventListener('submit', event => {
    event.preventDefault();
    const wanted = $('wanted').value.trim();
    if (wanted) look(/^[0-9a-f]{16}$/i.test(wanted) ? 'session' : 'channel', wanted);
  });
}
