/**
 * The client of a Fanfare gateway, for browsers and for anything else with a global `WebSocket`.
 *
 *     import { Fanfare } from "/fanfare.js";
 *     const fanfare = new Fanfare();
 *     fanfare.subscribe("news", { onMessage: ({ data }) => show(data), onGap: () => reload() });
 *     await fanfare.publish("news", { any: "JSON" });
 *
 * It connects again by itself, and takes up each subscription where it was: a channel that keeps a
 * history hands over what was missed, each message once and in order. Where it cannot, `onGap` says
 * so. Where a proxy lets no WebSocket through it reads by server-sent events, and cannot publish.
 *
 * @typedef {{ epoch: string, offset: number }} Position A place in a channel that keeps a history.
 * @typedef {object} Message
 * @property {string} [channel] Where it was published. Absent if it was pushed to a user.
 * @property {string} [user] To whom it was pushed, over no channel.
 * @property {"json" | "text" | "bytes"} kind What `data` is.
 * @property {any} data A JSON value, a string, or a `Uint8Array`.
 * @property {number} [offset] Its number in a channel that keeps a history.
 * @typedef {object} Gap Messages that will not come.
 * @property {string} channel Of which channel.
 * @property {string} reason `no_history`: it keeps nothing, and the connection was down for a while;
 *   `not_recovered`: it does not have all of it any more; or the policy of the gateway for a
 *   subscriber that was behind, as `drop_oldest`.
 * @property {number} [lost] How many, where that is known.
 * @property {number} [from] The offset of the first, and `to`: of the last. Others between came.
 * @property {number} [to]
 * @typedef {object} Subscribed
 * @property {string} channel Which channel.
 * @property {boolean} again Whether it is a return, after a connection was lost.
 * @property {boolean} recovered Whether everything after `previous` follows.
 * @property {Position | null} previous Where this client was.
 * @property {Position | null} position Where the channel is; `null` if it keeps no history.
 * @typedef {object} Handlers
 * @property {(message: Message) => void} [onMessage] Each message, once and in order.
 * @property {(gap: Gap) => void} [onGap] Something is missing here.
 * @property {(subscribed: Subscribed) => void} [onSubscribed] From here on nothing is missed.
 * @property {(error: FanfareError) => void} [onError] The gateway refused: the subscription is over.
 * @property {Position | null} [position] From where on to recover, from an earlier page or a snapshot.
 * @typedef {{ channel: string, readonly position: Position | null, unsubscribe: () => void }} Subscription
 *   `position` is that of the last message that was handed over; after `unsubscribe` none is.
 * @typedef {object} StateChange
 * @property {"connecting" | "open" | "waiting" | "closed"} state `waiting` for the next attempt;
 *   `closed` is the end: make another client to go on.
 * @property {number} [code] With `waiting` and `closed`: the close code of what ended the last one; 0
 *   if the address or the token is of a form that cannot be used at all.
 * @property {string} [reason] And its text.
 * @property {number} [retryMs] With `waiting`: for how long.
 * @property {string} [session] With `open`: the id of the session.
 * @property {string} [user] With `open`: the user that the token names.
 * @property {"websocket" | "sse"} [transport] With `open`: over what.
 * @typedef {object} Options
 * @property {string} [token] A token that does not expire while this client is in use.
 * @property {() => string | Promise<string>} [getToken] In place of `token`: asked before the first
 *   connection, before a token expires, and after one was refused.
 * @property {(change: StateChange) => void} [onState] Every change of the connection.
 * @property {(message: Message) => void} [onUserMessage] What is pushed to this user.
 * @property {(error: Error) => void} [onError] What failed and will be tried again.
 * @property {number} [pendingMax] How many publications may wait for their reply: 1,000.
 * @typedef {object} PublishOptions
 * @property {boolean} [json] `data` is JSON text, to be sent as it is written.
 * @property {string} [key] What it is the newest value of.
 * @property {number} [ttlMs] After how many milliseconds it is of no use any more.
 * @property {string} [idempotencyKey] A name under which it goes out once, if it is sent twice.
 * @typedef {{ send?: (text: string) => void, close: () => void }} Line An open transport.
 * @typedef {{ text: (text: string) => void, closed: (code: number, reason: string) => void }} Ends
 */

