//! A request's body, read within a bound of bytes and time.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use crate::{door::Door, errors::Refusal};

/// The bytes of a body.
pub(crate) struct Payload(pub(crate) Bytes);

impl FromRequest<Arc<Door>> for Payload {
    type Rejection = Refusal;

    async fn from_request(request: Request, door: &Arc<Door>) -> Result<Self, Refusal> {
        let body = request.into_body();
        let bytes_max = door.body_bytes_max;
        if (bytes_max as u64) < body.size_hint().lower() {
            // Said at once: the length was in the head.
            return Err(Refusal::BodyTooLarge { bytes_max });
        }
        let body = tokio::time::timeout(door.body_timeout, read(body, bytes_max)).await;
        body.unwrap_or(Err(Refusal::BodyTimeout)).map(Payload)
    }
}

async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { bytes_max }),
        Err(_) => Err(Refusal::InvalidJson {
            detail: "the body broke off".to_owned(),
        }),
    }
}
