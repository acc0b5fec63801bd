//! The person behind a token, with names already normalised.

use event_model::{House, Line};
use jiff::Timestamp;

/// Who speaks. Every resident that exists here has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// `sub`: the person, as the issuer names them.
    pub subject: String,
    /// `iss`, if the token says so.
    pub issuer: Option<String>,
    /// `jti`, if the token says so.
    pub token_id: Option<String>,
    /// The complex. Only an operator may have none.
    pub line: Option<Line>,
    /// The household, or a guard's post. Only a manager, an admin or an operator may have none.
    pub house: Option<House>,
    /// What else this person is.
    pub roles: Roles,
    /// When the token ends: from this moment on it is refused.
    pub expires_at: Timestamp,
}

/// What a token's bearer is, beyond a line and a house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Lives here: the role of a token that names no other.
    Resident,
    /// Keeps a post of the complex: its house is the post.
    Guard,
    /// Answers for their own line.
    Manager,
    /// Reads what a manager of the line reads.
    Admin,
    /// May subscribe to any line, and nothing else.
    Operator,
    /// A machine that calls to see that calling works; its events stay out of the figures.
    Canary,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Resident,
        Role::Guard,
        Role::Manager,
        Role::Admin,
        Role::Operator,
        Role::Canary,
    ];

    /// The role of that name. Names are exact: `Admin` is another system's word.
    pub fn from_name(name: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// As it stands in the claim `roles`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Resident => "resident",
            Role::Guard => "guard",
            Role::Manager => "manager",
            Role::Admin => "admin",
            Role::Operator => "operator",
            Role::Canary => "canary",
        }
    }

    /// Whether a token with this role is good without a line.
    pub fn may_lack_line(self) -> bool {
        matches!(self, Role::Operator)
    }

    /// Whether a token with this role is good without a house.
    pub fn may_lack_house(self) -> bool {
        matches!(self, Role::Manager | Role::Admin | Role::Operator)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// Whether `role` is one of them.
    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL
            .into_iter()
            .filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Roles(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}
