//! Addresses that are free, and stay free while nobody listens there. A port that the system once gave to `:0` may be
//! given to the next connection; all of 127.0.0.0/8 is loopback, and outgoing connections take 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};

static GIVEN: AtomicU8 = AtomicU8::new(0);

/// An address of this process alone, never given out before.
pub fn own_address() -> SocketAddr {
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    assert!(
        number < u8::MAX,
        "255 addresses are enough for a file of tests"
    );
    // 127.0 is left to everybody.
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, high.max(1), low, number);
    SocketAddr::from((host, 9093))
}
