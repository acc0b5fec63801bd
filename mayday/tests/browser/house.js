// A real `mayday` for the browser to visit: the binary named by MAYDAY, on a folder of its own, killed and started again on the same ports.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BINARY = process.env.MAYDAY;
const READY_WITHIN_MS = 60_000;

export class House {
  line = '한빛마을 3단지';
  #folder = mkdtempSync(join(tmpdir(), 'residents-page-'));
  #tokens = new Map();
  #ports = ['0', '0', '0', '0'];

  /** Starts, or starts again where it was. */
  async start() {
    const [api, gateway, log, admin] = this.#ports;
    const ports = ['--api-port', api, '--gateway-port', gateway, '--log-port', log, '--admin-port', admin];
    this.process = spawn(BINARY, ['--data', this.#folder, ...ports], { stdio: ['ignore', 'pipe', 'inherit'] });
    await this.#ready();
    const addresses = JSON.parse(readFileSync(join(this.#folder, 'addresses.json'), 'utf8'));
    this.#ports = [addresses.api, addresses.gateway, addresses.log, addresses.admin].map((address) => address.match(/:(\d+)/)[1]);
    return this;
  }

  /** It prints its addresses, and how to stop it, when it is ready; before that it may only end. */
  #ready() {
    return new Promise((resolve, reject) => {
      let said = '';
      const tooLate = setTimeout(() => reject(new Error(`mayday was not ready in time: ${said}`)), READY_WITHIN_MS);
      this.process.on('error', reject).on('exit', (code) => reject(new Error(`mayday ended with ${code}: ${said}`)));
      this.process.stdout.on('data', (piece) => {
        said += piece;
        if (said.includes('Ctrl-C')) clearTimeout(tooLate), resolve();
      });
    });
  }

  get page() {
    return `http://127.0.0.1:${this.#ports[1]}/`;
  }

  get api() {
    return `http://127.0.0.1:${this.#ports[0]}`;
  }

  token(house) {
    if (!this.#tokens.has(house)) this.#tokens.set(house, this.#run('token', '--line', this.line, '--house', house).trim());
    return this.#tokens.get(house);
  }

  #run(...command) {
    return execFileSync(BINARY, [...command, '--data', this.#folder], { encoding: 'utf8' });
  }

  /** Posts as the house's phone would. */
  raise(house, text = '', more = {}) {
    return this.#post('/alert', house, { line: this.line, house, text, ...more });
  }

  accept(target, house) {
    return this.#post('/accept', house, { line: this.line, acceptHouse: house, targetHouse: target });
  }

  async #post(path, house, body) {
    const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${this.token(house)}` };
    const response = await fetch(this.api + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** SIGKILL: sockets and all, at once. */
  async kill() {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
  }

  async end() {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
