//! The bounds of a process: how many files it may hold, who gets how many, and what happens at the bound.
//!
//! At its start a program raises its limit of open files ([`FileLimit::raise`]) and divides what it was given among its
//! own rows ([`Shares::divide`]); [`Memory`] does the same for bytes. A listener takes its connections from an
//! [`Acceptor`], which gives each a [`Place`] among the [`Places`] of its stage: an address holds a bounded share of
//! them with connections that have not yet brought a good token, and at the bound the connection that waited longest
//! makes room. A descriptor table that is full for another reason is met with spare descriptors ([`Acceptor::next`]).
//!
//! Invariants: a stage never has more places out than its maximum; the places and waiting connections of an address
//! are those of its living [`Place`]s; no guard of a map is held across an await.

mod acceptor;
mod address_key;
mod counts;
mod file_limit;
mod http;
mod memory;
mod places;
mod shares;
mod spare;

pub use acceptor::{Accepted, Acceptor, WhenFull};
pub use address_key::AddressKey;
pub use counts::{Count, Counts};
pub use file_limit::{FileLimit, TooFewFiles};
pub use http::{Client, HttpLimits, serve_http};
pub use memory::Memory;
pub use places::{Evict, NoPlace, Place, PlaceLimits, Places};
pub use shares::{BoundsError, DoesNotFit, Row, Shares};
