//! Who tells what the consensus says, on which connection: one process for each replica.
//!
//! A copy of a data folder, started beside the original, is the same replica twice, and a replica that votes twice loses
//! records. The two never call each other, but both call everybody else, who notices.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handshake::{Hello, Refusal};
use crate::ids::ReplicaId;

/// A process that was heard of within so long is alive: it says four times a second how it is. One that was killed is
/// followed by its successor at the earliest when its connection has closed, or after this.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// The connection on which a replica tells.
#[derive(Debug)]
pub(super) struct Teller {
    process: u64,
    /// Ends when a newer connection takes this one's place.
    pub(super) superseded: CancellationToken,
    heard_ms: AtomicU64,
}

impl Teller {
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
pub(super) struct Tellers {
    by_replica: Mutex<BTreeMap<ReplicaId, Arc<Teller>>>,
}

impl Tellers {
    /// Judges a caller that has proved that it is a node.
    ///
    /// # Errors
    /// [`Refusal::TwoProcesses`] while another process tells as the same replica.
    pub(super) fn judge(&self, now: Duration, caller: &Hello) -> Result<(), Refusal> {
        match self.lock().get(&caller.from.replica) {
            Some(first) if first.process != caller.process && first.is_alive(now) => {
                let node = caller.from.node;
                Err(Refusal::TwoProcesses { node })
            }
            _ => Ok(()),
        }
    }

    /// A new connection, which takes the place of an older one.
    pub(super) fn begin(&self, now: Duration, replica: ReplicaId, process: u64) -> Arc<Teller> {
        let teller = Arc::new(Teller {
            process,
            superseded: CancellationToken::new(),
            heard_ms: AtomicU64::default(),
        });
        teller.heard(now);
        if let Some(older) = self.lock().insert(replica, Arc::clone(&teller)) {
            older.superseded.cancel();
        }
        teller
    }

    /// A connection has ended.
    pub(super) fn end(&self, replica: ReplicaId, ended: &Arc<Teller>) {
        let mut tellers = self.lock();
        let is_this_one = tellers
            .get(&replica)
            .is_some_and(|teller| Arc::ptr_eq(teller, ended));
        if is_this_one {
            tellers.remove(&replica);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Arc<Teller>>> {
        self.by_replica
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::peers::handshake::{Name, Purpose, Wanted};
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
            to: Wanted::default(),
            process,
            nonce: [0; 16],
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_second_process_is_refused_while_the_first_one_tells() {
        let tellers = Tellers::default();
        let first = tellers.begin(at(0), REPLICA, 1);
        first.heard(at(5_000));

        let refused = tellers.judge(at(5_500), &hello_of(2));
        assert!(
            matches!(refused, Err(Refusal::TwoProcesses { .. })),
            "{refused:?}"
        );
        assert_eq!(tellers.judge(at(5_500), &hello_of(1)), Ok(()), "the same");
        assert_eq!(tellers.judge(at(6_000), &hello_of(2)), Ok(()), "silent");
    }

    #[test]
    fn a_process_that_has_ended_is_followed_by_the_next_at_once() {
        let tellers = Tellers::default();
        let first = tellers.begin(at(0), REPLICA, 1);
        tellers.end(REPLICA, &first);
        assert_eq!(tellers.judge(at(1), &hello_of(2)), Ok(()));
    }

    #[test]
    fn a_newer_connection_takes_the_place_of_an_older_one() {
        let tellers = Tellers::default();
        let older = tellers.begin(at(0), REPLICA, 1);
        let newer = tellers.begin(at(1), REPLICA, 1);
        assert!(older.superseded.is_cancelled() && !newer.superseded.is_cancelled());

        tellers.end(REPLICA, &older);
        let second = tellers.judge(at(2), &hello_of(2));
        assert!(second.is_err(), "the newer one still tells");
    }
}
