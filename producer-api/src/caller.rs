//! From a request's head to the house that calls. Runs before the body is read: strangers send us nothing but heads.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use resident_token::{Resident, TokenError, bearer, refuse_token_in_query};

use crate::{clock, door::Door, errors::Refusal, household::Household, limiter::Wait};

/// Where a request's connection comes from. Put into every request by the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl FromRequestParts<Arc<Door>> for Household {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Arc<Door>) -> Result<Self, Refusal> {
        let address = parts
            .extensions
            .get::<Peer>()
            .map(|peer| key_of(peer.0.ip()));
        if let Some(address) = &address {
            refuse_noisy_stranger(door, address)?;
        }
        match verified(parts, door) {
            Ok(resident) => Household::of(resident),
            Err(error) => {
                if let Some(address) = address {
                    count_stranger(door, address);
                }
                Err(Refusal::Token(error))
            }
        }
    }
}

fn verified(parts: &Parts, door: &Door) -> Result<Resident, TokenError> {
    refuse_token_in_query(parts.uri.query())?;
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().map(|value| value.as_bytes());
    if values.next().is_some() {
        // Two readers on the way might each believe another one.
        return Err(TokenError::NotBearer);
    }
    door.verifier.verify(bearer(value)?, clock::wall())
}

/// Only requests without a good token count, so a whole complex behind one address never meets this by calling.
fn refuse_noisy_stranger(door: &Door, address: &IpAddr) -> Result<(), Refusal> {
    let Some(strangers) = &door.strangers else {
        return Ok(());
    };
    strangers
        .check(address, clock::steady())
        .map_err(|Wait(wait)| Refusal::AddressRateLimited { wait })
}

fn count_stranger(door: &Door, address: IpAddr) {
    if let Some(strangers) = &door.strangers {
        // What is over the limit is refused at the next request's head.
        let _over_the_limit = strangers.take(address, clock::steady());
    }
}

/// One home has a /64 of IPv6: its addresses are one stranger.
fn key_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}
