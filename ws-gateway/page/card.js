// One alert on the screen: built once, then only what changed is written, so that focus and screen readers stay where they are.

/** @import { Call } from './alerts.js' */
import { words } from './alerts.js';
import { place, sketch } from './sketch.js';
import { ago, clock, language, languageOf, t } from './strings.js';

/** @typedef {'open' | 'sending' | 'retrying' | 'done'} Answer what our own house did about it */

export class Card {
  /** @type {Answer} */ answer = 'open';
  trouble = '';
  #drawn = '';

  /** @param {HTMLTemplateElement} template @param {{ ownHouse: string, onAccept: (card: Card) => void }} options */
  constructor(template, { ownHouse, onAccept }) {
    this.element = /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
    this.ownHouse = ownHouse;
    this.#part('accept').addEventListener('click', () => onAccept(this));
  }

  /** @param {Call} call @param {number} now */
  show(call, now) {
    this.call = call;
    this.#tellTime(call.at, now);
    const drawn = JSON.stringify([call, this.answer, this.trouble, language()]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#showCall(call);
    this.#showResponders(call);
    this.#showAnswer(call);
  }

  /** @param {number} at @param {number} now */
  #tellTime(at, now) {
    const time = /** @type {HTMLTimeElement} */ (this.element.querySelector('time'));
    time.dateTime = new Date(at).toISOString();
    write(time, `${clock(at, now)} · ${ago(at, now)}`);
  }

  /** @param {Call} call */
  #showCall(call) {
    const { alert, drill } = call;
    this.element.classList.toggle('drill', drill);
    this.element.dataset.id = alert.id;
    write(this.#part('kind'), t(drill ? 'card.drill' : 'card.actual'));
    write(this.#part('note'), drill ? t('card.drillNote') : '');
    write(this.#part('house'), alert.house);
    this.#part('house').id = `house-${alert.id}`;
    this.#part('accept').setAttribute('aria-describedby', `house-${alert.id}`); // many cards, one wording: whose is it
    const text = words(alert);
    write(this.#part('text'), text || t('card.noText'));
    this.#part('text').lang = text ? languageOf(text) : language();
    this.#part('where').replaceChildren(...this.#mapLink(alert));
    this.#part('place').replaceChildren(...this.#drawing(alert.house));
  }

  /** @param {Call['alert']} alert */
  #mapLink({ lat, lng, accuracy }) {
    if (!isCoordinate(lat) || !isCoordinate(lng)) return [];
    const link = document.createElement('a');
    link.href = `https://www.openstreetmap.org/?mlat=${lat}&mlon=${lng}#map=19/${lat}/${lng}`;
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
    link.textContent = isCoordinate(accuracy) ? t('card.mapWithin', { metres: Math.round(Number(accuracy)) }) : t('card.map');
    return [link];
  }

  /** @param {string} house */
  #drawing(house) {
    const where = place(house);
    if (!where) return [];
    const ground = language() === 'ko' ? `${where.floor}층` : `${where.floor}F`;
    return [sketch(where, { label: t('card.sketch', where), ground })];
  }

  /** @param {Call} call */
  #showResponders({ responders }) {
    this.element.classList.toggle('answered', 0 < responders.length);
    write(this.#part('going-title'), responders.length ? t('card.going', { count: responders.length }) : t('card.waiting'));
    this.#part('responders').replaceChildren(...responders.map(({ house, rank = 0 }) => this.#responder(house, rank)));
  }

  /** @param {string} house @param {number} rank */
  #responder(house, rank) {
    const item = document.createElement('li');
    item.dataset.rank = String(rank);
    item.append(piece('span', 'rank', t('card.rank', { rank })), ' ', piece('strong', 'name', house));
    if (house === this.ownHouse) item.append(' ', piece('span', 'us', t('card.us')));
    if (rank === 1) item.append(' ', piece('span', 'primary', t('card.primary')));
    return item;
  }

  /** @param {Call} call */
  #showAnswer({ alert, drill, responders }) {
    const own = alert.house === this.ownHouse;
    const ours = responders.find(({ house }) => house === this.ownHouse);
    const done = Boolean(ours) || this.answer === 'done';
    const button = /** @type {HTMLButtonElement} */ (this.#part('accept'));
    button.hidden = own || done || !this.ownHouse;
    // Not `disabled`: that would take the focus away from a keyboard that just pressed it.
    button.setAttribute('aria-disabled', String(this.answer !== 'open'));
    const face = { open: drill ? 'accept.drillButton' : 'accept.button', sending: 'accept.sending', retrying: 'accept.retrying', done: 'accept.done' };
    write(button, t(/** @type {'accept.button'} */ (face[this.answer])));
    this.#part('hint').classList.toggle('done', done);
    write(this.#part('hint'), own ? t('card.own') : done ? doneWords(ours?.rank) : button.hidden ? '' : t('accept.hint'));
    write(this.#part('trouble'), this.trouble && t('accept.failed', { reason: this.trouble }));
  }

  /** @param {string} name */
  #part(name) {
    return /** @type {HTMLElement} */ (this.element.querySelector(`.${name}`));
  }
}

/** @param {number} [rank] */
function doneWords(rank) {
  return rank ? t('accept.doneRank', { rank }) : t('accept.done');
}

/** Only what is a plain number goes into an address. @param {string} [text] @returns {text is string} */
function isCoordinate(text) {
  return text !== undefined && /^-?\d{1,6}(\.\d{1,20})?$/.test(text);
}

/** Text only, never markup, and only when it changed. @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} name @param {string} className @param {string} text */
function piece(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
