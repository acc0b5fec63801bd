// The residents' page: takes the token, connects, shows. What an alert's state is decides alerts.js; how to stay connected, resident-client.js.

/** @import { Call } from './alerts.js' */
/** @import { Resident } from './resident-client.js' */
/** @import { Alert, Accept, Delivery, Status, StatusDetail } from './types' */
import { ApiWatch } from './api-watch.js';
import { Alerts, isDrill, words } from './alerts.js';
import { Card } from './card.js';
import { RaiseForm } from './raise.js';
import { claims, connect } from './resident-client.js';
import { Siren } from './siren.js';
import { skyline } from './sketch.js';
import { ago, clock, language, preferred, speak, t } from './strings.js';

const TOKEN = 'mayday.token';
const LANGUAGE = 'mayday.language';
const KEPT = 'mayday.kept';
const CONFIG_RETRY_MS = 2_000;

const at = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (at(id));

/** @type {Resident | undefined} */ let resident;
/** @type {Alerts} */ let alerts = new Alerts();
/** @type {Map<string, Card>} */ const cards = new Map();
/** @type {{ line: string, house: string }} */ let whose = { line: '', house: '' };
/** @type {StatusDetail} */ let statusDetail = {};
let api = '';
/** @type {ApiWatch | undefined} */ let apiWatch;
const siren = new Siren(showSound);
const raiseForm = new RaiseForm((call, options) => /** @type {Resident} */ (resident).raise(call, options));

// -- the token: from the fragment or the form, kept for this tab, never in an address --

/** Takes the token out of the address before anything else can see it there. Whether there was one. */
function takeFragment() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return false;
  history.replaceState(null, '', location.pathname);
  sessionStorage.setItem(TOKEN, token.trim());
  return true;
}

const token = () => sessionStorage.getItem(TOKEN) ?? '';

function start() {
  resident?.close();
  resident = undefined;
  if (!token()) return showSignIn('');
  const holder = readClaims();
  if (!holder?.line) {
    sessionStorage.removeItem(TOKEN);
    return showSignIn(t('signIn.unreadable'));
  }
  whose = holder;
  input('sign-in').hidden = true;
  listen();
  show();
}

function readClaims() {
  try {
    return claims(token());
  } catch {
    return undefined;
  }
}

