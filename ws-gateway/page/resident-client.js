/**
 * The residents' end of Mayday, for any web page: hears the alerts of one complex and sends the two calls.
 *
 * Speaks STOMP 1.2 itself (one frame per WebSocket message, as our gateway sends them), comes back after every break with its
 * position, and drops what it already handed over. It draws nothing, stores nothing and makes no sound.
 *
 *     const resident = connect({ url: 'ws://host/an-ws', api: 'http://host', getToken, onAlert, onAccept, onStatus });
 *
 * Held throughout: an id is handed over once; `position` never runs ahead of what was handed over; one socket at a time.
 */

/** @import { Answer, Call, CallOptions, Delivery, Options, Status, StatusDetail } from './types' */

const CONNECT_MS = 10_000;
const BEAT_WANTED_MS = 10_000;
const RETRY_BASE_MS = 1_000;
const RETRY_MAX_MS = 30_000;
// "Later" (4429) comes from a gateway that is refusing a crowd.
const LATER_MS = 10_000;
// After a connection that lived this long, the waits start from the shortest again.
const STEADY_MS = 10_000;
const POST_MS = 10_000;
// Copies of one event may lie a day apart (an outbox drained late); the hour is for clocks.
const REMEMBERED_MS = 25 * 3_600_000;

/** Connects, and comes back until `close()` or until the gateway says to stop. @param {Options} options */
export function connect(options) {
  return new Resident(options);
}

/** Whose token it is. Read, not verified: the doors verify. @param {string} token @returns {{ line: string, house: string }} */
export function claims(token) {
  const payload = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (c) => c.charCodeAt(0))));
}

/** A call that repeating will not help. `code` and the message are the api's own words. */
export class CallRefused extends Error {
  /** @param {number} status @param {{ code?: string, title?: string, detail?: string }} problem */
  constructor(status, { code, title, detail }) {
    super(detail ?? title ?? `HTTP ${status}`);
    this.status = status;
    this.code = code;
  }
}

