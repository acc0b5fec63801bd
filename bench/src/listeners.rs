//! Sockets of an audience that write down when each message came, on a thread of this process, so that one clock sees
//! post and arrival.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use service_kit::clock;

use crate::swarm::{self, Observer};

/// Longer than sockets take to subscribe on a busy machine.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One message on one socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The number of its post, warm-up included.
    pub(crate) post: u32,
    pub(crate) socket: usize,
    pub(crate) at: Instant,
}

/// The sockets, on a thread of this process, so that one clock sees post and arrival.
pub(crate) struct Listeners {
    stop: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
    thread: JoinHandle<Result<Recorder>>,
}

impl Listeners {
    pub(crate) fn connect(
        target: SocketAddr,
        count: usize,
        audience: swarm::Audience,
    ) -> Result<Self> {
        let options = swarm::Options {
            target,
            source: Ipv4Addr::LOCALHOST,
            first: 0,
            count,
            audience,
        };
        let (stop, ready, arrived) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut recorder = Recorder {
            ready: Arc::clone(&ready),
            arrived: Arc::clone(&arrived),
            per_socket: vec![0; count],
            arrivals: Vec::new(),
            wire_bytes: 0,
        };
        let stopped = Arc::clone(&stop);
        let thread =
            thread::spawn(move || swarm::run(&options, &stopped, &mut recorder).map(|()| recorder));
        let listeners = Self {
            stop,
            arrived,
            thread,
        };
        listeners.wait("subscribe", READY_WITHIN, || ready.load(Ordering::Relaxed))?;
        Ok(listeners)
    }

    pub(crate) fn wait_for(&self, messages: usize, within: Duration) -> Result<()> {
        self.wait("hear everything", within, || {
            messages <= self.arrived.load(Ordering::Relaxed)
        })
    }

    fn wait(&self, what: &str, within: Duration, reached: impl Fn() -> bool) -> Result<()> {
        let deadline = clock::steady() + within;
        while !reached() {
            ensure!(
                !self.thread.is_finished(),
                "the sockets ended before they could {what}"
            );
            ensure!(
                clock::steady() < deadline,
                "the sockets did not {what} within {within:?}"
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(crate) fn close(self) -> Result<Recorder> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .expect("the sockets' thread does not panic")
    }
}

/// Writes down when each message came.
pub(crate) struct Recorder {
    ready: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
    per_socket: Vec<u32>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) wire_bytes: usize,
}

impl Observer for Recorder {
    fn ready(&mut self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    fn message(&mut self, socket: usize, payload: &[u8], wire_bytes: usize) {
        let at = clock::steady();
        let post = post_of(payload).unwrap_or(self.per_socket[socket]);
        self.per_socket[socket] += 1;
        self.arrivals.push(Arrival { post, socket, at });
        self.wire_bytes += wire_bytes;
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    fn beat(&mut self, _socket: usize) {}
}

/// The number of a post stands in its text; a raw frame has none, and comes in order.
fn post_of(payload: &[u8]) -> Option<u32> {
    const MARK: &[u8] = b"\"text\":\"bench-";
    let at = payload
        .windows(MARK.len())
        .position(|window| window == MARK)?
        + MARK.len();
    let digits = payload[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    std::str::from_utf8(&payload[at..at + digits])
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_found_again_by_its_text() {
        assert_eq!(
            post_of(br#"MESSAGE..{"type":"alert","text":"bench-417","lat":"1"}"#),
            Some(417)
        );
        assert_eq!(post_of(b"xxxxxxxx"), None);
    }
}
