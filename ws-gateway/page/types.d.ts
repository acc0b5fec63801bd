// What resident-client takes and gives. Types only: nothing here is served or run.

/** `catching-up`: told what was missed. `degraded`: connected, but alerts may come late. `offline`: waiting to try again. `stopped`: will not try again by itself. */
export type Status = 'connecting' | 'catching-up' | 'connected' | 'degraded' | 'offline' | 'stopped';

export interface StatusDetail {
  /** `silent`: a heart-beat is missing. `gateway`: it said itself that it is cut off from the log. `token`: a new one is needed. */
  reason?: 'silent' | 'gateway' | 'token' | 'forbidden' | 'closed';
  /** When `offline` ends by itself, in ms since 1970. */
  retryAt?: number;
}

export interface Delivery {
  /** Missed earlier and told now: show it, never ring for it. */
  replayed: boolean;
}

export interface Alert {
  id: string;
  line: string;
  house: string;
  text: string;
  at: string;
  status?: string;
  lat?: string;
  lng?: string;
  accuracy?: string;
  floor?: string;
}

export interface Accept {
  id: string;
  line: string;
  /** The house that goes. */
  accept: string;
  /** The house that called. */
  target: string;
  at: string;
  status?: string;
  /** Absent while the alert is not known: bind it to the newest alert that `target` had raised by `at`. */
  alertId?: string;
  /** 1 is the primary responder. */
  rank?: number;
}

/** The api's answer to a call that it took. `status` is `queued` while only its outbox has the call. */
export interface Answer {
  id: string;
  status?: string;
  warnings?: { code: string; detail: string }[];
}

export interface Call {
  text: string;
  lat?: string;
  lng?: string;
  accuracy?: string;
  status?: 'Actual' | 'Exercise';
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Called before every wait: no answer yet, or one that says to come back. */
  onRetry?: () => void;
}

export interface Options {
  /** The gateway's socket, `ws://host/an-ws`. */
  url: string;
  /** The origin of producer-api. */
  api: string;
  /** Asked before every attempt. The token that was refused, given again, stops the client. */
  getToken: () => string | Promise<string>;
  /** The complex, where it is not the token's (operators). */
  line?: string;
  /** Where an earlier page stopped, for one that still shows what came before it. */
  position?: string;
  onAlert?: (alert: Alert, delivery: Delivery) => void;
  onAccept?: (accept: Accept, delivery: Delivery) => void;
  /** Called on every change. */
  onStatus?: (status: Status, detail: StatusDetail) => void;
  /** Called after everything up to the position was handed over. */
  onPosition?: (position: string) => void;
}
