//! Who tells what the consensus says, on which connection: one process for each replica.
//!
//! A copy of a data folder, started beside the original, is the same replica twice, and a replica that votes twice loses
//! records. The two never call each other, but both call everybody else, who notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handshake::{HandshakeError, Hello};
use crate::ids::ReplicaId;

/// A process that was heard of within so long is alive: it says four times a second how it is. One that was killed is
/// followed by its successor at the earliest when its connection has closed, or after this.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// The connection on which a replica tells.
#[derive(Debug)]
pub(super) struct SenderLease {
    process: u64,
    /// Ends when a newer connection takes this one's place.
    pub(super) superseded: CancellationToken,
    heard_ms: AtomicU64,
}

impl SenderLease {
    /// Notes that something was heard.
    pub(super) fn heard(&self, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(now, Ordering::Relaxed);
    }

    fn is_alive(&self, now: Duration) -> bool {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        !self.superseded.is_cancelled() && now.saturating_sub(heard) < ALIVE_WITHIN
    }
}

/// The connection of each replica that tells.
#[derive(Debug, Default)]
pub(super) struct SenderLeases {
    by_replica: Mutex<BTreeMap<ReplicaId, Arc<SenderLease>>>,
}

impl SenderLeases {
    /// Judges a caller that has proved that it is a node.
    ///
    /// # Errors
    /// [`HandshakeError::TwoProcesses`] while another process tells as the same replica.
    pub(super) fn judge(&self, now: Duration, caller: &Hello) -> Result<(), HandshakeError> {
        match self.lock().get(&caller.from.replica) {
            Some(first) if first.process != caller.process && first.is_alive(now) => {
                let node = caller.from.node;
                Err(HandshakeError::TwoProcesses { node })
            }
            _ => Ok(()),
        }
    }

    /// A new connection, which takes the place of an older one.
    pub(super) fn begin(
        &self,
        now: Duration,
        replica: ReplicaId,
        process: u64,
    ) -> Arc<SenderLease> {
        let lease = Arc::new(SenderLease {
            process,
            superseded: CancellationToken::new(),
            heard_ms: AtomicU64::default(),
        });
        lease.heard(now);
        if let Some(older) = self.lock().insert(replica, Arc::clone(&lease)) {
            older.superseded.cancel();
        }
        lease
    }

    /// A connection has ended.
    pub(super) fn end(&self, replica: ReplicaId, ended: &Arc<SenderLease>) {
        let mut leases = self.lock();
        let is_this_one = leases
            .get(&replica)
            .is_some_and(|lease| Arc::ptr_eq(lease, ended));
        if is_this_one {
            leases.remove(&replica);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Arc<SenderLease>>> {
        self.by_replica
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::peers::handshake::{ExpectedPeer, Name, Purpose};
    use crate::ids::NodeId;

    const REPLICA: ReplicaId = ReplicaId(7);

    fn hello_of(process: u64) -> Hello {
        Hello {
            purpose: Purpose::Messages,
            from: Name {
                node: NodeId(1),
                replica: REPLICA,
                cluster: None,
                address: "here:1".to_owned(),
            },
            to: ExpectedPeer::default(),
            process,
            nonce: [0; 16],
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_second_process_is_refused_while_the_first_one_tells() {
        let leases = SenderLeases::default();
        let first = leases.begin(at(0), REPLICA, 1);
        first.heard(at(5_000));

        let refused = leases.judge(at(5_500), &hello_of(2));
        assert!(
            matches!(refused, Err(HandshakeError::TwoProcesses { .. })),
            "{refused:?}"
        );
        assert_eq!(leases.judge(at(5_500), &hello_of(1)), Ok(()), "the same");
        assert_eq!(leases.judge(at(6_000), &hello_of(2)), Ok(()), "silent");
    }

    #[test]
    fn a_process_that_has_ended_is_followed_by_the_next_at_once() {
        let leases = SenderLeases::default();
        let first = leases.begin(at(0), REPLICA, 1);
        leases.end(REPLICA, &first);
        assert_eq!(leases.judge(at(1), &hello_of(2)), Ok(()));
    }

    #[test]
    fn a_newer_connection_takes_the_place_of_an_older_one() {
        let leases = SenderLeases::default();
        let older = leases.begin(at(0), REPLICA, 1);
        let newer = leases.begin(at(1), REPLICA, 1);
        assert!(older.superseded.is_cancelled() && !newer.superseded.is_cancelled());

        leases.end(REPLICA, &older);
        let second = leases.judge(at(2), &hello_of(2));
        assert!(second.is_err(), "the newer one still tells");
    }
}
