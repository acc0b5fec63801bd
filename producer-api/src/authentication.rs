//! From a request's head to its caller. Runs before the body is read: a client without a good token gets no body read.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use resident_token::{Resident, TokenError, bearer_of, refuse_token_in_query};
use service_kit::bounds::{AddressKey, Client};

use crate::{api_error::ApiError, caller::Caller, clock, limiter::RetryAfter, state::AppState};

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Self, ApiError> {
        let client = parts.extensions.get::<Client>();
        match verified(parts, state) {
            Ok(resident) => {
                if let Some(client) = client {
                    client.place.verified();
                }
                Caller::of(resident)
            }
            Err(error) => {
                let address = client.map(|client| client.address.ip().into());
                Err(api_error_of(error, address, state))
            }
        }
    }
}

fn verified(parts: &Parts, state: &AppState) -> Result<Resident, TokenError> {
    refuse_token_in_query(parts.uri.query())?;
    let token = bearer_of(&parts.headers)?;
    state.verifier.verify(token, clock::wall().to_timestamp())
}

/// Only what fails verification counts, and only it is refused: a whole complex may sit behind the address.
fn api_error_of(error: TokenError, address: Option<AddressKey>, state: &AppState) -> ApiError {
    let (Some(address), Some(failed_auth)) = (address, &state.failed_auth_by_address) else {
        return ApiError::Token(error);
    };
    match failed_auth.take(address, clock::steady()) {
        Ok(()) => ApiError::Token(error),
        Err(RetryAfter(wait)) => ApiError::AddressRateLimited { wait },
    }
}
