//! A request's body, read within a bound of bytes and time.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{api_error::ApiError, clock, state::AppState};

/// A call for help is refused for its length only above this. What is read of it ends at `body_bytes_max`.
pub(crate) const CALL_BYTES_MAX: usize = 64 * 1024;

/// The body of an accept.
pub(crate) struct AcceptBody(pub(crate) Bytes);

impl FromRequest<Arc<AppState>> for AcceptBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiError> {
        let bytes_max = state.body_bytes_max;
        let body = bounded(request, bytes_max)?;
        let body = timeout(state.body_timeout, read(body, bytes_max)).await;
        body.unwrap_or(Err(ApiError::BodyTimeout)).map(AcceptBody)
    }
}

/// What arrived of the body of an alert: one that breaks off or does not arrive in time is an alert all the same.
pub(crate) struct AlertBody {
    pub(crate) bytes: Bytes,
    /// Nothing is missing.
    pub(crate) whole: bool,
}

impl FromRequest<Arc<AppState>> for AlertBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, ApiError> {
        let bytes_max = CALL_BYTES_MAX.max(state.body_bytes_max);
        let deadline = Instant::from_std(clock::steady()) + state.body_timeout;
        let mut body = Limited::new(bounded(request, bytes_max)?, bytes_max);
        let mut bytes = BytesMut::new();
        let whole = loop {
            match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => bytes.extend(frame.into_data().unwrap_or_default()),
                Ok(None) => break true,
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                    return Err(ApiError::BodyTooLarge { bytes_max });
                }
                Ok(Some(Err(_))) | Err(_) => break false,
            }
        };
        Ok(Self {
            bytes: bytes.freeze(),
            whole,
        })
    }
}

/// The body, unless the head says that it is too long.
fn bounded(request: Request, bytes_max: usize) -> Result<Body, ApiError> {
    let body = request.into_body();
    if (bytes_max as u64) < body.size_hint().lower() {
        return Err(ApiError::BodyTooLarge { bytes_max });
    }
    Ok(body)
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge { bytes_max }),
        Err(_) => Err(ApiError::InvalidJson {
            detail: "the body broke off".to_owned(),
        }),
    }
}
