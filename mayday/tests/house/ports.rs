//! Ports of a test's own.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that stay free while a process is down: below those that the system gives away. No two calls give the same.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 20_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(211);
    std::array::from_fn(|_| {
        loop {
            let number = first.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
            let port = u16::try_from(FIRST + number % COUNT).expect("a port");
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return port;
            }
        }
    })
}
