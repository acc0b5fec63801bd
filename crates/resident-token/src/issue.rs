//! Making tokens with a shared secret: for a demo, a test, a person at a terminal.

use event_model::{House, Line};
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use crate::{Roles, Secret};

/// What a token is to say.
#[derive(Debug, Clone)]
pub struct Grant {
    /// `sub`.
    pub subject: String,
    /// `exp`, in whole seconds.
    pub expires_at: Timestamp,
    /// `line`.
    pub line: Option<Line>,
    /// `house`.
    pub house: Option<House>,
    /// `roles`; none writes no claim, which is read as a resident.
    pub roles: Roles,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`.
    pub audience: Option<String>,
}

impl Grant {
    /// A grant that names nobody's house yet.
    pub fn new(subject: impl Into<String>, expires_at: Timestamp) -> Self {
        Self {
            subject: subject.into(),
            expires_at,
            line: None,
            house: None,
            roles: Roles::default(),
            issuer: None,
            audience: None,
        }
    }
}

impl Secret {
    /// Signs a token with HS256.
    pub fn issue(&self, grant: &Grant) -> String {
        let key = EncodingKey::from_secret(self.as_bytes());
        jsonwebtoken::encode(&Header::default(), &Claims::of(grant), &key)
            .expect("HMAC takes a key of any length, and the claims are strings and a number")
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    house: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl<'a> Claims<'a> {
    fn of(grant: &'a Grant) -> Self {
        Self {
            sub: &grant.subject,
            exp: grant.expires_at.as_second(),
            line: grant.line.as_ref().map(Line::as_str),
            house: grant.house.as_ref().map(House::as_str),
            roles: grant.roles.iter().map(|role| role.as_str()).collect(),
            iss: grant.issuer.as_deref(),
            aud: grant.audience.as_deref(),
        }
    }
}
