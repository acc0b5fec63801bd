/**
 * The residents' end of Mayday, for any web page: hears the alerts of one complex and sends the two calls.
 *
 * Speaks STOMP 1.2 over WebSocket itself (one server frame per WebSocket message, as our gateway sends them), comes back after
 * every break with the position it had, and drops what it has already handed over. It draws nothing, stores nothing and makes no sound.
 *
 *     const resident = connect({ url: 'ws://host:8083/an-ws', api: 'http://host:8082', getToken, onAlert, onAccept, onStatus });
 *     await resident.accept({ target: alert.house, alertId: alert.id });
 *
 * Held throughout: an id is handed over once; `position` never runs ahead of what was handed over; one socket at a time.
 * @module
 */

/** @typedef {'connecting' | 'catching-up' | 'connected' | 'degraded' | 'offline' | 'stopped'} Status */
/** @typedef {{ reason?: 'silent' | 'gateway' | 'token' | 'forbidden' | 'closed', retryAt?: number }} StatusDetail `retryAt` in ms since 1970 */
/** @typedef {{ replayed: boolean }} Delivery `replayed`: missed earlier, told now; never ring for it */
/** @typedef {{ id: string, line: string, house: string, text: string, at: string, status?: string, lat?: string, lng?: string, accuracy?: string, floor?: string }} Alert */
/** @typedef {{ id: string, line: string, accept: string, target: string, at: string, status?: string, alertId?: string, rank?: number }} Accept */
/** @typedef {{ id: string, status?: string, warnings?: string[] }} Answer `status` is `queued` when the call is not yet in the log */
/** @typedef {{ signal?: AbortSignal, onRetry?: () => void }} CallOptions */
/**
 * @typedef {object} Options
 * @property {string} url the gateway's socket, `ws://host/an-ws`
 * @property {string} [api] the origin of producer-api; needed for `accept` and `raise`
 * @property {() => string | Promise<string>} getToken asked before every attempt; the same token again after a refusal stops the client
 * @property {string} [line] the complex, when it is not the token's
 * @property {string} [position] where an earlier page stopped, with what it showed
 * @property {(alert: Alert, delivery: Delivery) => void} [onAlert]
 * @property {(accept: Accept, delivery: Delivery) => void} [onAccept]
 * @property {(status: Status, detail: StatusDetail) => void} [onStatus] called on every change
 * @property {(position: string) => void} [onPosition] after everything up to it was handed over
 */

const CONNECT_MS = 10_000;
const RETRY_BASE_MS = 1_000;
const RETRY_MAX_MS = 30_000;
// A gateway that says "later" (4429) means minutes rather than the next second.
const LATER_MS = 10_000;
// A connection that lived this long was a good one: the next break starts from the shortest wait again.
const STEADY_MS = 10_000;
const POST_MS = 10_000;
// Two late copies of one event may lie a day apart (an outbox drained late), and an hour covers clock skew.
const REMEMBERED_MS = 25 * 3_600_000;

/** Connects, and keeps connecting until `close()` or until the gateway says to stop. @param {Options} options */
export function connect(options) {
  return new Resident(options);
}

/** What a token says about its holder. Read, not verified: the doors verify. @param {string} token @returns {{ line?: string, house?: string, exp?: number }} */
export function claims(token) {
  const payload = token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0))));
}

/** A call that repeating will not help. `code` and `detail` are the api's own words. */
export class CallRefused extends Error {
  /** @param {number} status @param {{ code?: string, title?: string, detail?: string }} problem */
  constructor(status, { code, title, detail }) {
    super(detail ?? title ?? `HTTP ${status}`);
    this.status = status;
    this.code = code;
  }
}

