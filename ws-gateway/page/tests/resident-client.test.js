import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CallRefused, claims, frame, parse } from '../resident-client.js';
import { TOKEN, World, tokenOf } from './world.js';

/** @type {World} */ let world;
beforeEach(() => (world = new World()));
afterEach(() => world.end());

test('it connects with the token in CONNECT, never in the address, and subscribes to its own line', async () => {
  await world.connect();
  await world.greet();

  assert.equal(world.socket.url, 'ws://gateway:8083/an-ws');
  assert.deepEqual(world.socket.protocols, ['v12.stomp']);
  assert.equal(world.sent('CONNECT')[0].Authorization, `Bearer ${TOKEN}`);
  assert.equal(world.sent('CONNECT')[0]['accept-version'], '1.2');
  assert.deepEqual(world.sent('SUBSCRIBE').map((headers) => headers.destination), ['/user/queue/notice', '/sub/line/한빛마을 3단지']);
  assert.deepEqual(world.statuses.map(([status]) => status), ['connecting', 'catching-up', 'connected']);
});

test('a first connection asks for no position and gets the snapshot that every client gets', async () => {
  await world.live();
  assert.equal(world.sent('SUBSCRIBE')[1]['resume-from'], undefined);
});

test('it comes back with the position of the last message that was handed over', async () => {
  await world.live();
  world.alert('a1', { position: 'p1' });
  world.alert('a2', { position: 'p2' });

  await world.closeWith(1006);
  assert.equal(world.status, 'offline');
  await world.pass(1_000);
  await world.greet();

  assert.equal(world.sockets.length, 2);
  assert.equal(world.sent('SUBSCRIBE')[1]['resume-from'], 'p2');
  assert.deepEqual(world.positions, ['p1', 'p2']);
});

test('a position is moved only after the message was handed over', async () => {
  const seen = [];
  await world.live({ onAlert: () => seen.push(world.resident.position) });
  world.alert('a1', { position: 'p1' });
  world.alert('a2', { position: 'p2' });
  assert.deepEqual(seen, [undefined, 'p1']);
});

test('one id is handed over once, however often and on however many sockets it comes', async () => {
  await world.live();
  world.alert('a1');
  world.alert('a1');
  await world.closeWith(1012);
  await world.pass(1_000);
  await world.greet();
  world.alert('a1', { replayed: 'true' });
  world.alert('a2', { replayed: 'true' });

  assert.deepEqual(world.alerts, [['a1', false], ['a2', true]]);
});

test('an id is remembered for 25 hours of record time and no longer', async () => {
  await world.live();
  const at = (hours) => new Date(Date.parse('2026-11-20T09:00:00Z') + hours * 3_600_000).toISOString();
  world.alert('old', {}, at(0));
  world.alert('later', {}, at(24.9));
  world.alert('old', {}, at(0));
  world.alert('much later', {}, at(25.1));
  world.alert('old', {}, at(0));
  assert.deepEqual(world.alerts.map(([id]) => id), ['old', 'later', 'much later', 'old']);
});

test('it is catching up until as many replays have come as the resume frame counted', async () => {
  await world.connect({ position: 'p7' });
  world.socket.onopen();
  world.receive('CONNECTED', { version: '1.2', 'heart-beat': '25000,0' });
  assert.equal(world.sent('SUBSCRIBE')[1]['resume-from'], 'p7');
  world.message({ type: 'resume', recovered: true, count: 2, position: 'p7' });
  world.receive('RECEIPT', { 'receipt-id': 'line' });
  world.alert('a1', { replayed: 'true', position: 'p8' });
  assert.equal(world.status, 'catching-up');

  world.alert('a2', { replayed: 'true', position: 'p9' });

  assert.equal(world.status, 'connected');
  assert.deepEqual(world.alerts, [['a1', true], ['a2', true]]);
});