const RETRY_MIN_MS = 500, RETRY_MAX_MS = 20_000;
// A gateway that greets and then hangs up is not to be hammered: only what lasted counts as success.
const STEADY_MS = 5_000;
const OPEN_MAX_MS = 10_000, REPLY_MAX_MS = 10_000;
// As often as the gateway pings, which a page cannot see.
const QUIET_MS = 25_000;
// So many WebSockets have to fail, and none to open, before server-sent events are tried.
const SOCKETS_MIN = 3;
const FINAL = [1000, 1002, 1003, 1007, 1008, 1009, 4403];
// What an application sends by a code of its own: as Centrifugo divides them.
const isFinal = code => FINAL.includes(code) || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

/** What a request, a subscription or a connection failed with: `code` is for programs. */
export class FanfareError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) { super(message); this.name = 'FanfareError'; this.code = code; }
}

/** One connection to a gateway, held for as long as it is wanted. It connects at once. */
export class Fanfare {
  #url; #options; #state = 'connecting'; #failures = 0; #turn = 0; #line = /** @type {Line | null} */ (null);
  #token = /** @type {string | undefined} */ (undefined); #isTokenGood = false;
  #welcomedAt = 0; #heardAt = 0; #hadSocket = false; #hadStream = false; #isStream = false; #isStale = false; #nextId = 1;
  #timers = /** @type {Record<string, any>} */ ({});
  #entries = /** @type {Map<string, any>} */ (new Map());
  #pending = /** @type {Map<number, any>} */ (new Map());