export class Resident {
  /** @type {Options} */ #options;
  /** @type {WebSocket | undefined} */ #socket;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Map<string, number>} */ #seen = new Map();
  /** @type {{ retry?: string } | undefined} */ #error;
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
  /** @type {string | undefined} */ position;
  /** When the gateway was last heard, in ms since 1970; 0 before the first time. */
  heardAt = 0;
  /** @type {Status} */ status = 'connecting';

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.position = options.position;
    globalThis.addEventListener?.('online', this.#wake);
    globalThis.addEventListener?.('offline', this.#lostNetwork);
    globalThis.document?.addEventListener('visibilitychange', this.#wake);
    this.#open();
  }

  /** Tries now rather than when the wait is over; after `stopped`, starts again. */
  retry() {
    this.#failures = 0;
    this.#refused = '';
    this.#drop();
    this.#open();
  }

  /** Ends it for good. */
  close() {
    globalThis.removeEventListener?.('online', this.#wake);
    globalThis.removeEventListener?.('offline', this.#lostNetwork);
    globalThis.document?.removeEventListener('visibilitychange', this.#wake);
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

  /**
   * Calls for help. Repeated under one key until answered, refused or aborted.
   * @param {{ text: string, lat?: string, lng?: string, accuracy?: string, status?: 'Actual' | 'Exercise' }} call @param {CallOptions} [options]
   */
  async raise(call, options) {
    const { line, house } = claims(await this.#options.getToken());
    return this.#call('/alert', { line, house, ...call }, options);
  }

  // -- the connection -----------------------------------------------------------------------------------------------

  async #open() {
    const turn = ++this.#turn;
    this.#say('connecting');
    try {
      this.#token = await this.#options.getToken();
    } catch {
      return this.#current(turn) && this.#retryLater();
    }
    if (!this.#current(turn)) return;
    if (!this.#token || this.#token === this.#refused) return this.#stop('token');
    this.#listen(new WebSocket(this.#options.url, ['v12.stomp']));
  }

  /** A later attempt or a stop makes everything an earlier one still does void. @param {number} turn */
  #current(turn) {
    return turn === this.#turn;
  }

  /** @param {WebSocket} socket */
  #listen(socket) {
    this.#socket = socket;
    this.#error = undefined;
    this.#live = this.#troubled = false;
    this.#openedAt = this.#replaysLeft = this.#beatMs = 0;
    socket.onopen = () => this.#send('CONNECT', { 'accept-version': '1.2', host: new URL(socket.url).host, 'heart-beat': '0,10000', Authorization: `Bearer ${this.#token}` });
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#after(CONNECT_MS, () => this.#cut());
  }

  /** @param {string} command @param {Record<string, string>} headers */
  #send(command, headers) {
    this.#socket?.send(frame(command, headers));
  }

  /** @param {string} data */
  #heard(data) {
    this.heardAt = Date.now();
    const heard = parse(data);
    if (heard?.command === 'CONNECTED') this.#subscribe(heard.headers);
    if (heard?.command === 'RECEIPT') this.#live = true;
    if (heard?.command === 'ERROR') this.#error = heard.headers;
    if (heard?.command === 'MESSAGE') this.#message(heard.headers, JSON.parse(heard.body));
    if (!this.#openedAt) return;
    this.#sayHealth();
    this.#expectBeat();
  }

  /** @param {Record<string, string>} headers */
  #subscribe(headers) {
    this.#openedAt = Date.now();
    this.#beatMs = Math.max(Number(headers['heart-beat']?.split(',')[0]), 0) && Math.max(Number(headers['heart-beat'].split(',')[0]), 10_000);
    const line = this.#options.line ?? claims(this.#token).line;
    this.#send('SUBSCRIBE', { id: 'notice', destination: '/user/queue/notice' });
    this.#send('SUBSCRIBE', { id: 'line', destination: `/sub/line/${line}`, receipt: 'line', ...(this.position && { 'resume-from': this.position }) });
  }

  /** @param {Record<string, string>} headers @param {any} body */
  #message(headers, body) {
    if (headers.subscription === 'notice') return this.#noticed(body);
    const replayed = headers.replayed === 'true';
    if (headers.type === 'resume') this.#replaysLeft = body.count;
    else this.#handOver(body, headers['message-id'], { replayed });
    if (replayed) this.#replaysLeft -= 1;
    if (headers.position) this.#moveTo(headers.position);
  }

  /** @param {any} event @param {string} messageId @param {Delivery} delivery */
  #handOver(event, messageId, delivery) {
    if (this.#remember(event.id ?? messageId, Date.parse(event.at) || Date.now())) return;
    if (event.type === 'alert') this.#options.onAlert?.(event, delivery);
    if (event.type === 'accept') this.#options.onAccept?.(event, delivery);
  }

  /** Whether the id was known already. @param {string} id @param {number} at */
  #remember(id, at) {
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
    if (type === 'position' && position) this.#moveTo(position);
    if (type === 'token-expiring') this.#renew();
  }

  async #renew() {
    const turn = this.#turn;
    const token = await this.#options.getToken();
    if (!this.#current(turn) || token === this.#token) return;
    this.#token = token;
    this.#send('SEND', { destination: '/pub/token', Authorization: `Bearer ${token}` });
  }

  /** @param {string} position */
  #moveTo(position) {
    this.position = position;
    this.#options.onPosition?.(position);
  }

  // -- breaks and waits ---------------------------------------------------------------------------------------------

  /** @param {number} code */
  #closed(code) {
    if (this.#openedAt && STEADY_MS <= Date.now() - this.#openedAt) this.#failures = 0;
    this.#drop();
    const retry = code === 4401 ? 'new-token' : code === 4403 ? 'never' : this.#error?.retry;
    if (retry === 'never') return this.#stop('forbidden');
    if (retry === 'new-token') return this.#renewAndOpen();
    this.#retryLater(code === 4429 ? LATER_MS : 0);
  }

  #renewAndOpen() {
    this.#refused = this.#token;
    this.#open();
  }

