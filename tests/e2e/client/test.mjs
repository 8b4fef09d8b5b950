// The client as it is served, against a real gateway that is cut off, killed and started again.
// Usage: node test.mjs PROGRAM CONFIG, where CONFIG keeps a history of the channels news*
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Gateway, token } from './gateway.mjs';
import { Stub } from './stub.mjs';

// Node.js has one of its own from version 22 on.
globalThis.WebSocket ??= (await import('node:module')).createRequire(import.meta.url)('ws').WebSocket;

const first = await Gateway.start();
const served = await fetch(`http://127.0.0.1:${first.port}/fanfare.js`);
// Only the name says to every version that it is a module.
const folder = mkdtempSync(join(tmpdir(), 'fanfare-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'fanfare.mjs'), await served.text());
const { Fanfare } = await import(join(folder, 'fanfare.mjs'));
await first.kill();

// The rule stays, and the waits that it finds are short.
const random = Math.random;
Math.random = () => random() / 10;

const PATIENCE_MS = 30_000;
const pause = ms => new Promise(done => setTimeout(done, ms));
async function until(what, is) {
  for (const end = Date.now() + PATIENCE_MS; !is();) {
    if (Date.now() > end) throw new Error(`waited ${PATIENCE_MS} ms for ${what}`);
    await pause(10);
  }
}

/** A client whose states are written down. */
function client(url, options = {}) {
  const states = [], made = new Fanfare(url, { ...options, onState: change => states.push(change) });
  const reached = state => until(`the state ${state}, after ${JSON.stringify(states)}`, () => made.state === state);
  const sessions = () => states.filter(change => change.state === 'open').map(change => change.session);
  return { made, states, reached, sessions };
}

/** The same, and what the browser calls when the network is back. */
function hurriedClient(url) {
  let online = () => {};
  globalThis.addEventListener = (_, handler) => { online = handler; };
  const made = client(url);
  delete globalThis.addEventListener;
  return { ...made, online };
}

/** A subscription that writes down what it gets. */
function subscribe(made, channel, more = {}) {
  const got = { data: [], offsets: [], gaps: [], subscribed: [], errors: [] };
  got.subscription = made.subscribe(channel, {
    onMessage: message => { got.data.push(message.data); got.offsets.push(message.offset); },
    onGap: gap => got.gaps.push(gap),
    onSubscribed: subscribed => got.subscribed.push(subscribed),
    onError: error => got.errors.push(error),
    ...more,
  });
  return got;
}
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

const tests = {
  async 'cut off again and again, it gets each message once and in order'() {
    const gateway = await Gateway.start();
    const { made, states, sessions } = client(gateway.url);
    const news = subscribe(made, 'news'), more = subscribe(made, 'news.more');
    await until('two subscriptions', () => news.subscribed.length && more.subscribed.length);
    let last = 0;
    for (const n of range(1, 5)) {
      const position = await made.publish('news', ++last);
      assert.equal(position.offset, last);
      await gateway.api('disconnect', { client: sessions().at(-1), disconnect: { code: 4000, reason: 'try again' } });
      for (let i = 0; i < 10; i++) await gateway.publish('news', ++last);
      await gateway.publish('news.more', n);
      await until('it to be back', () => sessions().length === n + 1 && made.state === 'open');
      for (let i = 0; i < 10; i++) await gateway.publish('news', ++last);
    }
    await until('the last message', () => news.data.at(-1) === last && more.data.at(-1) === 5);
    assert.deepEqual(news.data, range(1, last));
    assert.deepEqual(news.offsets, range(1, last));
    assert.deepEqual(more.data, range(1, 5));
    assert.deepEqual([...news.gaps, ...more.gaps], []);
    assert.deepEqual(news.subscribed.map(({ again, recovered }) => [again, recovered]),
      [[false, false], ...Array(5).fill([true, true])]);
    assert.equal(news.subscription.position.offset, last);
    assert.equal(states.find(({ state }) => state === 'waiting').reason, 'try again');

    // Another page goes on from a position that was kept.
    const { made: other } = client(gateway.url);
    const { epoch } = news.subscription.position;
    const rest = subscribe(other, 'news', { position: { epoch, offset: last - 3 } });
    await until('the rest', () => rest.data.length === 3);
    assert.deepEqual(rest.data, range(last - 2, last));
    // Behind what is kept, it says what is missing.
    for (let i = 0; i < 100; i++) await gateway.publish('news', 0);
    const lost = subscribe(client(gateway.url).made, 'news', { position: { epoch, offset: 5 } });
    await until('a gap', () => lost.gaps.length);
    assert.deepEqual(lost.gaps, [{ channel: 'news', reason: 'not_recovered', lost: last + 95, from: 6, to: last + 100 }]);
    await gateway.kill();
  },

  async 'after a kill it says that something is missing, and goes on'() {
    let gateway = await Gateway.start();
    const { made, sessions, online } = hurriedClient(gateway.url);
    const news = subscribe(made, 'news'), chat = subscribe(made, 'chat');
    await until('two subscriptions', () => news.subscribed.length && chat.subscribed.length);
    assert.deepEqual([...news.gaps, ...chat.gaps], [], 'who was never there misses nothing');
    for (const n of [1, 2]) { await made.publish('news', n); await made.publish('chat', n); }
    await until('them', () => news.data.length === 2 && chat.data.length === 2);
    // It comes back when it is told to, so that what is published meanwhile is missed for sure.
    const short = Math.random;
    Math.random = () => 100;
    const port = await gateway.kill();
    await until('a loss', () => made.state !== 'open');
    await assert.rejects(made.publish('news', 0), { code: 'not_connected' });
    gateway = await Gateway.start({ port });
    // As many as before, so that only the epoch tells that these are others.
    for (const n of [3, 4]) await gateway.publish('news', n);
    Math.random = short;
    online();
    await until('two gaps', () => news.gaps.length && chat.gaps.length);
    assert.deepEqual(news.gaps, [{ channel: 'news', reason: 'not_recovered' }]);
    assert.deepEqual(chat.gaps, [{ channel: 'chat', reason: 'no_history' }]);
    for (const channel of ['news', 'chat']) await gateway.publish(channel, 5);
    await until('the next', () => news.data.length === 3 && chat.data.length === 3);
    assert.deepEqual([news.data, chat.data], [[1, 2, 5], [1, 2, 5]]);
    assert.equal(sessions().length, 2);
    made.close();
    await gateway.kill();
  },

  async 'tokens are fetched before they expire, and after they were refused'() {
    const gateway = await Gateway.start({ isKeyed: true });
    const given = [`${token('30s')}x`, token('3s')];
    let asked = 0;
    const { made, states } = client(gateway.url, { getToken: async () => given[asked++] ?? token('3s') });
    const news = subscribe(made, 'news');
    await until('four more tokens', () => asked >= 5);
    await gateway.publish('news', 1);
    await until('a message', () => news.data.length);
    assert.deepEqual(states.map(({ state }) => state), ['connecting', 'waiting', 'connecting', 'open']);
    assert.equal(states.at(-1).user, 'ann');
    made.close();

    // Delivery ends with the token where there is no other, and begins anew with another.
    const { made: short, states: ends, reached } = client(gateway.url, { token: token('2s') });
    await reached('closed');
    assert.equal(ends.at(-1).code, 4401);
    assert.throws(() => short.subscribe('news'), { code: 'closed' });
    const refused = [];
    let times = 0;
    const late = client(gateway.url, {
      getToken: () => { times += 1; if (times === 2) throw new Error('signed out'); return token('2s'); },
      onError: error => refused.push(error.message),
    });
    await until('what failed', () => refused.length);
    await until('another token', () => times >= 3 && late.made.state === 'open');
    assert.deepEqual(refused, ['signed out']);
    late.made.close();
    await gateway.kill();
  },

  async 'it stops where it is told to, and comes back where it may'() {
    const gateway = await Gateway.start();
    for (const [code, isEnd] of [[undefined, true], [3600, true], [4500, true], [1008, true], [3000, false], [1001, false], [4408, false]]) {
      const { made, states, reached, sessions } = client(gateway.url);
      await reached('open');
      await gateway.api('disconnect', { client: sessions()[0], ...(code ? { disconnect: { code, reason: '' } } : {}) });
      if (isEnd) await reached('closed'); else await until('a second session', () => sessions().length === 2);
      assert.equal(states.filter(({ state }) => state !== 'open')[1].code, code ?? 4403);
      made.close();
      await reached('closed');
    }
    await gateway.kill();
  },

  async 'what is refused is told to whoever asked'() {
    const gateway = await Gateway.start({ isKeyed: true });
    const claims = ['--user', 'ann', '--subscribe', 'news', '--subscribe', 'chat', '--publish', 'chat'];
    const mine = [];
    const { made, reached } = client(gateway.url, { token: token('60s', ...claims), pendingMax: 2, onUserMessage: message => mine.push(message) });
    const secret = subscribe(made, 'secret'), chat = subscribe(made, 'chat'), wrong = subscribe(made, 'a b');
    await until('two errors', () => secret.errors.length && wrong.errors.length);
    assert.deepEqual([secret.errors[0].code, wrong.errors[0].code], ['forbidden', 'bad_channel']);
    assert.throws(() => made.subscribe('chat'), { code: 'already_subscribed' });
    await reached('open');
    await assert.rejects(made.publish('news', 1), { code: 'forbidden' });
    await assert.rejects(made.publish('chat', 'not JSON', { json: true }), { code: 'bad_request' });
    const three = await Promise.allSettled([1, 2, 3].map(n => made.publish('chat', n)));
    assert.deepEqual(three.map(({ reason }) => reason?.code), [undefined, undefined, 'too_many_requests']);
    await made.publish('chat', 'text');
    await made.publish('chat', new Uint8Array([0, 255]));
    await made.publish('chat', '{"n":9007199254740993}', { json: true });
    await until('all of it', () => chat.data.length === 5);
    assert.deepEqual(chat.data.slice(0, 4), [1, 2, 'text', new Uint8Array([0, 255])]);
    await gateway.api('publish_to_users', { users: ['ann'], data: { for: 'ann' } });
    await until('a push', () => mine.length);
    assert.deepEqual(mine, [{ user: 'ann', kind: 'json', data: { for: 'ann' } }]);

    // What comes of the old subscription is nothing to the new one.
    const old = made.publish('chat', 'old');
    chat.subscription.unsubscribe();
    const again = subscribe(made, 'chat');
    await old;
    await until('a subscription', () => again.subscribed.length);
    await made.publish('chat', 'new');
    await until('one message', () => again.data.length);
    assert.deepEqual([again.data, chat.data.length], [['new'], 5]);
    const pending = made.publish('chat', 'last');
    made.close();
    await assert.rejects(pending, { code: 'disconnected' });
    await gateway.kill();
  },

  async 'a gateway that says nothing is not waited for'() {
    const gateway = await Gateway.start();
    const { made, states, online } = hurriedClient(gateway.url);
    const news = subscribe(made, 'news');
    await until('a subscription', () => news.subscribed.length);
    await gateway.halt();
    online();
    await until('a loss', () => states.some(({ reason }) => reason === 'no answer to a ping'));
    gateway.child.kill('SIGCONT');
    await until('a return', () => news.subscribed.length === 2);
    await made.publish('news', 1);
    await until('a message', () => news.data.length);
    assert.deepEqual([news.data, news.gaps], [[1], []]);

    const { made: wrong, reached: ended, states: ends } = client(gateway.url, { token: 'not a token' });
    await ended('closed');
    assert.equal(ends.at(-1).code, 0);
    wrong.close();
    made.close();
    await gateway.kill();
  },

  async 'it waits longer and longer, by chance, for a gateway that is gone'() {
    const gateway = await Gateway.start();
    const port = await gateway.kill(), short = Math.random;
    Math.random = () => 0.5;
    const { made, states } = client(`ws://127.0.0.1:${port}/ws`);
    await until('four attempts', () => states.filter(({ state }) => state === 'waiting').length === 4);
    assert.deepEqual(states.filter(({ state }) => state === 'waiting').map(({ retryMs }) => retryMs), [250, 500, 1000, 2000]);
    Math.random = short;
    made.close();
  },

  async 'where no WebSocket gets through it reads by server-sent events'() {
    const stub = await Stub.start();
    stub.status = 401;
    let tokens = 0;
    const { made, states, reached } = client(stub.url, { getToken: () => `token-${++tokens}` });
    const news = subscribe(made, 'news');
    await until('a refused stream', () => states.at(-1)?.code === 4401);
    assert.equal(stub.upgrades, 3);
    stub.status = 200;
    await reached('open');
    assert.equal(stub.upgrades, 4, 'both in turns, while neither works');
    assert.equal(states.at(-1).transport, 'sse');
    assert.deepEqual(stub.asked.map(url => url.searchParams.get('token')), [`token-${tokens}`]);
    stub.say('{"type":"subscribed","channel":"news","position":{"epoch":"00000000000000aa","offset":16}}');
    stub.say('{"type":"gap","channel":"news","lost":3,"from":17,"to":19,"reason":"drop_oldest"}');
    await until('the gap', () => news.gaps.length);
    assert.deepEqual(news.gaps, [{ channel: 'news', lost: 3, from: 17, to: 19, reason: 'drop_oldest' }]);
    assert.equal(news.subscription.position.offset, 16, 'a gap is no message');
    stub.say('{"type":"message","channel":"news","offset":20,"text":"zwanzig: ä"}');
    stub.say('{"type":"message","channel":"news","offset":20,"text":"twice"}');
    stub.say('{"type":"message","channel":"news","offset":21,"data":21}');
    await until('two messages', () => news.data.length === 2);
    assert.deepEqual(news.data, ['zwanzig: ä', 21]);
    await assert.rejects(made.publish('news', 1), { code: 'read_only' });

    // Another channel is another stream, from the same place on.
    const chat = subscribe(made, 'chat');
    await until('another stream', () => stub.asked.length === 2);
    assert.deepEqual(stub.asked[1].searchParams.getAll('channel'), ['news', 'chat']);
    await reached('open');
    // What keeps no history may say nothing of a subscription.
    stub.say('{"type":"message","channel":"chat","text":"hello"}');
    await until('a message', () => chat.data.length);
    chat.subscription.unsubscribe();
    await until('a third stream', () => stub.asked.length === 3);
    assert.deepEqual(stub.asked[2].searchParams.getAll('recover'), ['00000000000000aa:21']);
    await reached('open');
    stub.say('{"type":"subscribed","channel":"news","position":{"epoch":"00000000000000aa","offset":22},"recovered":true}');
    stub.say('{"type":"message","channel":"news","offset":22,"data":22}');
    await until('what was missed', () => news.data.length === 3);
    assert.equal(news.gaps.length, 1);

    // A stream that ends: first a WebSocket again, and then another stream.
    stub.end();
    await until('a stream again', () => stub.asked.length === 4 && made.state === 'open');
    assert.equal(stub.upgrades, 5);
    stub.status = 403;
    stub.end();
    await reached('closed');
    assert.deepEqual([states.at(-1).code, states.at(-1).reason], [1008, 'because']);
    await stub.close();
  },

  async 'over server-sent events it recovers as well'() {
    const gateway = await Gateway.start(), proxy = await Stub.start(gateway.port);
    const { made, states, reached, sessions } = client(proxy.url);
    const news = subscribe(made, 'news'), more = subscribe(made, 'news.more'), chat = subscribe(made, 'chat');
    await until('two subscriptions', () => news.subscribed.length && more.subscribed.length);
    assert.equal(states.at(-1).transport, 'sse');
    let last = 0;
    for (const n of range(1, 3)) {
      await gateway.publish('news', ++last);
      await until('a message', () => news.data.length === last);
      const advice = { code: 4000, reason: 'try again' };
      await gateway.api('disconnect', { client: sessions().at(-1), disconnect: advice });
      const isLoss = ({ code, reason }) => code === 4000 && reason === 'try again';
      await until('a loss', () => states.filter(isLoss).length === n);
      for (let i = 0; i < 5; i++) await gateway.publish('news', ++last);
      await gateway.publish('news.more', n);
      await until('both', () => news.data.length === last && more.data.length === n);
      await gateway.publish('chat', n);
      await until('chat too', () => chat.data.length === n);
    }
    assert.deepEqual([news.data, more.data, chat.data], [range(1, last), [1, 2, 3], [1, 2, 3]]);
    assert.deepEqual([news.gaps, more.gaps], [[], []]);
    assert.deepEqual(chat.gaps, range(1, 3).map(() => ({ channel: 'chat', reason: 'no_history' })));
    await gateway.api('disconnect', { client: sessions().at(-1) });
    await reached('closed');
    assert.equal(states.at(-1).code, 4403);
    await proxy.close();
    await gateway.kill();
  },
};

process.on('unhandledRejection', error => { throw error; });
for (const [name, test] of Object.entries(tests)) {
  const began = Date.now();
  try { await test(); } catch (error) { console.error(`${name}:`, error); process.exit(1); }
  console.log(`${name}: ${Date.now() - began} ms`);
}
console.log(`all ${Object.keys(tests).length} hold`);
process.exit(0);