test('the waits are drawn from the whole range below a bound that doubles up to thirty seconds', async () => {
  world.chance = 1;
  await world.connect();
  const waits = [];
  for (let i = 0; i < 7; i++) {
    await world.closeWith(1006);
    waits.push(world.detail.retryAt - Date.now());
    await world.pass(waits.at(-1));
  }
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);

  world.chance = 0;
  await world.closeWith(1006);
  assert.equal(world.detail.retryAt, Date.now());
});

test('after a connection that held, the waits start from the shortest again; after one that did not, they go on growing', async () => {
  world.chance = 1;
  await world.connect();
  await world.closeWith(1006);
  await world.pass(1_000);
  await world.greet();
  await world.closeWith(1006);
  assert.equal(world.detail.retryAt - Date.now(), 2_000, 'a gateway that greets and closes at once is not a good one');

  await world.pass(2_000);
  await world.greet();
  await world.pass(11_000);
  await world.closeWith(1012);
  assert.equal(world.detail.retryAt - Date.now(), 1_000);
});

test('a token is asked for before every attempt', async () => {
  world.tokens = [TOKEN, tokenOf('한빛마을 3단지', '101-1203', 2)];
  await world.live();
  await world.closeWith(1006);
  await world.pass(1_000);
  world.socket.onopen();
  assert.equal(world.sent('CONNECT')[0].Authorization, `Bearer ${world.tokens[1]}`);
});

test('a token source that fails is asked again later', async () => {
  let asked = 0;
  await world.connect({ getToken: () => (asked++ ? TOKEN : Promise.reject(new Error('sign-in server down'))) });
  assert.equal(world.status, 'offline');
  await world.pass(1_000);
  assert.equal(world.sockets.length, 1);
});

test('close code 4401 comes back with a new token, and stops when there is only the refused one', async () => {
  world.tokens = [TOKEN, tokenOf('한빛마을 3단지', '101-1203', 2)];
  await world.live();
  await world.closeWith(4401);
  await world.pass(1_000);
  assert.equal(world.sockets.length, 2);

  await world.greet();
  await world.closeWith(4401);
  await world.pass(1_000);
  assert.equal(world.sockets.length, 2);
  assert.deepEqual(world.statuses.at(-1), ['stopped', { reason: 'token' }]);
});

test('no token at all stops it without a socket, and retry() starts it again', async () => {
  world.tokens = ['', TOKEN];
  await world.connect();
  assert.deepEqual(world.statuses.at(-1), ['stopped', { reason: 'token' }]);
  assert.equal(world.sockets.length, 0);
  world.resident.retry();
  await world.settle();
  assert.equal(world.sockets.length, 1);
});

test('a person who says to try again is believed, even with the token that was refused', async () => {
  await world.live();
  await world.closeWith(4401);
  await world.pass(1_000);
  assert.equal(world.status, 'stopped');
  world.resident.retry();
  await world.settle();
  assert.equal(world.sockets.length, 2);
});

for (const [how, close] of [
  ['close code 4403', () => world.closeWith(4403)],
  ['an ERROR that says retry:never', () => (world.receive('ERROR', { code: 'line_mismatch', retry: 'never' }), world.closeWith(1002))],
]) {
  test(`${how} stops it for good`, async () => {
    await world.live();
    await close();
    await world.pass(600_000);
    assert.deepEqual(world.statuses.at(-1), ['stopped', { reason: 'forbidden' }]);
    assert.equal(world.sockets.length, 1);
  });
}

for (const code of [1006, 1012, 4408, 4413]) {
  test(`close code ${code} comes back`, async () => {
    await world.live();
    await world.closeWith(code);
    await world.pass(1_000);
    assert.equal(world.sockets.length, 2);
  });
}

test('close code 4429 comes back no sooner than ten seconds later', async () => {
  world.chance = 0;
  await world.live();
  await world.closeWith(4429);
  await world.pass(9_999);
  assert.equal(world.sockets.length, 1);
  await world.pass(1);
  assert.equal(world.sockets.length, 2);
});

