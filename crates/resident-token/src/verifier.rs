//! The check itself, and the keys it holds.

use std::sync::{Arc, RwLock};

use jiff::Timestamp;

use crate::{
    KeyError, KeySource, Resident, TokenError,
    claims::Claims,
    jws::{self, Compact},
    keys::Keys,
};

/// What a token must say besides being signed and in date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `aud` must name this. Default none: any audience, or none, will do.
    pub audience: Option<String>,
    /// `iss` must be this. Default none.
    pub issuer: Option<String>,
    /// The longest token that is read, in bytes. Default 8192. Too low refuses the tokens of issuers that pack in
    /// groups and permissions; too high lets strangers make us decode more.
    pub token_bytes_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            audience: None,
            issuer: None,
            token_bytes_max: 8192,
        }
    }
}

/// Checks tokens. Shared by all requests; reading keys anew never holds a check up.
#[derive(Debug)]
pub struct Verifier {
    sources: Vec<KeySource>,
    policy: Policy,
    keys: RwLock<Arc<Keys>>,
}

/// What [`Verifier::reload`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files say what they said before.
    Unchanged,
    /// Other keys are in use from now on.
    Changed,
}

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// Any source that gives no usable key is an error: a service that starts would refuse everybody.
    pub fn open(sources: Vec<KeySource>, policy: Policy) -> Result<Self, KeyError> {
        let keys = RwLock::new(Arc::new(Keys::read(&sources)?));
        Ok(Self {
            sources,
            policy,
            keys,
        })
    }

    /// Knows no key: stands in for one that could not be opened, while what else is wrong with the settings is told.
    pub fn refusing_all() -> Self {
        Self {
            sources: Vec::new(),
            policy: Policy::default(),
            keys: RwLock::new(Arc::new(Keys::none())),
        }
    }

    /// Reads the key files again. Call it every few seconds, off the async threads; it reads files.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); the keys in use stay in use.
    pub fn reload(&self) -> Result<Reload, KeyError> {
        let fresh = Keys::read(&self.sources)?;
        if fresh.are_the_same_as(&self.keys()) {
            return Ok(Reload::Unchanged);
        }
        *self.keys.write().expect("no holder of this lock panics") = Arc::new(fresh);
        Ok(Reload::Changed)
    }

    /// Who bears `token`, at the time `now`.
    ///
    /// # Errors
    ///
    /// Says why not; an expired token is only called so if everything up to its date is right.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Resident, TokenError> {
        let bytes_max = self.policy.token_bytes_max;
        if bytes_max < token.len() {
            return Err(TokenError::TooLarge {
                bytes: token.len(),
                bytes_max,
            });
        }
        let compact = Compact::parse(token)?;
        self.keys().check_signature(&compact)?;
        // Only now: claims are not even parsed before the signature is known to be right.
        let claims: Claims = jws::decode(compact.claims).ok_or(TokenError::Malformed(
            "its claims are not what RFC 7519 says",
        ))?;
        claims.into_resident(&self.policy, now)
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().expect("no holder of this lock panics"))
    }
}
