// A world for resident-client: a WebSocket, a clock and a network that do what the test says.
import { mock } from 'node:test';
import { connect, frame, parse } from '../resident-client.js';

/** A token as the doors issue it; the client reads it and does not verify it. */
export function tokenOf(line, house, serial = 1) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ sub: house, line, house, exp: 4_000_000_000, jti: String(serial) })}.signature`;
}

export const TOKEN = tokenOf('한빛마을 3단지', '101-1203');

class FakeSocket {
  sent = [];
  closed = false;
  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.opened.push(this);
  }
  send(data) {
    this.sent.push(parse(data));
  }
  close() {
    this.closed = true;
  }
  static opened = [];
}

export class World {
  statuses = [];
  alerts = [];
  accepts = [];
  positions = [];
  posts = [];
  answers = [];
  tokens = [TOKEN];
  tokensGiven = 0;
  chance = 0.5;

  constructor() {
    FakeSocket.opened = [];
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.parse('2026-11-20T09:00:00Z') });
    mock.method(Math, 'random', () => this.chance);
    this.events = new EventTarget();
    globalThis.WebSocket = FakeSocket;
    globalThis.addEventListener = this.events.addEventListener.bind(this.events);
    globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    globalThis.fetch = (url, request) => this.#answer(url, request);
  }

  end() {
    this.resident?.close();
    mock.timers.reset();
    mock.restoreAll();
    for (const name of ['WebSocket', 'addEventListener', 'document']) delete globalThis[name];
  }

  async connect(options = {}) {
    this.resident = connect({
      url: 'ws://gateway:8083/an-ws',
      api: 'http://api:8082',
      getToken: () => this.tokens[Math.min(this.tokensGiven++, this.tokens.length - 1)],
      onAlert: (alert, { replayed }) => this.alerts.push([alert.id, replayed]),
      onAccept: (accept, { replayed }) => this.accepts.push([accept.id, replayed]),
      onStatus: (status, detail) => this.statuses.push([status, detail]),
      onPosition: (position) => this.positions.push(position),
      ...options,
    });
    await this.settle();
    return this;
  }

  /** Connects and goes through the gateway's greeting. */
  async live(options) {
    await this.connect(options);
    await this.greet();
    return this;
  }

  async greet(heartBeat = '25000,0') {
    this.socket.onopen?.();
    this.receive('CONNECTED', { version: '1.2', 'heart-beat': heartBeat });
    this.receive('RECEIPT', { 'receipt-id': 'line' });
    await this.settle();
  }

  get sockets() {
    return FakeSocket.opened;
  }
  get socket() {
    return FakeSocket.opened.at(-1);
  }
  get status() {
    return this.statuses.at(-1)[0];
  }
  get detail() {
    return this.statuses.at(-1)[1];
  }

  /** Frames of a kind that the newest socket was sent. */
  sent(command) {
    return this.socket.sent.filter((frame) => frame.command === command).map((frame) => frame.headers);
  }

  receive(command, headers, body = '') {
    this.socket.onmessage?.({ data: frame(command, headers).replace('\0', `${body}\0`) });
  }

  message(body, headers = {}) {
    this.receive('MESSAGE', { subscription: 'line', 'message-id': `an-alert-0-${body.id}`, type: body.type, ...headers }, JSON.stringify(body));
  }

  alert(id, headers, at = new Date().toISOString()) {
    this.message({ type: 'alert', id, line: '한빛마을 3단지', house: '102-304', text: '불이 났어요', at }, headers);
  }

  notice(body) {
    this.receive('MESSAGE', { subscription: 'notice', 'message-id': 'n-1' }, JSON.stringify(body));
  }

  async closeWith(code) {
    this.socket.onclose?.({ code });
    await this.settle();
  }

  async pass(ms) {
    mock.timers.tick(ms);
    await this.settle();
  }

  /** What the page's window or document reports. */
  async happens(name) {
    (name === 'visibilitychange' ? globalThis.document : this.events).dispatchEvent(new Event(name));
    await this.settle();
  }

  async settle() {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async #answer(url, { headers, body, signal }) {
    this.posts.push({ url, key: headers['Idempotency-Key'], authorization: headers.Authorization, body: JSON.parse(body) });
    const answer = this.answers.shift();
    if (answer === 'never') return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    if (!answer) throw new TypeError('network down');
    return new Response(JSON.stringify(answer.body), { status: answer.status, headers: answer.headers });
  }
}