test('one missing heart-beat is said aloud, two are a dead socket', async () => {
  await world.live();
  await world.pass(29_999);
  assert.equal(world.status, 'connected');
  await world.pass(1);
  assert.deepEqual(world.statuses.at(-1), ['degraded', { reason: 'silent' }]);

  world.receive('', {});
  assert.equal(world.status, 'connected', 'any byte counts as a beat');

  await world.pass(30_000);
  await world.pass(20_000);
  assert.equal(world.sockets[0].closed, true);
  assert.equal(world.status, 'offline');
  await world.pass(1_000);
  assert.equal(world.sockets.length, 2);
});

test('a gateway that promises no heart-beat is not waited for', async () => {
  await world.connect();
  await world.greet('0,0');
  await world.pass(3_600_000);
  assert.equal(world.status, 'connected');
});

test('a gateway that never answers CONNECT is left after ten seconds', async () => {
  await world.connect();
  world.socket.onopen();
  await world.pass(10_000);
  assert.equal(world.sockets[0].closed, true);
  assert.equal(world.status, 'offline');
});

test('the network going away is said at once, and its return ends the wait', async () => {
  world.chance = 1;
  await world.live();
  await world.happens('offline');
  assert.equal(world.status, 'offline');
  await world.happens('online');
  assert.equal(world.sockets.length, 2);
});

test('a page that wakes with a socket silent for more than a beat takes a new one', async () => {
  await world.live();
  world.resident.heardAt -= 3_600_000;
  globalThis.document.visibilityState = 'hidden';
  await world.happens('visibilitychange');
  assert.equal(world.sockets[0].closed, false);

  globalThis.document.visibilityState = 'visible';
  await world.happens('visibilitychange');

  assert.equal(world.sockets[0].closed, true);
  assert.equal(world.status, 'offline');
});

test('a page that wakes with a lively socket keeps it', async () => {
  await world.live();
  await world.happens('visibilitychange');
  assert.equal(world.sockets[0].closed, false);
});

test('the gateway says itself when alerts may come late, and when that is over', async () => {
  await world.live();
  world.notice({ type: 'degraded' });
  assert.deepEqual(world.statuses.at(-1), ['degraded', { reason: 'gateway' }]);
  world.notice({ type: 'healthy' });
  assert.equal(world.status, 'connected');
  world.notice({ type: 'position', position: 'p5' });
  assert.equal(world.resident.position, 'p5');
});

test('a token about to expire is renewed on the same socket', async () => {
  world.tokens = [TOKEN, tokenOf('한빛마을 3단지', '101-1203', 2)];
  await world.live();
  world.notice({ type: 'token-expiring' });
  await world.settle();
  assert.deepEqual(world.sent('SEND'), [{ destination: '/pub/token', Authorization: `Bearer ${world.tokens[1]}` }]);
});

test('close() ends it: no socket, no timer, no answer to events', async () => {
  await world.live();
  world.resident.close();
  await world.happens('online');
  await world.happens('visibilitychange');
  await world.pass(600_000);
  assert.deepEqual(world.statuses.at(-1), ['stopped', { reason: 'closed' }]);
  assert.equal(world.sockets.length, 1);
});

test('close() while a token is awaited opens no socket', async () => {
  let give;
  await world.connect({ getToken: () => new Promise((resolve) => (give = resolve)) });
  world.resident.close();
  give(TOKEN);
  await world.settle();
  assert.equal(world.sockets.length, 0);
});

