//! The memory that answers may take while they are read and written, all connections together. Kafka bounds it by
//! nothing but the number of its clients.
//!
//! A fetch reads what is left: half of it at most, so that many readers share what few would fill; with nothing left it
//! reads [`SMALL_BYTES`], so that no reader waits behind slow ones. Where others need memory, the connections that take
//! their answers slowest are closed, once they had [`SLOW_AFTER`]: a slow reader costs at most its own answer, and not for
//! longer than others can do without.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What an answer may take whatever is left. The connections bound the sum.
pub(super) const SMALL_BYTES: usize = 64 << 10;
/// Less than one batch of the usual largest size is less than a fetch needs.
const NEEDED_BYTES: usize = 1 << 20;
/// How long a reader has before it may be closed for others. Too low cuts off a link that is only busy; too high lets slow
/// readers keep what others wait for.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// Wait between two looks for memory.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks before a fetch goes on with what is small: about five seconds.
const LOOKS_MAX: usize = 100;

/// Bytes for answers, shared by all connections.
#[derive(Clone)]
pub(super) struct AnswerMemory {
    shared: Arc<Shared>,
}

struct Shared {
    bytes_max: usize,
    accounts: Mutex<Accounts>,
    freed: Notify,
}

#[derive(Default)]
struct Accounts {
    held: usize,
    writes: u64,
    writing: BTreeMap<u64, Writing>,
}

/// An answer on its way to its client.
struct Writing {
    bytes: usize,
    written: Arc<AtomicUsize>,
    since: Duration,
    closed: CancellationToken,
}

/// What one answer holds; given back when dropped.
pub(super) struct AnswerBytes {
    shared: Arc<Shared>,
    bytes: usize,
}

/// Of an answer that is being written; it counts until this is dropped.
pub(super) struct AnswerWrite {
    shared: Arc<Shared>,
    number: u64,
    written: Arc<AtomicUsize>,
    closed: CancellationToken,
    _held: AnswerBytes,
}

