//! From the claims of a token whose signature is right to a [`Resident`].

use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::{Policy, Resident, Role, Roles, TokenError};

/// How far the issuer's clock may be ahead of ours, for `nbf`.
const NOT_BEFORE_LEEWAY: SignedDuration = EXPIRY_LEEWAY;

/// How long after its `exp` a token is still good: how far the issuer's clock may be behind ours, or ours ahead.
pub const EXPIRY_LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// The moment from which on a token with this `exp` is refused.
pub fn good_until(expires_at: Timestamp) -> Timestamp {
    expires_at
        .saturating_add(EXPIRY_LEEWAY)
        .unwrap_or(expires_at)
}

const NAME_BYTES_MAX: usize = 512;

/// The claims we read. One that appears twice is an error, as in the header.
#[derive(Deserialize)]
pub(crate) struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    jti: Option<String>,
    aud: Option<OneOrMany>,
    line: Option<String>,
    house: Option<String>,
    roles: Option<OneOrMany>,
}

/// `aud` may be one string or an array (RFC 7519 section 4.1.3); issuers do the same with `roles`.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

impl Claims {
    pub(crate) fn into_resident(
        self,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Resident, TokenError> {
        let expires_at = self.check_time(now)?;
        self.check_audience(policy)?;
        self.check_issuer(policy)?;
        let roles = self.roles();
        let line = self.line(roles)?;
        let house = self.house(roles)?;
        let subject = self
            .sub
            .filter(|sub| !sub.is_empty())
            .ok_or(bad("sub", "is missing"))?;
        let resident = Resident {
            subject,
            issuer: self.iss,
            token_id: self.jti,
            line,
            house,
            roles,
            expires_at,
        };
        check_lengths(&resident)?;
        Ok(resident)
    }

    fn check_time(&self, now: Timestamp) -> Result<Timestamp, TokenError> {
        let exp = self.exp.ok_or(bad("exp", "is missing"))?;
        let expires_at = timestamp(exp).ok_or(bad("exp", "is no time"))?;
        if good_until(expires_at) <= now {
            return Err(TokenError::Expired {
                expired_at: expires_at,
            });
        }
        let Some(nbf) = self.nbf else {
            return Ok(expires_at);
        };
        let not_before = timestamp(nbf).ok_or(bad("nbf", "is no time"))?;
        if now
            .saturating_add(NOT_BEFORE_LEEWAY)
            .is_ok_and(|soon| soon < not_before)
        {
            return Err(TokenError::NotYetValid { not_before });
        }
        Ok(expires_at)
    }

    /// A token for an audience is for that audience alone: without one configured, it is not for us
    /// to judge, and the signature decides.
    fn check_audience(&self, policy: &Policy) -> Result<(), TokenError> {
        let Some(ours) = &policy.audience else {
            return Ok(());
        };
        let audience = self.aud.as_ref().ok_or(bad("aud", "is missing"))?;
        if audience.as_slice().contains(ours) {
            Ok(())
        } else {
            Err(bad("aud", "names another audience"))
        }
    }

    fn check_issuer(&self, policy: &Policy) -> Result<(), TokenError> {
        let Some(ours) = &policy.issuer else {
            return Ok(());
        };
        let issuer = self.iss.as_ref().ok_or(bad("iss", "is missing"))?;
        if issuer == ours {
            Ok(())
        } else {
            Err(bad("iss", "names another issuer"))
        }
    }

    /// Roles of other systems are passed over. Who has none of ours is a resident.
    fn roles(&self) -> Roles {
        let names = self
            .roles
            .as_ref()
            .map(OneOrMany::as_slice)
            .unwrap_or_default();
        let roles: Roles = names
            .iter()
            .filter_map(|name| Role::from_name(name))
            .collect();
        if roles.is_empty() {
            Roles::from_iter([Role::Resident])
        } else {
            roles
        }
    }

    /// Names that the system keeps to itself are for its canaries alone.
    fn line(&self, roles: Roles) -> Result<Option<Line>, TokenError> {
        let name = if roles.contains(Role::Canary) {
            Line::even_reserved
        } else {
            Line::new
        };
        match &self.line {
            Some(line) => name(line)
                .map(Some)
                .map_err(|_| bad("line", "is not a usable name")),
            None if roles.iter().any(Role::may_lack_line) => Ok(None),
            None => Err(bad("line", "is missing")),
        }
    }

    fn house(&self, roles: Roles) -> Result<Option<House>, TokenError> {
        let name = if roles.contains(Role::Canary) {
            House::even_reserved
        } else {
            House::new
        };
        match &self.house {
            Some(house) => name(house)
                .map(Some)
                .map_err(|_| bad("house", "is not a usable name")),
            None if roles.iter().any(Role::may_lack_house) => Ok(None),
            None => Err(bad("house", "is missing")),
        }
    }
}

fn bad(claim: &'static str, problem: &'static str) -> TokenError {
    TokenError::BadClaim { claim, problem }
}

/// These are kept for as long as a session lives and go into derived ids.
fn check_lengths(resident: &Resident) -> Result<(), TokenError> {
    let too_long = |name: &str| NAME_BYTES_MAX < name.len();
    if too_long(&resident.subject) {
        return Err(bad("sub", "is too long"));
    }
    if resident.issuer.as_deref().is_some_and(too_long) {
        return Err(bad("iss", "is too long"));
    }
    if resident.token_id.as_deref().is_some_and(too_long) {
        return Err(bad("jti", "is too long"));
    }
    Ok(())
}

/// A NumericDate: seconds since 1970, possibly with a fraction (RFC 7519 section 2). One beyond the calendar is
/// no time.
fn timestamp(seconds: f64) -> Option<Timestamp> {
    let since_epoch = SignedDuration::try_from_secs_f64(seconds).ok()?;
    Timestamp::from_duration(since_epoch).ok()
}
