//! Why a token, or a key for tokens, was refused.

use std::{io, path::PathBuf};

use http::StatusCode;
use jiff::Timestamp;

/// Why a token was refused. Nothing of the token is in the text: it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No `Authorization` header.
    #[error("no token: send `Authorization: Bearer <token>`")]
    Missing,
    /// The token stands in the URL, where proxies and histories keep it.
    #[error("the token is in the URL: send it as `Authorization: Bearer <token>`")]
    InUrl,
    /// The header is not `Bearer <token>`, or there are two.
    #[error("the authorization header is not `Bearer <token>`")]
    NotBearer,
    /// Longer than the policy allows; nothing was decoded.
    #[error("the token has {bytes} bytes, at most {bytes_max} are read")]
    TooLarge {
        /// What was sent.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// Not three base64url parts with a JSON object as header and claims.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// No key of ours uses the token's algorithm and key id together.
    #[error("no key fits the token's `alg` and `kid`")]
    UnknownKey,
    /// A key fits, the signature does not.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` has passed.
    #[error("the token expired at {expired_at}")]
    Expired {
        /// The token's `exp`.
        expired_at: Timestamp,
    },
    /// `nbf` has not come yet.
    #[error("the token is not valid before {not_before}")]
    NotYetValid {
        /// The token's `nbf`.
        not_before: Timestamp,
    },
    /// A claim is missing, of the wrong type, or not the one configured.
    #[error("the token's claim `{claim}` {problem}")]
    BadClaim {
        /// The claim's name.
        claim: &'static str,
        /// What is wrong with it, as the end of a sentence.
        problem: &'static str,
    },
}

/// What a client is told about a refused token, the same words at every service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCode {
    /// No token came: send one.
    Missing,
    /// This token will never do: not signed by us, not whole, or not for us.
    Invalid,
    /// The token was good until its `exp`: get a new one.
    Expired,
    /// Move it into the header, and get a new one: this one has been seen.
    InUrl,
}

impl TokenError {
    /// The word for the client.
    pub fn code(&self) -> TokenCode {
        match self {
            TokenError::Missing => TokenCode::Missing,
            TokenError::InUrl => TokenCode::InUrl,
            TokenError::Expired { .. } => TokenCode::Expired,
            TokenError::NotBearer
            | TokenError::TooLarge { .. }
            | TokenError::Malformed(_)
            | TokenError::UnknownKey
            | TokenError::BadSignature
            | TokenError::NotYetValid { .. }
            | TokenError::BadClaim { .. } => TokenCode::Invalid,
        }
    }
}

impl TokenCode {
    /// The HTTP status of each: a good token in the header mends it (RFC 9110 section 15.5.2). It comes with
    /// `WWW-Authenticate: Bearer`.
    pub const STATUS: StatusCode = StatusCode::UNAUTHORIZED;

    /// As it stands in answers: `token_missing`, `token_invalid`, `token_expired`, `token_in_url`.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenCode::Missing => "token_missing",
            TokenCode::Invalid => "token_invalid",
            TokenCode::Expired => "token_expired",
            TokenCode::InUrl => "token_in_url",
        }
    }
}

/// Why a key was not taken. The keys in use before stay in use.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An HMAC key shorter than its hash is weaker than its hash (RFC 7518 section 3.2).
    #[error("the secret has {bytes} bytes, HS256 needs at least {bytes_min}")]
    SecretTooShort {
        /// What was given.
        bytes: usize,
        /// What is needed.
        bytes_min: usize,
    },
    /// A public key given as the HMAC secret would let anybody sign.
    #[error("the secret is a PEM file's text: give the file as a public key instead")]
    SecretIsPem,
    /// The file cannot be read.
    #[error("read the key file {path}", path = path.display())]
    Read {
        /// The key file, as it was named.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is no public key that we use.
    #[error("{path}: {problem}", path = path.display())]
    Unusable {
        /// The key file, as it was named.
        path: PathBuf,
        /// What was found and what was needed.
        problem: String,
    },
    /// Without a key every token would be refused.
    #[error("no key for tokens: give a secret, a PEM file or a JWKS file")]
    NoKeys,
}