export class Resident {
  #options;
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Map<string, number>} */ #seen = new Map();
  /** What the gateway's last ERROR says about coming back. @type {string | undefined} */ #retryWord;
  #end = new AbortController();
  #turn = 0;
  #failures = 0;
  #token = '';
  #refused = '';
  #said = '';
  #beatMs = 0;
  #openedAt = 0;
  #replaysLeft = 0;
  #live = false;
  #troubled = false;
  /** Everything up to here was handed over. @type {string | undefined} */ position;
  /** When the gateway was last heard, in ms since 1970; 0 before the first time. */
  heardAt = 0;
  /** @type {Status} */ status = 'connecting';

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.position = options.position;
    const { signal } = this.#end;
    globalThis.addEventListener?.('online', this.#wake, { signal });
    globalThis.addEventListener?.('offline', this.#lostNetwork, { signal });
    globalThis.document?.addEventListener('visibilitychange', this.#wake, { signal });
    this.#open();
  }

  /** Tries now rather than when the wait is over; starts again after `stopped`. */
  retry() {
    this.#failures = 0;
    this.#refused = '';
    this.#drop();
    this.#open();
  }

  /** Ends it for good. */
  close() {
    this.#end.abort();
    this.#stop('closed');
  }

  /**
   * Says that this house goes to help. Repeated under one key until answered, refused or aborted.
   * @param {{ target: string, alertId?: string }} whom @param {CallOptions} [options]
   */
  async accept({ target, alertId }, options) {
    const { line, house } = claims(await this.#options.getToken());
    return this.#call('/accept', { line, acceptHouse: house, targetHouse: target, alertId }, options);
  }

  /** Calls for help. Repeated under one key until answered, refused or aborted. @param {Call} call @param {CallOptions} [options] */
  async raise(call, options) {
    const { line, house } = claims(await this.#options.getToken());
    return this.#call('/alert', { line, house, ...call }, options);
  }

  async #open() {
    const turn = ++this.#turn;
    this.#say('connecting');
    const token = await this.#freshToken();
    if (turn !== this.#turn) return; // a later attempt, or a stop, came in between
    if (token === undefined) return this.#retryLater();
    if (!token || token === this.#refused) return this.#stop('token');
    this.#token = token;
    this.#listen(new WebSocket(this.#options.url, ['v12.stomp']));
  }

  /** Undefined when there is none just now, which is no reason to give up. */
  async #freshToken() {
    try {
      return await this.#options.getToken();
    } catch {}
  }

  /** @param {WebSocket} socket */
  #listen(socket) {
    this.#socket = socket;
    this.#retryWord = undefined;
    this.#live = this.#troubled = false;
    this.#openedAt = this.#replaysLeft = this.#beatMs = 0;
    const host = new URL(socket.url).host;
    socket.onopen = () => this.#send('CONNECT', { 'accept-version': '1.2', host, 'heart-beat': `0,${BEAT_WANTED_MS}`, Authorization: `Bearer ${this.#token}` });
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#after(CONNECT_MS, this.#cut);
  }

  /** @param {string} command @param {Record<string, string>} headers */
  #send(command, headers) {
    this.#socket?.send(frame(command, headers));
  }

  /** @param {string} data */
  #heard(data) {
    this.heardAt = Date.now();
    const { command, headers, body } = parse(data);
    if (command === 'CONNECTED') this.#subscribe(headers['heart-beat']);
    if (command === 'RECEIPT') this.#live = true;
    if (command === 'ERROR') this.#retryWord = headers.retry;
    if (command === 'MESSAGE') this.#message(headers, JSON.parse(body));
    if (!this.#openedAt) return;
    this.#sayHealth();
    this.#expectBeat();
  }

  /** @param {string} [beats] */
  #subscribe(beats = '0,0') {
    this.#openedAt = Date.now();
    const offered = parseInt(beats);
    this.#beatMs = offered && Math.max(offered, BEAT_WANTED_MS);
    const line = this.#options.line ?? claims(this.#token).line;
    this.#send('SUBSCRIBE', { id: 'notice', destination: '/user/queue/notice' });
    this.#send('SUBSCRIBE', { id: 'line', destination: `/sub/line/${line}`, receipt: 'line', ...(this.position && { 'resume-from': this.position }) });
  }

  /** @param {Record<string, string>} headers @param {any} body */
  #message(headers, body) {
    if (headers.subscription === 'notice') return this.#noticed(body);
    const replayed = headers.replayed === 'true';
    if (body.type === 'resume') this.#replaysLeft = body.count;
    else this.#handOver(body, headers['message-id'], { replayed });
    if (replayed) this.#replaysLeft -= 1;
    this.#moveTo(headers.position ?? body.position);
  }

  /** @param {any} event @param {string} messageId @param {Delivery} delivery */
  #handOver(event, messageId, delivery) {
    if (this.#knows(event.id ?? messageId, Date.parse(event.at) || Date.now())) return;
    if (event.type === 'alert') this.#options.onAlert?.(event, delivery);
    if (event.type === 'accept') this.#options.onAccept?.(event, delivery);
  }

  /** Knows it from now on, and whether before. @param {string} id @param {number} at */
  #knows(id, at) {
    if (this.#seen.has(id)) return true;
    this.#seen.set(id, at);
    for (const [oldest, then] of this.#seen) {
      if (at - then <= REMEMBERED_MS) break;
      this.#seen.delete(oldest);
    }
    return false;
  }

  /** @param {{ type: string, position?: string }} notice */
  #noticed({ type, position }) {
    if (type === 'degraded' || type === 'healthy') this.#troubled = type === 'degraded';
    if (type === 'position') this.#moveTo(position);
    if (type === 'token-expiring') this.#renew();
  }

  async #renew() {
    const turn = this.#turn;
    const token = await this.#freshToken();
    if (turn !== this.#turn || !token || token === this.#token) return;
    this.#token = token;
    this.#send('SEND', { destination: '/pub/token', Authorization: `Bearer ${token}` });
  }

  /** @param {string} [position] */
  #moveTo(position) {
    if (!position) return;
    this.position = position;
    this.#options.onPosition?.(position);
  }

  /** @param {number} code */
  #closed(code) {
    const retry = code === 4401 ? 'new-token' : code === 4403 ? 'never' : this.#retryWord;
    this.#drop();
    if (retry === 'never') return this.#stop('forbidden');
    if (retry === 'new-token') this.#refused = this.#token;
    this.#retryLater(code === 4429 ? LATER_MS : 0);
  }

  /** Waits a random while below a bound that doubles (full jitter), so that a thousand phones do not come back together. */
  #retryLater(floorMs = 0) {
    const boundMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** this.#failures++);
    const waitMs = floorMs + Math.random() * boundMs;
    this.#say('offline', { retryAt: Date.now() + waitMs });
    this.#after(waitMs, () => this.#open());
  }

  /** One missing beat is said aloud, two are a dead socket. */
  #expectBeat() {
    clearTimeout(this.#timer);
    if (!this.#beatMs) return;
    this.#after(1.2 * this.#beatMs, () => {
      this.#say('degraded', { reason: 'silent' });
      this.#after(0.8 * this.#beatMs, this.#cut);
    });
  }

  // A phone that slept has frozen timers and a socket that died unnoticed.
  #wake = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.status === 'offline') this.retry();
    else if (this.#beatMs && 1.2 * this.#beatMs < Date.now() - this.heardAt) this.#cut();
  };

  #lostNetwork = () => {
    if (this.#socket) this.#cut();
  };

  #cut = () => {
    this.#drop();
    this.#retryLater();
  };

  /** Lets the socket go without waiting for its closing handshake, which a dead network never finishes. */
  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    if (!socket) return;
    if (this.#openedAt && STEADY_MS <= Date.now() - this.#openedAt) this.#failures = 0;
    this.#socket = undefined;
    this.#beatMs = 0;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {'token' | 'forbidden' | 'closed'} reason */
  #stop(reason) {
    this.#turn++;
    this.#drop();
    this.#say('stopped', { reason });
  }

  /** @param {number} ms @param {() => void} action */
  #after(ms, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, ms);
  }

  #sayHealth() {
    if (!this.#live || 0 < this.#replaysLeft) this.#say('catching-up');
    else if (this.#troubled) this.#say('degraded', { reason: 'gateway' });
    else this.#say('connected');
  }

  /** @param {Status} status @param {StatusDetail} [detail] */
  #say(status, detail = {}) {
    const said = JSON.stringify([status, detail]);
    if (said === this.#said) return;
    this.#said = said;
    this.status = status;
    this.#options.onStatus?.(status, detail);
  }

  /** @param {string} path @param {object} body @param {CallOptions} [options] @returns {Promise<Answer>} */
  async #call(path, body, { signal, onRetry } = {}) {
    const key = crypto.getRandomValues(new Uint32Array(4)).join('-');
    for (let attempt = 0; ; attempt++) {
      const { status, retryAfterMs, answer } = await this.#post(path, body, key, signal);
      if (200 <= status && status < 300) return answer;
      if (status && !(answer.retryable ?? (status === 429 || 500 <= status))) throw new CallRefused(status, answer);
      onRetry?.();
      signal?.throwIfAborted();
      await pause(retryAfterMs + Math.random() * Math.min(5_000, 500 * 2 ** attempt), signal);
    }
  }

  /**
   * One try. Status 0: no answer; the call may have arrived all the same, which the key makes harmless.
   * @param {string} path @param {object} body @param {string} key @param {AbortSignal} [signal]
   */
  async #post(path, body, key, signal) {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${await this.#options.getToken()}`, 'Idempotency-Key': key };
    const patience = new AbortController();
    const giveUp = () => patience.abort();
    const timer = setTimeout(giveUp, POST_MS);
    signal?.addEventListener('abort', giveUp);
    try {
      const response = await fetch(this.#options.api + path, { method: 'POST', headers, body: JSON.stringify(body), signal: patience.signal });
      const answer = await response.json().catch(() => ({}));
      return { status: response.status, retryAfterMs: 1000 * Number(response.headers.get('Retry-After')) || 0, answer };
    } catch {
      return { status: 0, retryAfterMs: 0, answer: {} };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }
}

