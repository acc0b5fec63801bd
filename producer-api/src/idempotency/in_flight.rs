//! The calls under Idempotency-Keys that are on their way: a retry of one waits for what the first try finds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use event_model::{EventId, Tag, Topic};
use tokio::sync::watch;

use crate::receipt::Receipt;

/// Where a call under a key stands. Sent once, by the first try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    Pending,
    Completed(Receipt),
    /// The first try ended without an answer; another one may begin.
    Abandoned,
}

/// What a request under a key should do.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is the first: store the call, and complete the guard.
    First(InFlightGuard),
    /// Another request is at it: wait for what it finds.
    Wait(watch::Receiver<Progress>),
    /// The key stands for another call that is on its way.
    Reused,
}

/// The calls under keys that are on their way: as many as requests and the outbox hold. What is stored stands in
/// [`RecentCalls`](crate::recent_calls::RecentCalls).
#[derive(Default)]
pub(crate) struct InFlightCalls {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    /// By the fingerprint of key, owner and path.
    calls: HashMap<Tag, Vec<InFlightCall>>,
}

struct InFlightCall {
    id: EventId,
    progress: watch::Receiver<Progress>,
}

impl InFlightCalls {
    /// Asks what to do with the call `id` under a key.
    pub(crate) fn claim(&self, key: Tag, topic: Topic, id: EventId) -> Claim {
        let mut table = lock(&self.table);
        let known = table.calls.entry(key).or_default();
        if let Some(call) = known.iter().find(|call| call.id == id) {
            return Claim::Wait(call.progress.clone());
        }
        // Two alerts under one key are two alerts (never silence a call); two accepts are a mistake worth telling.
        if topic == Topic::Accept && !known.is_empty() {
            return Claim::Reused;
        }
        let (sender, progress) = watch::channel(Progress::Pending);
        known.push(InFlightCall { id, progress });
        Claim::First(InFlightGuard {
            sender,
            key,
            id,
            table: Arc::clone(&self.table),
        })
    }
}

impl Table {
    fn forget(&mut self, key: Tag, id: EventId) {
        let Some(calls) = self.calls.get_mut(&key) else {
            return;
        };
        calls.retain(|call| call.id != id);
        if calls.is_empty() {
            self.calls.remove(&key);
        }
    }
}

/// Held by the first try. Dropped before it is completed, it lets another try be the first.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    sender: watch::Sender<Progress>,
    key: Tag,
    id: EventId,
    table: Arc<Mutex<Table>>,
}

impl InFlightGuard {
    /// The call is in the log: later requests find it among the recent calls, where it stands already.
    pub(crate) fn complete(self, receipt: Receipt) {
        self.sender.send_replace(Progress::Completed(receipt));
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        lock(&self.table).forget(self.key, self.id);
        self.sender.send_if_modified(|progress| {
            let given_up = *progress == Progress::Pending;
            if given_up {
                *progress = Progress::Abandoned;
            }
            given_up
        });
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("calls", &self.calls.len())
            .finish()
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use event_model::{EventTime, RecordPosition};

    use super::*;

    fn key() -> Tag {
        "00112233445566778899aabbccddeeff".parse().unwrap()
    }

    fn id(number: u8) -> EventId {
        EventId::new(EventTime::MIN, [number; 10])
    }

    fn stored(number: u8) -> Receipt {
        let place = RecordPosition {
            topic: Topic::Alert,
            partition: 0,
            offset: number.into(),
        };
        Receipt {
            id: id(number),
            at: EventTime::MIN,
            place: Some(place),
        }
    }

    fn first(claim: Claim) -> InFlightGuard {
        let Claim::First(guard) = claim else {
            panic!("{claim:?} is not the first")
        };
        guard
    }

    fn waiting(claim: Claim) -> watch::Receiver<Progress> {
        let Claim::Wait(progress) = claim else {
            panic!("{claim:?} does not wait")
        };
        progress
    }

    #[test]
    fn the_second_waits_for_the_first_and_hears_what_it_found() {
        let calls = InFlightCalls::default();
        let guard = first(calls.claim(key(), Topic::Alert, id(1)));
        let progress = waiting(calls.claim(key(), Topic::Alert, id(1)));

        guard.complete(stored(1));

        assert_eq!(*progress.borrow(), Progress::Completed(stored(1)));
        assert!(
            lock(&calls.table).calls.is_empty(),
            "it is on its way no more"
        );
    }

    #[test]
    fn when_the_first_gives_up_another_try_may_be_the_first() {
        let calls = InFlightCalls::default();
        let guard = first(calls.claim(key(), Topic::Accept, id(1)));
        let progress = waiting(calls.claim(key(), Topic::Accept, id(1)));
        assert!(matches!(
            calls.claim(key(), Topic::Accept, id(2)),
            Claim::Reused
        ));

        drop(guard);

        assert_eq!(*progress.borrow(), Progress::Abandoned);
        first(calls.claim(key(), Topic::Accept, id(2))).complete(stored(2));
    }

    #[test]
    fn two_alerts_under_one_key_are_two_alerts() {
        let calls = InFlightCalls::default();

        let _one = first(calls.claim(key(), Topic::Alert, id(1)));
        let _other = first(calls.claim(key(), Topic::Alert, id(2)));
    }
}
