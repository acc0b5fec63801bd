//! How a node's early end is told: the first reason stands, and is known as soon as there is one. The node's threads may
//! take longer to end; a disk that hangs holds them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service_kit::error_value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::broker_stopped::BrokerStopped;

/// Between two looks at whether the replica's thread goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many looks in a row at which it had not: it stands still. Counted in looks, so that a process that was stopped as a
/// whole is not taken for one.
const LOOKS_MAX: u32 = 10;

/// See the module.
pub(super) struct Ending {
    reason: watch::Sender<Option<Arc<BrokerStopped>>>,
    /// Turns of the replica's thread.
    turns: AtomicU64,
    stop: CancellationToken,
}

/// What the thread shows while it does something that may take long, and is to be let do so.
const BUSY: u64 = u64::MAX;

impl Ending {
    /// `stop` ends the node; it is cancelled here once there is a reason.
    pub(super) fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            reason: watch::Sender::new(None),
            turns: AtomicU64::new(0),
            stop,
        })
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The node cannot go on.
    pub(super) fn tell(&self, reason: BrokerStopped) {
        let first = self.reason.send_if_modified(|known| {
            let is_first = known.is_none();
            if is_first {
                error!(error = error_value(&reason), "broker stopped");
                *known = Some(Arc::new(reason));
            }
            is_first
        });
        if first {
            self.stop.cancel();
        }
    }

    /// Why it has ended by itself, if it has.
    pub(super) fn reason(&self) -> Option<Arc<BrokerStopped>> {
        self.reason.borrow().clone()
    }

    /// Waits for a reason.
    pub(super) async fn told(&self) -> Arc<BrokerStopped> {
        let mut reasons = self.reason.subscribe();
        let reason = reasons.wait_for(Option::is_some).await;
        let reason = reason.expect("this holds the sender").clone();
        reason.expect("just seen")
    }

    /// The replica's thread has made another turn.
    pub(super) fn turn(&self) {
        let turns = self.turns.load(Ordering::Relaxed);
        let next = if turns == BUSY { 0 } else { turns + 1 };
        self.turns.store(next, Ordering::Relaxed);
    }

    /// The replica's thread will be at something for as long as it takes.
    pub(super) fn busy(&self) {
        self.turns.store(BUSY, Ordering::Relaxed);
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

/// Looks whether the replica's thread goes on, until it is asked to end or the node has ended.
pub(super) async fn watch_over(ending: Arc<Ending>, doors: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            () = doors.cancelled() => return,
            () = ending.stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        if watch.stands_still(ending.turns()) {
            return ending.tell(BrokerStopped::StandsStill);
        }
    }
}

/// What was seen of the thread's turns.
#[derive(Default)]
struct Watch {
    seen: u64,
    still: u32,
}

impl Watch {
    /// Takes note of another look.
    fn stands_still(&mut self, turns: u64) -> bool {
        let goes_on = turns != self.seen || turns == BUSY;
        self.still = if goes_on { 0 } else { self.still + 1 };
        self.seen = turns;
        LOOKS_MAX <= self.still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_still_is_noticed_and_one_that_is_busy_is_let_be() {
        let ending = Ending::new(CancellationToken::new());
        let mut watch = Watch::default();
        for _ in 0..100 {
            ending.turn();
            assert!((1..LOOKS_MAX).all(|_| !watch.stands_still(ending.turns())));
        }
        ending.busy();
        assert!((0..1_000).all(|_| !watch.stands_still(ending.turns())));

        ending.turn();
        assert!((0..LOOKS_MAX).all(|_| !watch.stands_still(ending.turns())));
        assert!(watch.stands_still(ending.turns()));
    }

    #[tokio::test]
    async fn the_first_reason_stands() {
        let ending = Ending::new(CancellationToken::new());
        ending.tell(BrokerStopped::Panicked { thread: "journal" });
        ending.tell(BrokerStopped::StandsStill);
        let told = ending.told().await;
        assert!(matches!(*told, BrokerStopped::Panicked { .. }), "{told}");
    }
}
