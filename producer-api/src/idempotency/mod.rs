//! The Idempotency-Key, by which a client says that two requests are one call.
//!
//! The id of such a call is derived from the key and what the call says, so it is the same through any instance and
//! after any crash, and readers drop what was stored twice. What is remembered, here and in `recent_calls`, is only for
//! a better answer: a retry is told where its call is, and one that comes while the first is still on its way waits for it.

mod in_flight;
mod key;

pub(crate) use in_flight::{Claim, InFlightCalls, InFlightGuard, Progress};
pub(crate) use key::{IdempotencyKey, InvalidKey};
