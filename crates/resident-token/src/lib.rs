//! Who may speak for which house: the resident's token, its keys, and the one check that both doors share.
//!
//! A token is a JWT (RFC 7519) in compact form, checked as RFC 8725 advises: each key has exactly one
//! algorithm, so there is no `none` and nothing to confuse; keys come from our configuration only, never
//! from the token; `exp` is required; the size is bounded before anything is decoded. Time is an argument:
//! [`Verifier::verify`] decides, the caller owns the clock.
//!
//! Not here: what a resident may do at which door: each door knows its own.
//!
//! ```
//! use event_model::{House, Line};
//! use jiff::{SignedDuration, Timestamp};
//! use resident_token::{Grant, KeySource, Policy, Secret, TokenCode, Verifier, bearer};
//!
//! let now: Timestamp = "2026-11-20T06:00:00Z".parse()?;
//! let secret = Secret::new("a secret of at least thirty-two bytes!")?;
//! let token = secret.issue(&Grant {
//!     line: Some(Line::new("dong-101")?),
//!     house: Some(House::new("1502")?),
//!     ..Grant::new("kim", now + SignedDuration::from_hours(1))
//! });
//!
//! let verifier = Verifier::open(vec![KeySource::Secret(secret)], Policy::default())?;
//! let header = format!("Bearer {token}");
//! let resident = verifier.verify(bearer(header.as_bytes())?, now)?;
//! assert_eq!(resident.house.unwrap().as_str(), "1502");
//!
//! let late = verifier.verify(&token, now + SignedDuration::from_hours(2)).unwrap_err();
//! assert_eq!(late.code(), TokenCode::Expired);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bearer;
mod claims;
mod error;
mod file;
mod issue;
mod jws;
mod keep_reloading;
mod keys;
mod resident;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod verifier;

pub use bearer::{bearer, bearer_of, refuse_token_in_query};
pub use claims::{EXPIRY_LEEWAY, good_until};
pub use error::{KeyError, TokenCode, TokenError};
pub use file::{FILE_BYTES_MAX, read_file};
pub use issue::Grant;
pub use keep_reloading::keep_reloading;
pub use keys::{Algorithm, KeySource, SECRET_BYTES_MIN, Secret};
pub use resident::{Resident, Role, Roles};
pub use verifier::{Policy, Reload, Verifier};