function listen() {
  const kept = readKept();
  alerts = Alerts.from(kept);
  cards.clear();
  at('alerts').replaceChildren();
  resident = connect({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/an-ws`,
    api,
    getToken: token,
    position: kept.position,
    onAlert: hearAlert,
    onAccept: hearAccept,
    onStatus: hearStatus,
    onPosition: keep,
  });
}

/** What this tab showed before a reload: a position is worth something only together with what came before it. */
function readKept() {
  const nothing = { line: whose.line, position: undefined, alerts: [], accepts: [] };
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null');
  return kept?.line === whose.line ? kept : nothing;
}

/** @param {string} position */
function keep(position) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ line: whose.line, position, ...alerts.toJSON() }));
  } catch {
    sessionStorage.removeItem(KEPT); // no room: a reload then starts from what the gateway tells everybody
  }
}

function signIn() {
  sessionStorage.setItem(TOKEN, input('token').value.trim());
  input('token').value = '';
  start();
}

function signOut() {
  sessionStorage.removeItem(TOKEN);
  sessionStorage.removeItem(KEPT);
  siren.stop();
  alerts = new Alerts();
  whose = { line: '', house: '' };
  start();
  show();
}

/** @param {string} trouble */
function showSignIn(trouble) {
  at('sign-in').hidden = false;
  at('sign-in-error').textContent = trouble;
  hearStatus('stopped', { reason: 'token' });
}

// -- what is heard --

/** @param {Alert} alert @param {Delivery} delivery */
function hearAlert(alert, { replayed }) {
  if (!alerts.hearAlert(alert, Date.now())) return;
  show();
  if (replayed || alert.house === whose.house) return;
  if (isDrill(alert)) siren.chime();
  else siren.ring();
  const text = words(alert) || t('card.noText');
  say('said-alert', t(isDrill(alert) ? 'said.drill' : 'said.actual', { house: alert.house, text, time: clock(Date.parse(alert.at), Date.now()) }));
}

/** @param {Accept} accept @param {Delivery} delivery */
function hearAccept(accept, { replayed }) {
  if (!alerts.hearAccept(accept)) return;
  show();
  if (!replayed) say('said-count', `${t('said.accept', { accept: accept.accept, target: accept.target })} ${countWords()}`);
}

function countWords() {
  const count = waiting(alerts.calls(Date.now()));
  return count ? t('count.some', { count }) : t('count.none');
}

/** Real calls that nobody has answered. @param {Call[]} calls */
function waiting(calls) {
  return calls.filter(({ drill, responders }) => !drill && !responders.length).length;
}

/** @param {Status} status @param {StatusDetail} detail */
function hearStatus(status, detail) {
  document.body.dataset.status = status;
  statusDetail = detail;
  if (status === 'stopped' && detail.reason === 'token' && token()) showRefusedToken();
  show();
  // Said once per change; the seconds that count down on the screen are not read aloud. What was missed is told as a count.
  if (status === 'connected') say('said-count', `${t('connected')}. ${countWords()}`);
  else if (status !== 'connecting' && status !== 'catching-up') say('said-count', statusWords(status)[0]);
}

function showRefusedToken() {
  at('sign-in').hidden = false;
  at('sign-in-error').textContent = t('signIn.refused');
}

/** @param {Card} card */
async function accept(card) {
  if (!resident || !card.call || card.answer !== 'open') return;
  const { alert } = card.call;
  siren.stop();
  answer(card, 'sending');
  try {
    await resident.accept({ target: alert.house, alertId: alert.id }, { onRetry: () => answer(card, 'retrying') });
    answer(card, 'done');
  } catch (error) {
    answer(card, 'open', /** @type {Error} */ (error).message);
  }
}

/** @param {Card} card @param {Card['answer']} answer @param {string} [trouble] */
function answer(card, answer, trouble = '') {
  card.answer = answer;
  card.trouble = trouble;
  show();
}

// -- what is shown --

function show() {
  const signedIn = Boolean(whose.line);
  at('line').textContent = whose.line || 'Mayday';
  at('house').textContent = whose.house ?? '';
  at('board').hidden = at('sign-out').hidden = !signedIn;
  at('raise').hidden = !whose.house;
  showAlerts();
  showSound();
  showStatus();
  showApi();
  showQuiet();
}

/** Only to those who could call: an operator's page cannot anyway. */
function showApi() {
  const status = apiWatch?.status ?? 'ready';
  say('api-status', whose.house && status !== 'ready' ? t(`api.${status}`) : '');
}

function showAlerts() {
  const now = Date.now();
  const calls = alerts.calls(now);
  for (const [id, card] of cards) if (!calls.some(({ alert }) => alert.id === id)) card.element.remove(), cards.delete(id);
  calls.forEach((call, place) => {
    const card = cards.get(call.alert.id) ?? newCard(call.alert.id);
    card.show(call, now);
    const there = at('alerts').children[place];
    if (there !== card.element) at('alerts').insertBefore(card.element, there ?? null);
  });
  at('quiet').hidden = 0 < calls.length;
  document.body.classList.toggle('calls', 0 < calls.length);
  const count = waiting(calls);
  document.title = count ? `(${count}) ${t('card.actual')} · Mayday` : t('title');
}

/** An empty list means quiet only while we are connected. */
function showQuiet() {
  const sure = resident?.status === 'connected';
  say('quiet-title', t(sure ? 'quiet.title' : 'unknown.title'));
  say('quiet-hint', t(sure ? 'quiet.hint' : 'unknown.hint'));
}

/** @param {string} id */
function newCard(id) {
  const card = new Card(/** @type {HTMLTemplateElement} */ (at('card')), { ownHouse: whose.house, onAccept: accept });
  cards.set(id, card);
  return card;
}

function showSound() {
  at('sound').hidden = siren.unlocked || !whose.line;
  at('ringing').hidden = !(siren.ringing && siren.unlocked);
  document.body.classList.toggle('rings', siren.ringing);
}

function showStatus() {
  const status = /** @type {Status} */ (document.body.dataset.status);
  const [title, detail] = statusWords(status);
  say('status-title', title);
  say('status-detail', detail);
  at('retry').hidden = !(status === 'offline' || (status === 'stopped' && statusDetail.reason === 'forbidden'));
}

/** @param {Status} status @returns {[string, string]} */
function statusWords(status) {
  const seen = { ago: resident?.heardAt ? ago(resident.heardAt, Date.now()) : '' };
  switch (status) {
    case 'connected':
      return [t('connected'), t('connected.detail', seen)];
    case 'degraded':
      return [t(statusDetail.reason === 'gateway' ? 'degraded.gateway' : 'degraded.silent'), t('degraded.detail', seen)];
    case 'offline':
      return [t('offline'), t('offline.detail', { wait: waitWords() })];
    case 'stopped':
      return [t(statusDetail.reason === 'forbidden' ? 'stopped.forbidden' : 'stopped.token'), t('stopped.detail')];
    default:
      return [t(status), t(`${status}.detail`)];
  }
}

function waitWords() {
  const seconds = Math.ceil(((statusDetail.retryAt ?? 0) - Date.now()) / 1000);
  return 0 < seconds ? t('offline.wait', { seconds }) : t('offline.now');
}

/** Writes only what changed: a live region reads aloud whatever is written. @param {string} id @param {string} text */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

/** @param {'ko' | 'en'} wanted */
function showLanguage(wanted) {
  speak(wanted);
  document.documentElement.lang = wanted;
  for (const element of document.querySelectorAll('[data-t]')) {
    element.textContent = t(/** @type {'title'} */ (/** @type {HTMLElement} */ (element).dataset.t));
  }
  at('language').lang = wanted === 'ko' ? 'en' : 'ko';
  at('language').textContent = t('language');
  show();
}

function changeLanguage() {
  const wanted = language() === 'ko' ? 'en' : 'ko';
  localStorage.setItem(LANGUAGE, wanted);
  showLanguage(wanted);
}

// -- the start --

/** Where the api is. Asked until answered: without it nobody could call for help. */
async function readConfig() {
  try {
    const response = await fetch('/config.json');
    api = (await response.json()).api;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, CONFIG_RETRY_MS));
    await readConfig();
  }
}

function listenToPerson() {
  at('sign-in').addEventListener('submit', (event) => (event.preventDefault(), signIn()));
  at('sign-out').addEventListener('click', signOut);
  at('language').addEventListener('click', changeLanguage);
  at('sound-on').addEventListener('click', () => siren.unlock());
  at('hush').addEventListener('click', () => siren.stop());
  at('retry').addEventListener('click', () => resident?.retry());
  at('raise').addEventListener('click', () => (raiseForm.open(whose), apiWatch?.ask()));
  addEventListener('hashchange', () => takeFragment() && start());
}

takeFragment();
at('skyline').replaceChildren(...skyline());
showLanguage(preferred([localStorage.getItem(LANGUAGE) ?? '', ...navigator.languages]));
listenToPerson();
setInterval(show, 1_000);
await readConfig();
apiWatch = new ApiWatch(api, show);
start();
