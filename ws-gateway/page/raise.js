// The form that calls for help. It never waits for what is optional: no text and no location is a call too.

/** @import { Answer, Call, CallOptions } from './types' */
import { t } from './strings.js';

const LOCATE_MS = 15_000;

export class RaiseForm {
  /** @type {GeolocationPosition | undefined} */ #position;
  /** @type {AbortController | undefined} */ #sending;
  #sent = false;
  #send;

  /** @param {(call: Call, options: CallOptions) => Promise<Answer>} send */
  constructor(send) {
    this.#send = send;
    this.dialog = /** @type {HTMLDialogElement} */ (document.getElementById('raise-dialog'));
    this.text = /** @type {HTMLTextAreaElement} */ (document.getElementById('raise-text'));
    this.locate = /** @type {HTMLInputElement} */ (document.getElementById('raise-locate'));
    this.drill = /** @type {HTMLInputElement} */ (document.getElementById('raise-drill'));
    this.button = /** @type {HTMLButtonElement} */ (document.getElementById('raise-send'));
    this.#listen();
  }

  #listen() {
    document.getElementById('raise-form')?.addEventListener('submit', (event) => (event.preventDefault(), this.#submit()));
    document.getElementById('raise-words')?.addEventListener('click', (event) => this.#takeWords(/** @type {Element} */ (event.target)));
    document.getElementById('raise-cancel')?.addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('close', () => this.#sending?.abort());
    this.locate.addEventListener('change', () => this.#findPosition());
    this.drill.addEventListener('change', () => this.#face());
  }

  /** @param {{ line: string, house: string }} whose */
  open(whose) {
    this.text.value = '';
    this.drill.checked = this.#sent = false;
    this.#write('raise-who', t('raise.who', whose));
    this.#say('');
    this.#face();
    this.#findPosition();
    this.dialog.showModal();
    this.button.focus();
  }

  /** The button says what a press does now. */
  #face() {
    this.dialog.classList.toggle('drill', this.drill.checked);
    this.dialog.classList.toggle('sent', this.#sent);
    this.button.hidden = this.#sent;
    this.button.textContent = t(this.drill.checked ? 'raise.sendDrill' : 'raise.send');
    this.#write('raise-cancel', t(this.#sent ? 'raise.close' : 'raise.cancel'));
  }

  /** @param {Element} pressed */
  #takeWords(pressed) {
    if (pressed instanceof HTMLButtonElement) this.text.value = pressed.textContent ?? '';
  }

  #findPosition() {
    this.#position = undefined;
    if (!this.locate.checked) return this.#write('raise-located', '');
    this.#write('raise-located', t('raise.locating'));
    const unlocated = () => this.#write('raise-located', t('raise.unlocated'));
    if (!navigator.geolocation) return unlocated();
    navigator.geolocation.getCurrentPosition((position) => this.#found(position), unlocated, { enableHighAccuracy: true, timeout: LOCATE_MS });
  }

  /** @param {GeolocationPosition} position */
  #found(position) {
    if (!this.locate.checked) return;
    this.#position = position;
    this.#write('raise-located', t('raise.located', { metres: Math.round(position.coords.accuracy) }));
  }

  async #submit() {
    if (this.#sending) return;
    const sending = (this.#sending = new AbortController());
    this.#say('raise.sending');
    try {
      const { status } = await this.#send(this.#call(), { signal: sending.signal, onRetry: () => this.#say('raise.retrying') });
      this.#sent = true;
      this.#say(status === 'queued' ? 'raise.queued' : 'raise.stored');
    } catch (error) {
      if (!sending.signal.aborted) this.#say('raise.failed', { reason: /** @type {Error} */ (error).message });
    } finally {
      this.#sending = undefined;
      this.#face();
    }
    if (this.#sent) document.getElementById('raise-cancel')?.focus();
  }

  /** @returns {Call} */
  #call() {
    const { latitude, longitude, accuracy } = this.#position?.coords ?? {};
    const place = latitude === undefined ? {} : { lat: String(latitude), lng: String(longitude), accuracy: String(accuracy) };
    return { text: this.text.value, ...place, ...(this.drill.checked && { status: 'Exercise' }) };
  }

  /** @param {Parameters<typeof t>[0] | ''} key @param {Record<string, string>} [values] */
  #say(key, values) {
    this.#write('raise-said', key && t(key, values));
  }

  /** @param {string} id @param {string} text */
  #write(id, text) {
    const element = document.getElementById(id);
    if (element) element.textContent = text;
  }
}
