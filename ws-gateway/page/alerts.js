// What the page knows: alerts, and who goes to each. Plain values, no drawing.
// It may hear accepts before their alerts and anything twice: what it shows depends on what was heard, not on the order.

/** @import { Accept, Alert } from './types' */
/** @typedef {{ house: string, at: number, rank?: number }} Responder */
/** @typedef {{ alert: Alert, at: number, drill: boolean, responders: Responder[] }} Call */

const LIVE_MS = 24 * 3_600_000;
// Two machines have no common clock: an accept may look a little older than its alert.
const SKEW_MS = 5_000;
const KEPT_MAX = 300;
const DRILL_PREFIX = '[훈련 DRILL] ';

export class Alerts {
  /** @type {Map<string, Alert>} */ #alerts = new Map();
  /** @type {Map<string, Accept>} */ #accepts = new Map();
  /** @type {Map<string, number>} */ #heardAt = new Map();

  /** Whether it was news. @param {Alert} alert @param {number} now */
  hearAlert(alert, now) {
    if (!remember(this.#alerts, alert)) return false;
    this.#heardAt.set(alert.id, now);
    return true;
  }

  /** Whether it was news. @param {Accept} accept */
  hearAccept(accept) {
    return remember(this.#accepts, accept);
  }

  /** Live alerts: real ones before drills, the newest first. @param {number} now @returns {Call[]} */
  calls(now) {
    const accepts = this.#acceptsByAlert();
    const calls = this.#live(now).map((alert) => ({ alert, at: Date.parse(alert.at), drill: isDrill(alert), responders: responders(accepts.get(alert.id) ?? []) }));
    return calls.sort((a, b) => Number(a.drill) - Number(b.drill) || b.at - a.at);
  }

  /**
   * No single clock hides a call. It is a day since it was heard, by this phone's clock compared with itself; or it is old, which takes
   * two witnesses: this phone's clock, which may be wrong, and the other calls' times, of which one may be wrong.
   * @param {number} now
   */
  #live(now) {
    const all = [...this.#alerts.values()];
    const newest = Math.max(...all.map(({ at }) => Date.parse(at)));
    const isOld = (/** @type {number} */ at) => LIVE_MS <= now - at && LIVE_MS <= newest - at;
    return all.filter(({ id, at }) => !isOld(Date.parse(at)) && now - (this.#heardAt.get(id) ?? now) < LIVE_MS);
  }

  #acceptsByAlert() {
    /** @type {Map<string | undefined, Accept[]>} */ const byAlert = new Map();
    for (const accept of this.#accepts.values()) {
      const id = this.alertOf(accept);
      byAlert.set(id, [...(byAlert.get(id) ?? []), accept]);
    }
    return byAlert;
  }

  /**
   * The id of an accept's alert. One that came without it belongs to the newest alert that its target had raised by then, and only
   * for want of one to the oldest raised within the clocks' difference afterwards: as the gateway's fold has it.
   * @param {Accept} accept
   */
  alertOf({ alertId, target, at }) {
    if (alertId) return alertId;
    const then = Date.parse(at);
    const raised = [...this.#alerts.values()].map(({ id, house, at }) => ({ id, house, at: Date.parse(at) }));
    const ofHouse = raised.filter(({ house, at }) => house === target && then - at < LIVE_MS).sort((a, b) => a.at - b.at);
    const newest = ofHouse.filter(({ at }) => at <= then).at(-1);
    return (newest ?? ofHouse.find(({ at }) => at <= then + SKEW_MS))?.id;
  }

  /** What a reload of the page needs to go on from the client's position. */
  toJSON() {
    const alerts = [...this.#alerts.values()].slice(-KEPT_MAX).map((alert) => ({ alert, heardAt: this.#heardAt.get(alert.id) ?? 0 }));
    return { alerts, accepts: [...this.#accepts.values()].slice(-KEPT_MAX) };
  }

  /** @param {{ alerts: { alert: Alert, heardAt: number }[], accepts: Accept[] }} kept */
  static from({ alerts, accepts }) {
    const known = new Alerts();
    alerts.forEach(({ alert, heardAt }) => known.hearAlert(alert, heardAt));
    accepts.forEach((accept) => known.hearAccept(accept));
    return known;
  }
}

/** Distinct houses in the order of their ranks; without them as they were heard, which is the order of the log. @param {Accept[]} accepts @returns {Responder[]} */
function responders(accepts) {
  const all = accepts.map(({ accept, at, rank }) => ({ house: accept, at: Date.parse(at), rank }));
  all.sort((a, b) => (a.rank ?? Infinity) - (b.rank ?? Infinity) || 0);
  const houses = new Set();
  return all.filter(({ house }) => !houses.has(house) && houses.add(house)).map((one, i) => ({ ...one, rank: one.rank ?? i + 1 }));
}

/** Whatever is not said to be a drill is real. @param {{ status?: string }} event */
export function isDrill({ status }) {
  return status === 'Exercise' || status === 'Test';
}

/** The text as its writer wrote it: the prefix is for clients without a drill banner. @param {Alert} alert */
export function words(alert) {
  return isDrill(alert) && alert.text.startsWith(DRILL_PREFIX) ? alert.text.slice(DRILL_PREFIX.length) : alert.text;
}

/** @template {{ id: string }} Event @param {Map<string, Event>} known @param {Event} event */
function remember(known, event) {
  if (known.has(event.id)) return false;
  known.set(event.id, event);
  return true;
}
