// Whether the api can be reached. A page hears its neighbours through the gateway, so it would not notice by itself that a call for
// help from here goes nowhere. Asks seldom while all is well: a complex has many phones.

/** `late`: it answers that a call would wait. `gone`: it did not answer twice in a row. @typedef {'ready' | 'late' | 'gone'} ApiStatus */

const ASK_EVERY_MS = 30_000;
const ASK_AGAIN_MS = 5_000;
const ANSWER_MS = 5_000;

export class ApiWatch {
  /** @type {ApiStatus} */ status = 'ready';
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #unanswered = 0;
  #asked = 0;
  #url;
  #onChange;

  /** Asks at once, and again until the page is left. @param {string} api its origin @param {(status: ApiStatus) => void} onChange */
  constructor(api, onChange) {
    this.#url = `${api}/readyz`;
    this.#onChange = onChange;
    globalThis.document?.addEventListener('visibilitychange', () => this.ask());
    globalThis.addEventListener?.('online', () => this.ask());
    this.ask();
  }

  /** Asks now rather than when the wait is over. A page that nobody looks at does not ask. */
  async ask() {
    clearTimeout(this.#timer);
    if (globalThis.document?.visibilityState === 'hidden') return;
    const turn = ++this.#asked;
    const answer = await this.#answer();
    if (turn !== this.#asked) return;
    this.#unanswered = answer === 'gone' ? this.#unanswered + 1 : 0;
    if (answer !== 'gone' || 1 < this.#unanswered) this.#become(answer);
    const waitMs = answer === 'ready' ? ASK_EVERY_MS : ASK_AGAIN_MS;
    this.#timer = setTimeout(() => this.ask(), waitMs * (0.5 + Math.random()));
  }

  /** @returns {Promise<ApiStatus>} */
  async #answer() {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ANSWER_MS);
    try {
      const { ok } = await fetch(this.#url, { cache: 'no-store', signal: patience.signal });
      return ok ? 'ready' : 'late';
    } catch {
      return 'gone';
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {ApiStatus} status */
  #become(status) {
    if (status === this.status) return;
    this.status = status;
    this.#onChange(status);
  }
}
