// A gateway and an api small enough to read, for working on the page without the real ones:
//
//     node mayday/tests/browser/fake-mayday.js        then open the address it prints
//
// It keeps what it was told in memory and believes every token that ends in ".fake". Type a house (and a text) on its standard input to raise an alert.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { frame, parse } from '../../../ws-gateway/page/resident-client.js';
import { ROOT, clients } from './clients.js';

const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };

export class FakeMayday {
  line = '한빛마을 3단지';
  #events = [];
  #subscribers = new Set();
  #servers = [];
  port = 0;

  async start(port = 0) {
    const { WebSocketServer } = clients('ws');
    this.api ??= await this.#listen((request, response) => this.#call(request, response), 0);
    const gateway = await this.#listen((request, response) => this.#serve(request, response), port);
    this.port = gateway.address().port;
    new WebSocketServer({ server: gateway, path: '/an-ws' }).on('connection', (socket) => this.#greet(socket));
    this.gateway = gateway;
    return this;
  }

  get page() {
    return `http://127.0.0.1:${this.port}/`;
  }

  get apiOrigin() {
    return `http://127.0.0.1:${this.api.address().port}`;
  }

  token(house) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none' })}.${part({ sub: house, line: this.line, house, exp: 4_000_000_000 })}.fake`;
  }

  /** Sockets and listener at once, as by SIGKILL. */
  async killGateway() {
    for (const { socket } of this.#subscribers) socket.terminate();
    this.#subscribers.clear();
    await new Promise((resolve) => this.gateway.close(resolve));
  }

  async end() {
    await this.killGateway();
    this.api.close();
  }

  push(event) {
    const id = `00000000-0000-7000-8000-${String(this.#events.length).padStart(12, '0')}`;
    const whole = { id, line: this.line, at: new Date().toISOString(), status: 'Actual', ...event };
    this.#events.push(whole);
    for (const subscriber of this.#subscribers) this.#send(subscriber, whole, {});
    return whole;
  }

  raise(house, text = '', more = {}) {
    const shown = more.status === 'Exercise' ? `[훈련 DRILL] ${text}` : text;
    return this.push({ type: 'alert', house, text: shown, lat: '', lng: '', ...more });
  }

  accept(target, house) {
    const alert = this.#events.findLast((event) => event.type === 'alert' && event.house === target);
    const rank = 1 + new Set(this.#events.filter((event) => event.alertId === alert?.id && event.accept !== house).map((event) => event.accept)).size;
    return this.push({ type: 'accept', accept: house, text: target, target, alertId: alert?.id, rank });
  }

  async #listen(handler, port) {
    const server = createServer(handler);
    await new Promise((resolve, reject) => server.on('error', reject).listen(port, '127.0.0.1', resolve));
    return server;
  }

  #serve({ url }, response) {
    const name = url === '/' ? 'index.html' : url.slice(1);
    const policy = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ${this.apiOrigin}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
    response.setHeader('Content-Security-Policy', policy);
    if (name === 'config.json') return response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ api: this.apiOrigin }));
    if (!/^[a-z-]+\.(html|css|js|svg)$/.test(name)) return response.writeHead(404).end();
    response.setHeader('Content-Type', `${TYPES[name.split('.')[1]]}; charset=utf-8`);
    response.end(readFileSync(`${ROOT}ws-gateway/page/${name}`));
  }

  #call(request, response) {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type, Idempotency-Key');
    if (request.method === 'OPTIONS') return response.end();
    if (request.url === '/readyz') return response.end('{"ready":true}');
    let body = '';
    request.on('data', (piece) => (body += piece)).on('end', () => {
      const call = JSON.parse(body);
      const event = request.url === '/alert' ? this.raise(call.house, call.text, call) : this.accept(call.targetHouse, call.acceptHouse);
      response.writeHead(201, { 'Content-Type': 'application/json' }).end(JSON.stringify({ id: event.id, warnings: [] }));
    });
  }

  #greet(socket) {
    const subscriber = { socket };
    const beat = setInterval(() => socket.send('\n'), 25_000);
    socket.on('close', () => (clearInterval(beat), this.#subscribers.delete(subscriber)));
    socket.on('message', (data) => this.#hear(subscriber, parse(data.toString())));
  }

  #hear(subscriber, { command, headers }) {
    if (command === 'CONNECT' && !headers.Authorization.endsWith('.fake')) return subscriber.socket.close(4401);
    if (command === 'CONNECT') subscriber.socket.send(frame('CONNECTED', { version: '1.2', 'heart-beat': '25000,0' }));
    if (command !== 'SUBSCRIBE' || headers.id !== 'line') return;
    this.#subscribers.add(subscriber);
    const from = headers['resume-from'] ? Number(headers['resume-from']) : 0;
    for (const event of this.#events.slice(from)) this.#send(subscriber, event, { replayed: 'true' });
    subscriber.socket.send(frame('RECEIPT', { 'receipt-id': 'line' }));
  }

  #send({ socket }, event, more) {
    const position = String(this.#events.indexOf(event) + 1);
    const head = { subscription: 'line', destination: `/sub/line/${this.line}`, 'message-id': event.id, type: event.type, position, ...more };
    socket.send(frame('MESSAGE', head).replace('\0', `${JSON.stringify(event)}\0`));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = await new FakeMayday().start(8083);
  console.log(`${fake.page}#token=${fake.token('101-1203')}`);
  createInterface({ input: process.stdin }).on('line', (typed) => {
    const [house, ...words] = typed.split(' ');
    if (house) fake.raise(house, words.join(' '));
  });
}
