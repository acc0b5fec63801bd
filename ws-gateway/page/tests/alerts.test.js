import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Alerts, isDrill, words } from '../alerts.js';

const NOON = Date.parse('2026-11-20T12:00:00Z');
const at = (seconds) => new Date(NOON + seconds * 1000).toISOString();
const alert = (id, house, seconds, more = {}) => ({ id, line: 'L', house, text: 'help', at: at(seconds), ...more });
const accept = (id, house, target, seconds, more = {}) => ({ id, line: 'L', accept: house, target, at: at(seconds), ...more });

function heard({ alerts = [], accepts = [], acceptsFirst = false }) {
  const known = new Alerts();
  const hearAccepts = () => accepts.forEach((one) => known.hearAccept(one));
  if (acceptsFirst) hearAccepts();
  alerts.forEach((one) => known.hearAlert(one, NOON));
  if (!acceptsFirst) hearAccepts();
  return known;
}

const responders = (known, place = 0) => known.calls(NOON)[place].responders.map(({ house, rank }) => [house, rank]);

test('the newest call stands first, and no drill stands above a real call', () => {
  const known = heard({ alerts: [alert('a', '1', 0), alert('drill', '2', 20, { status: 'Exercise' }), alert('b', '3', 10)] });
  assert.deepEqual(known.calls(NOON).map((call) => call.alert.id), ['b', 'a', 'drill']);
});

test('an event heard twice is shown once', () => {
  const known = heard({ alerts: [alert('a', '1', 0)] });
  assert.equal(known.hearAlert(alert('a', '1', 0), NOON), false);
  assert.equal(known.calls(NOON).length, 1);
});

for (const acceptsFirst of [false, true]) {
  const order = acceptsFirst ? 'before' : 'after';
  test(`an accept heard ${order} its alert stands with it, in the order of the ranks`, () => {
    const accepts = [accept('y', '102', '1', 9, { alertId: 'a', rank: 2 }), accept('x', '101', '1', 8, { alertId: 'a', rank: 1 })];
    assert.deepEqual(responders(heard({ alerts: [alert('a', '1', 0)], accepts, acceptsFirst })), [['101', 1], ['102', 2]]);
  });

  test(`an accept without an alert's id, heard ${order} it, goes to the newest call of that house that was raised by then`, () => {
    const alerts = [alert('old', '1', 0), alert('new', '1', 60), alert('later', '1', 62), alert('other', '2', 60)];
    const known = heard({ alerts, accepts: [accept('x', '101', '1', 61), accept('y', '102', '2', 58)], acceptsFirst });
    const withResponder = known.calls(NOON).filter((call) => call.responders.length);
    assert.deepEqual(withResponder.map((call) => call.alert.id), ['new', 'other'], 'a clock may be five seconds off where no call came before');
  });
}

test('a house that accepts twice is one responder', () => {
  const accepts = [accept('x', '101', '1', 8, { alertId: 'a', rank: 1 }), accept('y', '101', '1', 9, { alertId: 'a', rank: 1 })];
  assert.deepEqual(responders(heard({ alerts: [alert('a', '1', 0)], accepts })), [['101', 1]]);
});

test('without ranks the responders are numbered in the order of the log', () => {
  const accepts = [accept('x', '101', '1', 9), accept('y', '102', '1', 8)];
  assert.deepEqual(responders(heard({ alerts: [alert('a', '1', 0)], accepts })), [['101', 1], ['102', 2]]);
});

test('the page gives each accept to the alert that the fold gives it to', () => {
  const histories = readFileSync(new URL('../../../crates/event-model/tests/bindings.jsonl', import.meta.url), 'utf8').trim().split('\n');
  for (const history of histories) {
    const { events, responders } = JSON.parse(history);
    const known = new Alerts();
    for (const event of events) event.type === 'alert' ? known.hearAlert(event, NOON) : known.hearAccept(event);
    const found = Object.fromEntries(Object.keys(responders).map((id) => [id, []]));
    for (const one of events.filter(({ type }) => type === 'accept')) {
      const houses = found[known.alertOf(one) ?? ''];
      if (houses && !houses.includes(one.accept)) houses.push(one.accept);
    }
    assert.deepEqual(found, responders, history);
  }
});

test('a call leaves the screen after a day', () => {
  const known = heard({ alerts: [alert('a', '1', 0)] });
  assert.equal(known.calls(NOON + 23.9 * 3_600_000).length, 1);
  assert.equal(known.calls(NOON + 24 * 3_600_000).length, 0);
});

test('a call that was missed is not live when another came a day after it and this phone knows that it is a day later', () => {
  const known = heard({ alerts: [alert('a', '1', 0), alert('b', '1', 86_400)] });
  assert.deepEqual(known.calls(NOON + 86_400_000 - 1).map((call) => call.alert.id), ['b', 'a']);
  const later = new Alerts();
  for (const one of [alert('a', '1', 0), alert('b', '1', 86_400)]) later.hearAlert(one, NOON + 86_400_000);
  assert.deepEqual(later.calls(NOON + 86_400_000).map((call) => call.alert.id), ['b']);
});

test('one call stamped ten years ahead hides no other', () => {
  const known = heard({ alerts: [alert('a', '1', 0), alert('lie', '2', 3650 * 86_400)] });
  assert.deepEqual(known.calls(NOON + 1000).map((call) => call.alert.id), ['lie', 'a']);
  assert.deepEqual(known.calls(NOON + 86_400_000), [], 'and it leaves the screen with them');
});

test('a phone whose clock is days off shows the call all the same', () => {
  for (const offMs of [-3 * 86_400_000, 3 * 86_400_000]) {
    const known = new Alerts();
    known.hearAlert(alert('a', '1', 0), NOON + offMs);
    assert.equal(known.calls(NOON + offMs + 1000).length, 1);
  }
});

test('what a reload keeps is what was known', () => {
  const known = heard({ alerts: [alert('a', '1', 0)], accepts: [accept('x', '101', '1', 8, { alertId: 'a', rank: 1 })] });
  const again = Alerts.from(JSON.parse(JSON.stringify(known)));
  assert.deepEqual(again.calls(NOON), known.calls(NOON));
});

test('only what is said to be a drill is one, and only a drill loses its prefix', () => {
  assert.deepEqual(['Actual', undefined, 'exercise', 'Exercise', 'Test'].map((status) => isDrill({ status })), [false, false, false, true, true]);
  assert.equal(words(alert('a', '1', 0, { text: '[훈련 DRILL] fire', status: 'Exercise' })), 'fire');
  assert.equal(words(alert('a', '1', 0, { text: '[훈련 DRILL] fire' })), '[훈련 DRILL] fire');
});