impl AnswerMemory {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                bytes_max,
                accounts: Mutex::default(),
                freed: Notify::new(),
            }),
        }
    }

    /// For an answer that has not been measured yet.
    pub(super) fn none(&self) -> AnswerBytes {
        self.shared.take(0)
    }

    /// Takes up to `wanted` bytes for a fetch: as many as are left to it, perhaps none. `now` is any clock that does not
    /// fall.
    pub(super) async fn take(&self, wanted: usize, now: impl Fn() -> Duration) -> AnswerBytes {
        for _ in 0..LOOKS_MAX {
            if let Some(bytes) = self.shared.try_take(wanted, now()) {
                return bytes;
            }
            tokio::select! {
                () = self.shared.freed.notified() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
        self.none()
    }
}

impl Shared {
    /// None while more is held than there is.
    fn try_take(self: &Arc<Self>, wanted: usize, now: Duration) -> Option<AnswerBytes> {
        let mut accounts = self.accounts();
        let left = self.bytes_max.saturating_sub(accounts.held);
        let bytes = wanted.min(left / 2);
        if bytes < wanted.min(NEEDED_BYTES) {
            accounts.close_slow(self.bytes_max / 4, self.bytes_max, now);
        }
        if left == 0 {
            return None;
        }
        accounts.held += bytes;
        drop(accounts);
        Some(AnswerBytes {
            shared: Arc::clone(self),
            bytes,
        })
    }

    fn take(self: &Arc<Self>, bytes: usize) -> AnswerBytes {
        self.accounts().held += bytes;
        AnswerBytes {
            shared: Arc::clone(self),
            bytes,
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Plain sums: whatever panicked with the lock held left them whole.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Closes the slowest connections until so many bytes of `bytes_max` will be free.
    fn close_slow(&mut self, free: usize, bytes_max: usize, now: Duration) {
        let mut kept = self.held;
        let closing = self.writing.values().filter(|it| it.closed.is_cancelled());
        kept -= closing.map(|it| it.bytes).sum::<usize>().min(kept);
        while bytes_max < kept.saturating_add(free) {
            let slow = self.writing.values().filter(|it| {
                !it.closed.is_cancelled() && SLOW_AFTER <= now.saturating_sub(it.since)
            });
            let Some(slowest) = slow.min_by_key(|it| it.bytes_a_second(now)) else {
                return;
            };
            slowest.closed.cancel();
            kept -= slowest.bytes.min(kept);
        }
    }
}

impl Writing {
    fn bytes_a_second(&self, now: Duration) -> u64 {
        let written = self.written.load(Ordering::Relaxed) as u64;
        written / now.saturating_sub(self.since).as_secs().max(1)
    }
}

impl AnswerBytes {
    /// How many.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes or gives back what it turned out to need.
    pub(super) fn resize(&mut self, bytes: usize) {
        let mut accounts = self.shared.accounts();
        accounts.held = accounts.held - self.bytes + bytes;
        drop(accounts);
        if bytes < self.bytes {
            self.shared.freed.notify_waiters();
        }
        self.bytes = bytes;
    }

    /// The answer is complete, of so many bytes, and goes out. Small ones are not counted.
    pub(super) fn write(mut self, bytes: usize, now: Duration) -> AnswerWrite {
        self.resize(if bytes <= SMALL_BYTES { 0 } else { bytes });
        let (written, closed) = (Arc::<AtomicUsize>::default(), CancellationToken::new());
        let shared = Arc::clone(&self.shared);
        let mut accounts = shared.accounts();
        let number = accounts.writes;
        accounts.writes += 1;
        if 0 < self.bytes {
            let writing = Writing {
                bytes: self.bytes,
                written: Arc::clone(&written),
                since: now,
                closed: closed.clone(),
            };
            accounts.writing.insert(number, writing);
            accounts.close_slow(0, shared.bytes_max, now);
        }
        drop(accounts);
        AnswerWrite {
            shared,
            number,
            written,
            closed,
            _held: self,
        }
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl AnswerWrite {
    /// Notes that the socket took so many bytes.
    pub(super) fn note_written(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Others need the memory: the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for AnswerWrite {
    fn drop(&mut self) {
        self.shared.accounts().writing.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;
    const SECOND: Duration = Duration::from_secs(1);

    fn take(memory: &AnswerMemory, wanted: usize, now: Duration) -> Option<AnswerBytes> {
        memory.shared.try_take(wanted, now)
    }

    fn held(memory: &AnswerMemory) -> usize {
        memory.shared.accounts().held
    }

    fn is_closed(write: &AnswerWrite) -> bool {
        write.closed.is_cancelled()
    }

    #[test]
    fn fetches_share_what_is_left_and_never_hold_more_than_there_is() {
        let memory = AnswerMemory::new(64 * MIB);
        let readers: Vec<_> = (0..100)
            .map(|_| take(&memory, 55 * MIB, SECOND).expect("something is left"))
            .collect();
        assert_eq!(readers[0].bytes(), 32 * MIB);
        assert_eq!(readers[1].bytes(), 16 * MIB);
        assert!(held(&memory) < 64 * MIB);
        drop(readers);
        assert_eq!(held(&memory), 0);
    }

    #[test]
    fn an_answer_gives_back_what_it_did_not_need_and_all_when_it_is_written() {
        let memory = AnswerMemory::new(64 * MIB);
        let bytes = take(&memory, 10 * MIB, SECOND).expect("left");
        let write = bytes.write(3 * MIB, SECOND);
        assert_eq!(held(&memory), 3 * MIB);
        drop(write);
        assert_eq!(held(&memory), 0);
        let small = memory.none().write(SMALL_BYTES, SECOND);
        assert_eq!(held(&memory), 0, "small answers are not counted");
        drop(small);
    }

    #[test]
    fn the_slowest_readers_are_closed_once_others_need_what_they_hold() {
        let memory = AnswerMemory::new(64 * MIB);
        let write = |bytes: usize, now| {
            let taken = take(&memory, bytes, now).expect("left");
            taken.write(bytes, now)
        };
        let slow = write(32 * MIB, SECOND);
        let quick = write(16 * MIB, SECOND);
        quick.note_written(8 * MIB);
        let fresh = write(8 * MIB, 3 * SECOND);
        let others = [4, 2, 1].map(|mebibytes| write(mebibytes * MIB, 3 * SECOND));
        assert!(!is_closed(&slow), "nobody needs it yet");

        take(&memory, MIB, 3 * SECOND).expect("half a mebibyte is left");

        assert!(is_closed(&slow));
        assert!(!is_closed(&quick) && !is_closed(&fresh), "one was enough");
        assert!(!others.iter().any(is_closed));
    }

    #[test]
    fn with_nothing_left_a_fetch_waits_until_somebody_is_done() {
        let memory = AnswerMemory::new(2 * MIB);
        // One batch that is larger than what was left to it.
        let large = memory.none().write(3 * MIB, SECOND);
        assert!(take(&memory, MIB, SECOND).is_none());
        assert!(!is_closed(&large), "it has only begun");
        assert!(take(&memory, MIB, 2 * SECOND).is_none());
        assert!(is_closed(&large));
        drop(large);
        assert!(take(&memory, MIB, 2 * SECOND).is_some());
    }
}