test('an accept names the houses of token and alert, and is repeated under one key until answered', async () => {
  await world.live();
  const refusal = { status: 503, headers: { 'Retry-After': '2' }, body: { code: 'log_unavailable', retryable: true } };
  world.answers = [refusal, undefined, { status: 201, body: { id: 'c1' } }];
  let retries = 0;
  const answer = world.resident.accept({ target: '102-304', alertId: 'a1' }, { onRetry: () => retries++ });
  await world.settle();
  await world.pass(1_999);
  assert.equal(world.posts.length, 1, 'Retry-After is honoured');
  await world.pass(5_000);
  await world.pass(5_000);

  assert.deepEqual(await answer, { id: 'c1' });
  assert.equal(retries, 2);
  assert.equal(new Set(world.posts.map((post) => post.key)).size, 1);
  assert.match(world.posts[0].key, /^[!-~]{16,64}$/);
  assert.equal(world.posts[0].url, 'http://api:8082/accept');
  assert.equal(world.posts[0].authorization, `Bearer ${TOKEN}`);
  assert.deepEqual(world.posts[0].body, { line: '한빛마을 3단지', acceptHouse: '101-1203', targetHouse: '102-304', alertId: 'a1' });
});

test('two calls carry two keys', async () => {
  world.answers = [{ status: 201, body: {} }, { status: 201, body: {} }];
  await world.live();
  await world.resident.raise({ text: '' });
  await world.resident.raise({ text: '' });
  assert.notEqual(world.posts[0].key, world.posts[1].key);
});

test('a refusal that repeating cannot help is thrown with the api\'s words', async () => {
  world.answers = [{ status: 422, body: { code: 'validation', detail: 'a house cannot accept its own alert', retryable: false } }];
  await world.live();
  const refused = await world.resident.accept({ target: '101-1203' }).catch((error) => error);
  assert.ok(refused instanceof CallRefused);
  assert.deepEqual([refused.status, refused.code, refused.message], [422, 'validation', 'a house cannot accept its own alert']);
});

for (const [when, answers] of [['between two tries', []], ['during a try', ['never']]]) {
  test(`a call aborted ${when} is not tried again`, async () => {
    world.answers = answers;
    await world.live();
    const stop = new AbortController();
    const call = world.resident.raise({ text: 'help' }, { signal: stop.signal });
    await world.settle();
    stop.abort();
    await assert.rejects(call, { name: 'AbortError' });
    await world.pass(60_000);
    assert.equal(world.posts.length, 1);
  });
}

test('an api that does not answer within ten seconds is asked again, under the same key', async () => {
  world.answers = ['never', { status: 202, body: { id: 'c1', status: 'queued' } }];
  await world.live();
  const call = world.resident.raise({ text: 'help' });
  await world.settle();
  await world.pass(10_000);
  await world.pass(1_000);
  assert.equal((await call).status, 'queued');
  assert.equal(world.posts[0].key, world.posts[1].key);
});

test('headers of any text come back as they went, but CONNECT, which is never escaped', () => {
  const alphabet = ['\r', '\n', ':', '\\', 'c', 'n', 'r', '가', ' ', '🔥'];
  for (let seed = 1; seed < 500; seed++) {
    const value = Array.from({ length: seed % 9 }, (_, i) => alphabet[(seed * 7919 * (i + 3)) % 97 % alphabet.length]).join('');
    assert.equal(parse(frame('SEND', { value })).headers.value, value);
  }
  assert.match(frame('CONNECT', { host: 'a:1' }), /host:a:1\n/);
});

test('a frame is read with either end of line, its first of repeated headers, and NULs in its body', () => {
  assert.deepEqual(parse('\n\nMESSAGE\r\na:1\r\na:2\r\n\r\nx\n\ny\0z\0\n'), { command: 'MESSAGE', headers: { a: '1' }, body: 'x\n\ny\0z' });
  assert.equal(parse('\n').command, '');
});

test('a token is read as UTF-8', () => {
  assert.equal(claims(TOKEN).line, '한빛마을 3단지');
});

test('the module is smaller than 5 KiB on the wire, comments included', () => {
  const bytes = gzipSync(readFileSync(new URL('../resident-client.js', import.meta.url)), { level: 9 }).length;
  assert.ok(bytes < 5 * 1024, `${bytes} bytes`);
});
