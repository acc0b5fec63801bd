//! What every request shares.

use std::{sync::Arc, time::Duration};

use resident_token::Verifier;
use service_kit::bounds::AddressKey;

use crate::{intake::Intake, limiter::Limiter};

/// What the routes and the extractors of a request need.
pub(crate) struct AppState {
    pub(crate) verifier: Arc<Verifier>,
    /// `None`: requests without a good token are not limited.
    pub(crate) failed_auth_by_address: Option<Limiter<AddressKey>>,
    /// How much of a body is read, in bytes.
    pub(crate) body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub(crate) body_timeout: Duration,
    pub(crate) intake: Arc<Intake>,
}
