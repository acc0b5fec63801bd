// The residents' page in a real browser, against a real mayday: what a neighbour sees. Run by mayday/tests/residents_page.rs.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { ROOT, clients, openChromium } from './clients.js';
import { FakeMayday } from './fake-mayday.js';
import { House } from './house.js';

const PICTURES = `${ROOT}target/residents-page/`;
// As long as the tests of whole machines wait: a browser that starts from a cold disk has been seen to need more than 20 s.
const PATIENCE_MS = 40_000;
const PHONE = { viewport: { width: 390, height: 844 }, locale: 'ko-KR', timezoneId: 'Asia/Seoul', hasTouch: true };
const AXE = readFileSync(clients.resolve('axe-core/axe.min.js'), 'utf8');

/** @type {House} */ let house;
let browser;
const complaints = [];

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  [house, browser] = await Promise.all([new House().start(), openChromium()]);
});
after(async () => {
  await browser?.close();
  await house?.end();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  assert.deepEqual(complaints.splice(0), [], 'no exception and no breach of the content policy in any page');
});

/** Opens the page as a neighbour who got a link with a token. */
async function neighbour(of, options = {}) {
  const page = await visitor(options);
  await page.goto(`${house.page}#token=${house.token(of)}`);
  await status(page, 'connected');
  return page;
}