  /**
   * @param {string | URL | null} [url] The gateway's `/ws`: without, that of where this module is from.
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    this.#url = new URL(url ?? 'ws', import.meta.url);
    this.#url.protocol = this.#url.protocol.replace('http', 'ws');
    this.#url.searchParams.set('format', 'json');
    this.#options = { pendingMax: 1000, ...options };
    this.#token = options.token;
    globalThis.addEventListener?.('online', this.#hurry);
    globalThis.document?.addEventListener('visibilitychange', this.#hurry);
    this.#redial();
  }

  /** @returns {StateChange["state"]} */
  get state() { return /** @type {any} */ (this.#state); }

  /**
   * Subscribes, now or as soon as there is a connection, and again after each loss of one.
   * @param {string} channel @param {Handlers} [handlers] @returns {Subscription}
   */
  subscribe(channel, handlers = {}) {
    if (this.#state === 'closed') throw new FanfareError('closed', 'this client is closed');
    if (this.#entries.has(channel)) throw new FanfareError('already_subscribed', `there is a subscription to ${channel}`);
    const entry = { channel, handlers, position: handlers.position ? { ...handlers.position } : null, isLive: false, again: false };
    this.#entries.set(channel, entry);
    if (this.#state === 'open') this.#join(entry);
    return { channel, get position() { return entry.position && { ...entry.position }; }, unsubscribe: () => this.#part(entry) };
  }

  /**
   * Publishes a string as text, bytes as bytes, and anything else as JSON. Without a connection it
   * fails at once: what is said into a dead line should not come out minutes later unnoticed.
   * @param {string} channel @param {any} data @param {PublishOptions} [options]
   * @returns {Promise<Position | undefined>} Where it is, if the channel keeps a history. Rejected with
   *   a {@link FanfareError}; its code is that of the gateway, or `not_connected`, `read_only`,
   *   `too_many_requests`; or `disconnected`, `timeout`: then nobody knows whether it arrived.
   */
  async publish(channel, data, { json = false, key, ttlMs, idempotencyKey } = {}) {
    const { pendingMax = 0 } = this.#options;
    if (this.#state !== 'open') throw new FanfareError('not_connected', 'there is no connection to publish over');
    if (!this.#line?.send) throw new FanfareError('read_only', 'server-sent events can only be read');
    if (this.#pending.size >= pendingMax) throw new FanfareError('too_many_requests', `${pendingMax} requests wait for their reply`);
    const fields = { type: 'publish', channel, key, ttl_ms: ttlMs, idempotency_key: idempotencyKey };
    const reply = await new Promise((done, fail) => this.#request(fields, done, fail, content(data, json)));
    return reply.position;
  }

  /** Ends the connection and every subscription, for good. */
  close() { this.#stop(1000, ''); }

  // -- The connection --

  async #dial() {
    const turn = this.#hangUp();
    const ifTurn = act => (...said) => { if (turn === this.#turn) act(...said); };
    this.#become({ state: 'connecting' });
    try {
      if (!this.#isTokenGood && this.#options.getToken) this.#token = await this.#options.getToken();
    } catch (error) {
      return ifTurn(() => { call(this.#options.onError, error); this.#retry(1006, 'no token'); })();
    }
    if (turn !== this.#turn) return;
    const ends = { text: ifTurn(text => this.#handle(text)), closed: ifTurn((code, reason) => this.#closed(code, reason)) };
    this.#timers.open = setTimeout(() => this.#closed(1006, 'no welcome'), OPEN_MAX_MS);
    try {
      this.#line = this.#isStream && this.#entries.size ? openStream(this.#url, [...this.#entries.values()], this.#token, ends) : openSocket(this.#url, this.#token, ends);
    } catch {
      this.#stop(0, 'no WebSocket can be made with this address and this token');
    }
  }

  /** Ends what belongs to the last connection; whatever still comes of it is of an old turn. */
  #hangUp() {
    Object.values(this.#timers).forEach(clearTimeout);
    this.#line?.close();
    this.#line = null; this.#welcomedAt = 0; this.#isStale = false;
    for (const entry of this.#entries.values()) entry.isLive = false;
    this.#turn++;
    for (const [id, { fail, timer }] of this.#pending) {
      this.#pending.delete(id); clearTimeout(timer);
      fail(new FanfareError('disconnected', 'the connection was lost before the reply came'));
    }
    return this.#turn;
  }

  #closed(code, reason) {
    const wasOpen = this.#welcomedAt > 0;
    if (wasOpen && Date.now() - this.#welcomedAt >= STEADY_MS) this.#failures = 0;
    // A browser does not say why a handshake failed. A token that was refused would be the reason.
    if (!wasOpen || code === 4401) this.#isTokenGood = false;
    if (isFinal(code) || (code === 4401 && !this.#options.getToken)) return this.#stop(code, reason);
    // Taken in turns with the WebSocket until one of them works: both fail where there is no gateway.
    if (!this.#hadSocket) this.#isStream = !this.#isStream && (this.#hadStream || this.#failures + 1 >= SOCKETS_MIN);
    this.#retry(code, reason);
  }

  #retry(code, reason) {
    this.#hangUp();
    // Full jitter: a gateway that starts again must not meet all its clients at the same moment.
    const retryMs = Math.random() * Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#failures++);
    this.#timers.retry = setTimeout(() => this.#dial(), retryMs);
    this.#become({ state: 'waiting', code, reason, retryMs });
  }

  /** The network or the person is back: there is no reason to wait any longer. */
  #hurry = () => {
    if (globalThis.document?.hidden) return;
    if (this.#state === 'open') return this.#ping();
    if (this.#state !== 'waiting') return;
    clearTimeout(this.#timers.retry);
    this.#timers.retry = setTimeout(() => this.#dial(), Math.random() * RETRY_MIN_MS);
  };

  #stop(code, reason) {
    if (this.#state === 'closed') return;
    this.#hangUp();
    globalThis.removeEventListener?.('online', this.#hurry);
    globalThis.document?.removeEventListener('visibilitychange', this.#hurry);
    this.#entries.clear();
    this.#become({ state: 'closed', code, reason });
  }

  /** @param {StateChange} change */
  #become(change) { this.#state = change.state; call(this.#options.onState, change); }

  // -- What the gateway says --

  #handle(text) {
    this.#heardAt = Date.now();
    const { type, ...message } = JSON.parse(text), { id } = message;
    const entry = this.#entries.get(message.channel), request = this.#pending.get(id);
    if (type === 'welcome') return this.#welcome(message);
    if (type === 'message') return entry ? this.#receive(entry, message) : message.user !== undefined && call(this.#options.onUserMessage, decode(message));
    // Of who comes and goes this client tells nothing.
    if (type === 'gap') return entry?.isLive && message.of === undefined && call(entry.handlers.onGap, message);
    // A stream has no requests: it says of itself what it is subscribed to.
    if (type === 'subscribed' && id === undefined) return entry && this.#joined(entry, message);
    const error = type === 'error' && Object.assign(new FanfareError(message.code, message.message), { retryAfterMs: message.retry_after_ms });
    if (!request) return error && call(this.#options.onError, error);
    this.#pending.delete(id);
    clearTimeout(request.timer);
    if (error) request.fail(error); else request.done(message);
  }

  #welcome({ session, user, expires_at, channels }) {
    clearTimeout(this.#timers.open);
    this.#welcomedAt = Date.now(); this.#isTokenGood = true;
    const isSocket = Boolean(this.#line?.send);
    if (isSocket) this.#hadSocket = true; else this.#hadStream = true;
    this.#isStream = !isSocket;
    this.#timers.quiet = setInterval(() => { if (Date.now() - this.#heardAt >= QUIET_MS / 2) this.#ping(); }, QUIET_MS);
    this.#refreshBefore(expires_at);
    // Before anybody is told: whoever subscribes then joins by that.
    for (const entry of this.#entries.values()) if (isSocket || !channels.includes(entry.channel)) this.#join(entry);
    this.#become({ state: 'open', session, user, transport: isSocket ? 'websocket' : 'sse' });
  }

  #receive(entry, message) {
    // Before the reply to its subscribe, it belongs to an earlier subscription; a stream has none.
    if (!entry.isLive && this.#line?.send) return;
    if (!entry.isLive) this.#joined(entry, {});
    const { position } = entry, { offset } = message;
    if (position && offset !== undefined) {
      if (offset <= position.offset) return;
      position.offset = offset;
    }
    call(entry.handlers.onMessage, decode(message));
  }

  #join(entry) {
    if (!this.#line?.send) return this.#redial();
    entry.isJoining = true;
    const fields = { type: 'subscribe', channel: entry.channel, recover: entry.position ?? undefined };
    this.#request(fields, reply => this.#joined(entry, reply), error => {
      entry.isJoining = false;
      if (this.#entries.get(entry.channel) !== entry || error.code === 'disconnected') return;
      // Whether it is subscribed is not known any more: only another connection tells.
      if (error.code === 'timeout') return this.#closed(1006, 'no reply');
      if (!['overloaded', 'unavailable'].includes(error.code)) { this.#entries.delete(entry.channel); return call(entry.handlers.onError, error); }
      const turn = this.#turn, again = () => { if (turn === this.#turn && this.#entries.get(entry.channel) === entry) this.#join(entry); };
      setTimeout(again, (error.retryAfterMs ?? 1000) * (1 + Math.random()));
    });
  }

  /** @param {any} entry @param {{ position?: Position, recovered?: boolean }} reply */
  #joined(entry, { position, recovered = false }) {
    entry.isJoining = false;
    if (this.#entries.get(entry.channel) !== entry) return;
    const { channel, handlers, again, position: previous } = entry;
    entry.isLive = entry.again = true;
    if (!recovered) entry.position = position ? { ...position } : null;
    call(handlers.onSubscribed, { channel, again, recovered, previous: previous && { ...previous }, position: position ?? null });
    if (recovered || !(again || previous)) return;
    /** @type {Gap} */
    const gap = { channel, reason: position ? 'not_recovered' : 'no_history' };
    if (position && position.epoch === previous?.epoch && position.offset > previous.offset) {
      Object.assign(gap, { lost: position.offset - previous.offset, from: previous.offset + 1, to: position.offset });
    }
    call(handlers.onGap, gap);
  }

  #part(entry) {
    if (this.#entries.get(entry.channel) !== entry) return;
    this.#entries.delete(entry.channel);
    if (this.#state !== 'open') return;
    if (!this.#line?.send) this.#redial();
    else if (entry.isLive || entry.isJoining) this.#request({ type: 'unsubscribe', channel: entry.channel }, nothing, nothing);
  }

  /** In a microtask, for all that changes at once. A stream has its channels in its address. */
  #redial() {
    if (this.#isStale) return;
    this.#isStale = true;
    const turn = this.#turn;
    queueMicrotask(() => { if (turn === this.#turn) this.#dial(); });
  }

  // -- What is said to it --

  /** The reply is handled at once, not in a microtask: what comes right behind it depends on it. */
  #request(fields, done, fail, content = '') {
    const id = this.#nextId++;
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      fail(new FanfareError('timeout', `no reply within ${REPLY_MAX_MS} ms`));
    }, REPLY_MAX_MS);
    this.#pending.set(id, { done, fail, timer });
    this.#line?.send?.(`${JSON.stringify({ ...fields, id }).slice(0, -1)}${content}}`);
  }

  /** Whether there is anybody at the other end: a network that is gone says nothing. */
  #ping() {
    const turn = this.#turn;
    if (this.#line?.send) this.#request({ type: 'ping' }, nothing, error => {
      if (error.code === 'timeout' && turn === this.#turn) this.#closed(1006, 'no answer to a ping');
    });
  }

  #refreshBefore(expiresAt) {
    clearTimeout(this.#timers.refresh);
    if (!expiresAt || !this.#options.getToken || !this.#line?.send) return;
    const leftMs = expiresAt * 1000 - Date.now(), turn = this.#turn;
    // Spread, as all that came with one restart would ask at once. A clock that is ahead of the
    // gateway's must not make it ask all the time.
    const waitMs = leftMs > 0 ? Math.max(1000, leftMs * (0.6 + 0.3 * Math.random())) : 30_000;
    this.#timers.refresh = setTimeout(async () => {
      const failed = error => { if (turn === this.#turn) { call(this.#options.onError, error); this.#refreshBefore(expiresAt); } };
      try {
        const token = await this.#options.getToken?.();
        if (turn !== this.#turn) return;
        const done = reply => { this.#token = token; this.#refreshBefore(reply.expires_at); };
        this.#request({ type: 'refresh', token }, done, failed);
      } catch (error) { failed(error); }
    }, Math.min(waitMs, 2 ** 31 - 1));
  }
}

// -- The two transports: text in, text out, and an end --

/** @param {URL} url @param {string | undefined} token @param {Ends} ends @returns {Line} */
function openSocket(url, token, ends) {
  // A browser can send a token in no header but this one; in the address it would end up in logs.
  const socket = new WebSocket(url, token ? ['bearer', token] : []);
  socket.onmessage = event => ends.text(event.data);
  socket.onclose = event => ends.closed(event.code, event.reason);
  // Browsers close after an error, with this code; Node.js 20 does not when a handshake failed.
  socket.onerror = () => ends.closed(1006, '');
  return {
    send: text => { if (socket.readyState === 1) socket.send(text); },
    close: () => { socket.onmessage = socket.onclose = null; socket.onerror = nothing; socket.close(1000); },
  };
}

/**
 * By `fetch`, as an `EventSource` hides the status of a refusal and connects again by its own rule.
 * @param {URL} socketUrl @param {any[]} entries @param {string | undefined} token @param {Ends} ends @returns {Line}
 */
function openStream(socketUrl, entries, token, ends) {
  const url = new URL('sse', socketUrl), stop = new AbortController();
  url.protocol = url.protocol.replace('ws', 'http');
  for (const { channel, position } of entries) {
    url.searchParams.append('channel', channel);
    if (position) url.searchParams.append('recover', `${position.epoch}:${position.offset}`);
  }
  if (token) url.searchParams.set('token', token);
  const read = async () => {
    const answer = await fetch(url, { headers: { accept: 'text/event-stream' }, cache: 'no-store', signal: stop.signal });
    if (answer.status === 401) return ends.closed(4401, 'the token was refused');
    if (answer.status === 400 || answer.status === 403) return ends.closed(1008, (await answer.text()).slice(0, 200));
    if (!answer.ok || !answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '', event = '', data = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.map(line => line.replace(/\r$/, ''))) {
        if (line.startsWith('data: ')) data += line.slice(6);
        if (line.startsWith('event: ')) event = line.slice(7);
        if (line || !data) continue;
        if (event === 'disconnect') { const { code, reason } = JSON.parse(data); return ends.closed(code, reason); }
        ends.text(data);
        event = data = '';
      }
    }
  };
  read().catch(nothing).then(() => ends.closed(1006, ''));
  return { close: () => stop.abort() };
}

// -- Small things --

const nothing = () => {};

/** A handler that throws is its owner's fault, and is told where faults are told. */
function call(handler, value) {
  try { handler?.(value); } catch (error) { queueMicrotask(() => { throw error; }); }
}

/** A message as its handlers see it. @returns {Message} */
function decode({ channel, user, offset, data, text, base64 }) {
  const from = { ...(channel === undefined ? { user } : { channel }), ...(offset === undefined ? {} : { offset }) };
  if (text !== undefined) return { ...from, kind: 'text', data: text };
  if (base64 !== undefined) return { ...from, kind: 'bytes', data: Uint8Array.from(atob(base64), char => char.charCodeAt(0)) };
  return { ...from, kind: 'json', data };
}

/** The end of a publish command. */
function content(data, isJson) {
  if (isJson) return `,"data":${data}`;
  if (typeof data === 'string') return `,"text":${JSON.stringify(data)}`;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    return `,"base64":"${btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ''))}"`;
  }
  return `,"data":${JSON.stringify(data) ?? 'null'}`;
}
