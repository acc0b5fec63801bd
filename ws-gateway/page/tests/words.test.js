import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { place } from '../sketch.js';
import { ago, languageOf, preferred, speak, t } from '../strings.js';

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const KEYS = [...read('strings.js').matchAll(/^ {2}'?([a-zA-Z0-9.-]+)'?: ['"]/gm)].map(([, key]) => key);

function inBoth(key, values) {
  return ['ko', 'en'].map((language) => (speak(language), t(key, values)));
}

test('every sentence exists in both languages and names the same things', () => {
  assert.ok(100 < KEYS.length);
  for (const key of KEYS) {
    const names = inBoth(key, new Proxy({}, { get: (_, name) => `{${String(name)}}` })).map((text) => [...text.matchAll(/\{(\w+)\}/g)].map(([name]) => name).sort());
    assert.deepEqual(names[0], names[1], key);
  }
});

test('every sentence that the page asks for by name is there', () => {
  for (const [, key] of read('index.html').matchAll(/data-t="([^"]+)"/g)) assert.ok(KEYS.includes(key), key);
});

test('the page has no script, style or handler of its own inside the markup', () => {
  assert.doesNotMatch(read('index.html'), /<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:/i);
});

test('no text of a neighbour can become markup', () => {
  for (const name of ['page.js', 'card.js', 'raise.js', 'sketch.js']) assert.doesNotMatch(read(name), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/, name);
});

test('a home is placed by its building, floor and unit, and one named otherwise is not placed', () => {
  assert.deepEqual(place('101-1203'), { building: '101', floor: 12, unit: 3 });
  assert.deepEqual(place('3동 504호'), { building: '3', floor: 5, unit: 4 });
  for (const house of ['관리사무소', '101', '101-3', '101-003', '101-1200', '7B', '']) assert.equal(place(house), undefined, house);
});

test('times are told in the unit that fits, and never in the future', () => {
  speak('en');
  assert.deepEqual([-5_000, 0, 13_000, 59_000, 60_000, 3_599_000, 7_200_000].map((ms) => ago(0, ms)), ['now', 'now', '10 seconds ago', '55 seconds ago', '1 minute ago', '59 minutes ago', '2 hours ago']);
});

test('the language is the first that the person prefers and we speak', () => {
  assert.deepEqual([['ko-KR'], ['fr', 'en-GB', 'ko'], [''], []].map(preferred), ['ko', 'en', 'ko', 'ko']);
  assert.deepEqual(['불이야', 'fire', '불 fire'].map(languageOf), ['ko', 'en', 'ko']);
});