  /** Waits a random while below a bound that doubles (full jitter), so a thousand phones do not come back together. */
  #retryLater(floorMs = 0) {
    const boundMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** this.#failures++);
    const waitMs = floorMs + Math.random() * boundMs;
    this.#say('offline', { retryAt: Date.now() + waitMs });
    this.#after(waitMs, () => this.#open());
  }

  /** The gateway beats every `beatMs`: one beat missing is said aloud, two are a dead socket. */
  #expectBeat() {
    clearTimeout(this.#timer);
    if (!this.#beatMs) return;
    this.#after(1.2 * this.#beatMs, () => {
      this.#say('degraded', { reason: 'silent' });
      this.#after(0.8 * this.#beatMs, () => this.#cut());
    });
  }

  // A phone that slept has frozen timers, and a dead socket that nobody told it about.
  #wake = () => {
    if (globalThis.document?.visibilityState === 'hidden' || this.status === 'stopped') return;
    if (this.status === 'offline') return this.retry();
    if (this.#beatMs && 1.2 * this.#beatMs < Date.now() - this.heardAt) this.#cut();
  };

  #lostNetwork = () => {
    if (this.#socket) this.#cut();
  };

  /** Gives a socket up without waiting for its closing handshake, which a dead network never finishes. */
  #cut() {
    this.#drop();
    this.#retryLater();
  }

  #drop() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
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

  // -- the calls ----------------------------------------------------------------------------------------------------

  /** @param {string} path @param {object} body @param {CallOptions} [options] @returns {Promise<Answer>} */
  async #call(path, body, { signal, onRetry } = {}) {
    const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
    for (let attempt = 0; ; attempt++) {
      const { status, retryAfter, answer } = await this.#post(path, body, key, signal);
      if (200 <= status && status < 300) return answer;
      if (status && !(answer.retryable ?? (status === 429 || 500 <= status))) throw new CallRefused(status, answer);
      onRetry?.();
      await pause(Math.max(retryAfter * 1000, Math.random() * Math.min(5_000, 500 * 2 ** attempt)), signal);
    }
  }

  /** One try. Status 0: no answer, so it may or may not have arrived, which the key makes harmless. @param {string} path @param {object} body @param {string} key @param {AbortSignal} [signal] */
  async #post(path, body, key, signal) {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${await this.#options.getToken()}`, 'Idempotency-Key': key };
    const giveUp = AbortSignal.any([AbortSignal.timeout(POST_MS), ...(signal ? [signal] : [])]);
    try {
      const response = await fetch(this.#options.api + path, { method: 'POST', headers, body: JSON.stringify(body), signal: giveUp });
      return { status: response.status, retryAfter: Number(response.headers.get('Retry-After')) || 0, answer: await response.json().catch(() => ({})) };
    } catch {
      signal?.throwIfAborted();
      return { status: 0, retryAfter: 0, answer: {} };
    }
  }
}

// -- STOMP 1.2 frames -------------------------------------------------------------------------------------------------

const ESCAPES = { '\r': '\\r', '\n': '\\n', ':': '\\c', '\\': '\\\\' };
const UNESCAPES = { '\\r': '\r', '\\n': '\n', '\\c': ':', '\\\\': '\\' };

/** CONNECT alone is never escaped. @param {string} command @param {Record<string, string>} headers */
export function frame(command, headers) {
  const escape = command === 'CONNECT' ? String : (/** @type {string} */ text) => text.replace(/[\r\n:\\]/g, (c) => ESCAPES[/** @type {keyof ESCAPES} */ (c)]);
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(value)}\n`);
  return `${command}\n${lines.join('')}\n\0`;
}

/** Reads the one frame of a message; a heart-beat is none. @param {string} data */
export function parse(data) {
  const text = data.replace(/^[\r\n]+/, '');
  if (!text) return undefined;
  const [head] = text.split(/\r?\n\r?\n/, 1);
  const [command, ...lines] = head.split(/\r?\n/);
  const unescape = (/** @type {string} */ part) => part.replace(/\\[rnc\\]/g, (pair) => UNESCAPES[/** @type {keyof UNESCAPES} */ (pair)]);
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