/** @type {Record<string, string>} */ const ESCAPES = { '\r': '\\r', '\n': '\\n', ':': '\\c', '\\': '\\\\' };
/** @type {Record<string, string>} */ const UNESCAPES = { '\\r': '\r', '\\n': '\n', '\\c': ':', '\\\\': '\\' };
const escape = (/** @type {string} */ text) => text.replace(/[\r\n:\\]/g, (c) => ESCAPES[c]);
const unescape = (/** @type {string} */ text) => text.replace(/\\[rnc\\]/g, (pair) => UNESCAPES[pair]);

/** CONNECT alone is never escaped. @param {string} command @param {Record<string, string>} headers */
export function frame(command, headers) {
  const plain = command === 'CONNECT' ? String : escape;
  return `${command}\n${Object.entries(headers).map(([name, value]) => `${plain(name)}:${plain(value)}\n`).join('')}\n\0`;
}

/** Reads the one frame of a message; a heart-beat is one with no command. @param {string} data */
export function parse(data) {
  const text = data.replace(/^[\r\n]+/, '');
  const [head] = text.split(/\r?\n\r?\n/, 1);
  const [command, ...lines] = head.split(/\r?\n/);
  /** @type {Record<string, string>} */ const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[unescape(line.slice(0, colon))] ??= unescape(line.slice(colon + 1)); // the first of repeated headers counts
  }
  const body = text.slice(head.length).replace(/^\r?\n\r?\n/, '');
  return { command, headers, body: body.slice(0, body.lastIndexOf('\0')) };
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
