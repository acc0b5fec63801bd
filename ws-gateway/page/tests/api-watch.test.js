import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ApiWatch } from '../api-watch.js';

/** What the api answers next; the last answer stays. `undefined`: nothing. @type {(number | undefined)[]} */ let answers;
let asked;
const realFetch = globalThis.fetch;
beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  asked = [];
  globalThis.fetch = async (url) => {
    asked.push(url);
    const status = answers.length > 1 ? answers.shift() : answers[0];
    if (!status) throw new TypeError('network down');
    return new Response('{}', { status });
  };
});
afterEach(() => {
  mock.timers.reset();
  globalThis.fetch = realFetch;
});

async function pass(ms) {
  mock.timers.tick(ms);
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

test('an api that is gone is said after the second silence, and when it is back that is said too', async () => {
  answers = [200, undefined, undefined, undefined, 200];
  const changes = [];
  new ApiWatch('http://api:9999', (status) => changes.push(status));
  await pass(0);
  await pass(45_000);
  assert.deepEqual(changes, [], 'one answer may get lost');
  await pass(7_500);
  assert.deepEqual(changes, ['gone']);
  await pass(7_500);
  await pass(7_500);
  assert.deepEqual(changes, ['gone', 'ready']);
  assert.equal(asked[0], 'http://api:9999/readyz');
});

test('an api that would take a call and keep it waiting is said at once', async () => {
  answers = [503];
  const changes = [];
  new ApiWatch('http://api:8082', (status) => changes.push(status));
  await pass(0);
  assert.deepEqual(changes, ['late']);
});

test('while all is well it asks about twice a minute', async () => {
  answers = [200];
  new ApiWatch('http://api:8082', () => {});
  for (let second = 0; second < 600; second++) await pass(1_000);
  assert.ok(asked.length < 45, `${asked.length} in ten minutes`);
});