async function visitor(options = {}) {
  const context = await browser.newContext({ ...PHONE, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => /content security policy|mime type/i.test(message.text()) && complaints.push(message.text()));
  return page;
}

const status = (page, wanted) => page.waitForSelector(`body[data-status=${wanted}]`);
const card = (page, id) => page.locator(`.card[data-id="${id}"]`);
const words = async (locator) => (await locator.innerText()).replace(/\s+/g, ' ').trim();
const picture = (page, name) => page.screenshot({ path: `${PICTURES}${name}.png` });
const rings = (page) => page.evaluate(() => document.body.classList.contains('rings'));
let homes = 200;
const freshHome = () => `109-${++homes}`;

async function assertAccessible(page, what) {
  await page.evaluate(AXE);
  const enhanced = { rules: { 'color-contrast-enhanced': { enabled: true }, 'target-size': { enabled: true } } };
  const { violations, passes } = await page.evaluate((options) => globalThis.axe.run(document, options), enhanced);
  assert.ok(passes.some(({ id }) => id === 'color-contrast-enhanced'), 'it looked');
  assert.deepEqual(violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n')}`), []);
}

test('an alert appears on an open page, with house, text and place, rings, and is read aloud', async () => {
  const page = await neighbour('101-1203');
  await page.locator('#sound-on').click();
  await page.locator('#sound').waitFor({ state: 'hidden' });
  const raisedAt = performance.now();
  const { id } = await house.raise('102-304', '가스 냄새가 심하게 나요', { lat: '37.5663', lng: '126.9779' });

  await card(page, id).waitFor();

  console.log(`an alert was on the screen ${Math.round(performance.now() - raisedAt)} ms after the post began`);
  assert.equal(await words(card(page, id).locator('.house')), '102-304');
  assert.equal(await words(card(page, id).locator('.text')), '가스 냄새가 심하게 나요');
  assert.match(await card(page, id).locator('.where a').getAttribute('href'), /openstreetmap\.org\/\?mlat=37\.5663&mlon=126\.9779#/);
  assert.equal(await card(page, id).locator('.sketch .lit').count(), 1);
  assert.match(await words(page.locator('#said-alert')), /^비상 호출\. 102-304\. 가스 냄새가 심하게 나요/);
  assert.equal(await rings(page), true);
  assert.match(await page.title(), /^\(\d+\) 비상 호출/);
  await picture(page, 'alert');

  await page.locator('#hush').click();
  assert.equal(await rings(page), false);
});

test('an accept made by a click is seen by everybody, with its rank', async () => {
  const home = freshHome();
  const [caller, first, second] = [await neighbour(home), await neighbour('103-101'), await neighbour('104-202')];
  const { id } = await house.raise(home, '도와주세요');

  await card(first, id).locator('.accept').click();
  await card(caller, id).locator('.responders li').waitFor();
  await card(second, id).locator('.responders li').waitFor();
  await card(second, id).locator('.accept').click();
  await card(caller, id).locator('.responders li').nth(1).waitFor();

  assert.deepEqual(await card(caller, id).locator('.responders li').allInnerTexts(), ['1번째 103-101 먼저 감', '2번째 104-202']);
  assert.equal(await words(card(second, id).locator('.hint')), '우리 집이 2번째로 가고 있습니다');
  assert.equal(await card(second, id).locator('.accept').isVisible(), false);
  assert.equal(await card(caller, id).locator('.accept').isVisible(), false, 'nobody accepts their own call');
  assert.match(await words(caller.locator('#said-count')), /104-202 이웃이 109-\d+ 호출에 가고 있습니다/);
  await picture(caller, 'accepted');
});

test('a call for help made on the page is seen by a neighbour', async () => {
  const home = freshHome();
  const neighbourPage = await neighbour('105-303');
  const page = await neighbour(home, { permissions: ['geolocation'], geolocation: { latitude: 37.5, longitude: 127.25, accuracy: 8 } });
  await page.locator('#raise').click();
  await page.locator('#raise-words button').nth(1).click();
  await page.locator('#raise-locate').check();
  await page.locator('#raise-located', { hasText: '8m' }).waitFor();
  await picture(page, 'raise');
  await page.locator('#raise-send').click();
  await page.locator('dialog.sent').waitFor();

  const seen = neighbourPage.locator('.card', { hasText: home });
  await seen.waitFor();
  assert.equal(await words(seen.locator('.text')), '사람이 쓰러졌어요');
  assert.match(await seen.locator('.where a').getAttribute('href'), /mlat=37\.5&mlon=127\.25#/);
});

test('a drill cannot be mistaken: it says so in words everywhere, does not ring, and is below every real call', async () => {
  const page = await neighbour('101-1203');
  const real = await house.raise(freshHome(), '[훈련 DRILL] 이라고 쓴 진짜 호출');
  await card(page, real.id).waitFor();
  await page.evaluate(() => document.getElementById('said-alert').replaceChildren());
  await page.reload();
  await card(page, real.id).waitFor();
  // A call that comes before the page is connected again is a missed one, and told as a count.
  await status(page, 'connected');

  const drill = await house.raise(freshHome(), '지진 대피', { status: 'Exercise' });
  await card(page, drill.id).waitFor();

  assert.equal(await card(page, real.id).evaluate((element) => element.classList.contains('drill')), false);
  assert.match(await words(card(page, drill.id).locator('.band')), /^훈련 실제 상황이 아닙니다/);
  assert.equal(await words(card(page, drill.id).locator('.accept')), '훈련: 도우러 갈게요');
  assert.match(await words(page.locator('#said-alert')), /^훈련입니다\. 실제 상황이 아닙니다\./);
  assert.equal(await rings(page), false);
  const order = await page.locator('.card').evaluateAll((cards) => cards.map((one) => one.classList.contains('drill')));
  assert.deepEqual(order, [...order].sort());
  await card(page, drill.id).scrollIntoViewIfNeeded();
  await picture(page, 'drill');
});

test('a house that is killed is said aloud, and comes back by itself with what was missed', async () => {
  const page = await neighbour('101-1203');
  await house.kill();
  await status(page, 'offline');
  assert.match(await words(page.locator('#connection')), /연결이 끊겼습니다/);
  assert.match(await words(page.locator('#said-count')), /연결이 끊겼습니다/);
  assert.doesNotMatch(await words(page.locator('main')), /지금은 조용합니다/);
  await assertAccessible(page, 'offline');
  await picture(page, 'offline');

  await house.start();
  const { id } = await house.raise(freshHome(), '다시 켜진 뒤');

  await status(page, 'connected');
  await card(page, id).waitFor();
});

test('what was missed while away is shown on return, and does not ring', async () => {
  const page = await neighbour('101-1203');
  const seen = await house.raise(freshHome(), '보고 있을 때');
  await card(page, seen.id).waitFor();
  await page.goto('about:blank');
  const missed = await house.raise(freshHome(), '자리를 비운 사이');
  const sent = [];
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(String(payload))));

  await page.goto(house.page);
  await card(page, missed.id).waitFor();
  await status(page, 'connected');

  await card(page, seen.id).waitFor();
  assert.match(await words(page.locator('#said-count')), /^연결됨\. 도움을 기다리는 호출 \d+건/, 'what was missed is told as a count');
  assert.match(sent.join('\n'), /^resume-from:.+/m, 'from where the page stopped');
  assert.equal(await rings(page), false);
  assert.equal(await words(page.locator('#said-alert')), '');
});

test('the token leaves the address at once, is never in a request, and a reload still knows it', async () => {
  const page = await visitor();
  const asked = [];
  page.context().on('request', (request) => asked.push(request.url()));
  page.on('websocket', (socket) => asked.push(socket.url()));
  const token = house.token('101-1203');
  await page.goto(`${house.page}#token=${token}`);
  await status(page, 'connected');

  assert.equal(page.url(), house.page);
  assert.equal(await page.evaluate(() => history.length), 2, 'the blank page and this one: no entry still holds the token');
  assert.ok(asked.some((url) => url.startsWith('ws://')));
  assert.deepEqual(asked.filter((url) => url.split('#')[0].includes(token)), []);
  await page.reload();
  await status(page, 'connected');
});

test('a token is pasted by a person who has no link, and a bad one is refused in words', async () => {
  const page = await visitor();
  await page.goto(house.page);
  await page.locator('#sign-in').waitFor();
  await assertAccessible(page, 'sign-in');
  await picture(page, 'sign-in');

  await page.locator('#token').fill('nonsense');
  await page.locator('#sign-in button').click();
  await page.locator('#sign-in-error', { hasText: '읽을 수 없습니다' }).waitFor();
  const forged = house.token('101-1203').replace(/\.[^.]*$/, '.AAAA');
  await page.locator('#token').fill(forged);
  await page.locator('#sign-in button').click();
  await page.locator('#sign-in-error', { hasText: '기한이 지났거나 맞지 않습니다' }).waitFor();
  await page.locator('#token').fill(house.token('101-1203'));
  await page.locator('#sign-in button').click();
  await status(page, 'connected');
});

test('a page that hears its neighbours and whose api is gone says so, in both languages', async () => {
  const fake = await new FakeMayday().start();
  const page = await visitor();
  await page.goto(`${fake.page}#token=${fake.token('101-1203')}`);
  await status(page, 'connected');
  const said = page.locator('#api-status');
  assert.equal(await said.isVisible(), false);

  fake.api.close();
  fake.api.closeAllConnections();
  await page.evaluate(() => dispatchEvent(new Event('online')));

  await said.filter({ hasText: '도움을 요청할 수 없습니다' }).waitFor();
  await assertAccessible(page, 'without an api');
  await picture(page, 'without-api');
  await page.locator('#language').click();
  await said.filter({ hasText: 'You cannot call for help' }).waitFor();
  await page.context().close();
  await fake.end();
});

test('what a neighbour writes is text and nothing else', async () => {
  const page = await neighbour('101-1203');
  const text = '<img src=x onerror="document.title=1"><b>불</b>';
  const { id } = await house.raise(freshHome(), text);
  await card(page, id).waitFor();
  assert.equal(await words(card(page, id).locator('.text')), text);
  assert.equal(await page.locator('.card img, .card b').count(), 0);
});

for (const [name, options] of [
  ['light', {}],
  ['dark', { colorScheme: 'dark' }],
  ['english', { locale: 'en-GB' }],
  ['narrow', { viewport: { width: 320, height: 640 } }],
  ['wide', { viewport: { width: 1280, height: 900 }, hasTouch: false }],
]) {
  test(`the checker of accessibility finds nothing, targets are large and nothing overflows: ${name}`, async () => {
    const page = await neighbour('101-1203', options);
    const real = await house.raise(freshHome(), '불이 났어요', { lat: '37.5', lng: '127.0' });
    const drill = await house.raise(freshHome(), '훈련', { status: 'Exercise' });
    await house.accept(await words(card(page, real.id).locator('.house')), '106-101');
    await card(page, drill.id).waitFor();
    await card(page, real.id).locator('.responders li').waitFor();

    await assertAccessible(page, name);
    const small = await page.locator('button:visible, a:visible:not(.skip), .choice:visible').evaluateAll((targets) => targets.filter((target) => target.getBoundingClientRect().height < 48).map((target) => target.outerHTML));
    assert.deepEqual(small, []);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
    assert.equal(await page.evaluate(() => document.documentElement.lang), name === 'english' ? 'en' : 'ko');
    await page.evaluate(() => scrollTo(0, 0));
    await picture(page, name);

    await page.locator('#raise').click();
    await page.locator('#raise-drill').check();
    await assertAccessible(page, `${name}, the form`);
    await picture(page, `${name}-raise`);
  });
}

test('the keyboard alone reaches the call for help and back', async () => {
  const page = await neighbour('101-1203');
  await page.locator('#raise').focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'raise-send');
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'raise');
});
