//! The caller that a token names: the line and the house that its calls are attributed to.

use event_model::{House, Line};
use resident_token::{Resident, Role};

use crate::{api_error::ApiError, owner::Owner};

/// A verified resident who may call for a house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) line: Line,
    pub(crate) house: House,
    /// Whose calls and Idempotency-Keys these are.
    pub(crate) owner: Owner,
    pub(crate) kind: CallerKind,
}

/// Whether a person calls or a machine that tries the system out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerKind {
    Person,
    Canary,
}

impl Caller {
    /// Admins and operators may have no house; then they cannot call.
    pub(crate) fn of(resident: Resident) -> Result<Self, ApiError> {
        let (Some(line), Some(house)) = (resident.line, resident.house) else {
            return Err(ApiError::RoleMissing);
        };
        let kind = if resident.roles.contains(Role::Canary) {
            CallerKind::Canary
        } else {
            CallerKind::Person
        };
        let owner = Owner {
            issuer: resident.issuer.unwrap_or_default(),
            subject: resident.subject,
        };
        Ok(Self {
            line,
            house,
            owner,
            kind,
        })
    }
}
