//! A compact JWS cut into its parts (RFC 7515 section 7.1). Bytes to values; nothing is believed yet.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::TokenError;

/// A token in parts. The signature covers `signed` exactly as it was sent.
pub(crate) struct Compact<'a> {
    pub(crate) header: Header,
    pub(crate) signed: &'a str,
    pub(crate) claims: &'a str,
    pub(crate) signature: &'a str,
}

/// What we read of a header. `jwk`, `jku`, `x5u` and `x5c` would let a token bring its own key: they are not
/// read at all. A member that appears twice is an error: two readers might each believe another one.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl<'a> Compact<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(PARTS)?;
        let (header, claims) = signed.split_once('.').ok_or(PARTS)?;
        if claims.contains('.') {
            return Err(PARTS);
        }
        let header: Header =
            decode(header).ok_or(TokenError::Malformed("its header is not base64url JSON"))?;
        header.check()?;
        Ok(Self {
            header,
            signed,
            claims,
            signature,
        })
    }
}

impl Compact<'_> {
    /// Of all of its text.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.signed, ".", self.signature] {
            hash.update(part);
        }
        hash.finalize().into()
    }
}

const PARTS: TokenError = TokenError::Malformed("it is not three parts joined by dots");

impl Header {
    fn check(&self) -> Result<(), TokenError> {
        // RFC 7515 section 4.1.11: an extension that must be understood and is not makes the token invalid.
        if self.crit.is_some() {
            return Err(TokenError::Malformed(
                "its header asks for an extension (`crit`)",
            ));
        }
        // RFC 8725 section 3.11: a token made for something else (a logout, a DPoP proof) is not a login.
        match self.typ.as_deref() {
            None => Ok(()),
            Some(typ) if is_jwt_type(typ) => Ok(()),
            Some(_) => Err(TokenError::Malformed("its `typ` is neither JWT nor at+jwt")),
        }
    }
}

fn is_jwt_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

/// A part's JSON as a value. Padding, other alphabets and stray bits are refused, so that one token has one spelling.
pub(crate) fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&json).ok()
}
