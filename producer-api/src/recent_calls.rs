//! The calls of the last 25 hours as the log has them: by id, and by Idempotency-Key. Decides only: time is an argument.
//!
//! The table is filled from both sides: a call that this process stored stands here before its caller is answered, and
//! the log's tail (`kafka::tail`) brings what earlier runs and other instances stored. It is caught up once the tail has been
//! read to its end; until then it answers what it knows, and judges nothing by what it does not. Whether a call is *not* in
//! the log is known only by reading on to where the log ends then: [`read_to_end`](RecentCalls::read_to_end).
//!
//! How long a key is remembered counts in elapsed time, not by the wall clock: from the moment this process saw the call,
//! or, for what the tail held at the start, from its age then. Whether that age is right is a matter of two witnesses,
//! the wall clock and the newest record; where they disagree by more than [`ID_MEMORY`], either the clock is wrong or
//! no house called for long. Then a repetition of the very same call is recognised for [`DISPUTED_MEMORY`], and a key
//! is held against no other call.
//!
//! Invariants: every call stands once in `order`; `keys` and `houses` name only calls that are there.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use event_model::{
    EventId, EventTime, House, Line, RecordPosition, Tag, Topic,
    fold::{ID_MEMORY, LIVE_FOR},
};
use tokio::sync::watch;

use crate::{clock, owner::Owner, receipt::Receipt};

/// For how long a repetition is recognised whose age the two witnesses do not agree on. Retries come within minutes.
const DISPUTED_MEMORY: Duration = Duration::from_secs(60 * 60);

/// A call that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecentCall {
    pub(crate) id: EventId,
    pub(crate) topic: Topic,
    pub(crate) at: EventTime,
    /// `None`: its delivery report said that it is stored, and not where. The tail finds out.
    pub(crate) place: Option<RecordPosition>,
    /// The fingerprint of its owner. `None`: its record has none.
    pub(crate) caller: Option<Tag>,
    pub(crate) key: Option<Tag>,
    /// The house that called for help: of an alert, if known.
    pub(crate) house: Option<(Line, House)>,
}

impl RecentCall {
    fn receipt(&self) -> Receipt {
        Receipt {
            id: self.id,
            at: self.at,
            place: self.place,
        }
    }
}

/// What is known of a call under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// Nothing that speaks against taking the call.
    New,
    /// It is in the log already.
    Repeated(Receipt),
    /// The key stands for another call.
    Reused,
}

/// The table. Bounded in calls, of some 300 bytes each: the oldest is forgotten first.
pub(crate) struct RecentCalls {
    calls_max: usize,
    started_at: Instant,
    table: Mutex<Table>,
    /// How often the tail was to be read to its end: by this process at its start, then by each call that is looked up.
    ends_wanted: AtomicU64,
    /// The last of them for which it has been.
    ends_read: watch::Sender<u64>,
    /// A call waited for the tail in vain since it was read last.
    tail_is_unreadable: AtomicBool,
    /// Records of the tail that have been read so far.
    records_read: AtomicU64,
}

#[derive(Default)]
struct Table {
    calls: HashMap<EventId, KnownCall>,
    keys: HashMap<Tag, Vec<EventId>>,
    /// Each house's newest alert.
    houses: HashMap<(Line, House), EventId>,
    order: VecDeque<EventId>,
    /// Channels that get the place of a call as soon as it is known.
    position_waiters: HashMap<EventId, watch::Sender<Option<RecordPosition>>>,
}

struct KnownCall {
    call: RecentCall,
    seen: Age,
}

/// How old a call is, in elapsed time.
#[derive(Debug, Clone, Copy)]
struct Age {
    counted_from: Instant,
    at_that_time: Duration,
    /// The wall clock says more.
    disputed: bool,
}

impl Age {
    fn new(now: Instant) -> Self {
        Self {
            counted_from: now,
            at_that_time: Duration::ZERO,
            disputed: false,
        }
    }

    fn at(&self, now: Instant) -> Duration {
        self.at_that_time + now.saturating_duration_since(self.counted_from)
    }

    /// Whether a retry of the call may still come.
    fn is_remembered(&self, now: Instant) -> bool {
        let disputed_for = now.saturating_duration_since(self.counted_from);
        self.at(now) < ID_MEMORY && (!self.disputed || disputed_for < DISPUTED_MEMORY)
    }
}

impl RecentCalls {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self {
            calls_max,
            started_at: clock::steady(),
            table: Mutex::default(),
            ends_wanted: AtomicU64::new(1),
            ends_read: watch::Sender::new(0),
            tail_is_unreadable: AtomicBool::new(false),
            records_read: AtomicU64::new(0),
        }
    }

    /// So many calls are kept at most.
    pub(crate) fn calls_max(&self) -> usize {
        self.calls_max
    }

    /// What earlier runs did, they did before.
    pub(crate) fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Whether the log's tail has been read to its end since the start.
    pub(crate) fn is_caught_up(&self) -> bool {
        0 < *self.ends_read.borrow()
    }

    /// Whether the log's tail has still to be read since the start, and may soon be.
    pub(crate) fn is_catching_up(&self) -> bool {
        !self.is_caught_up() && !self.tail_is_unreadable()
    }

    /// Whether a call waited for the tail in vain since it was read last.
    pub(crate) fn tail_is_unreadable(&self) -> bool {
        self.tail_is_unreadable.load(Ordering::Relaxed)
    }

    /// A call waited for the tail in vain: no other should, until it has been read again.
    pub(crate) fn note_tail_unreadable(&self) {
        self.tail_is_unreadable.store(true, Ordering::Relaxed);
    }

    /// Until the log's tail has been read to where it ends now: what was stored before this was called is known then.
    ///
    /// # Cancel safety
    ///
    /// May be dropped; called again, it asks for the end of that moment.
    pub(crate) async fn read_to_end(&self) {
        let wanted = self.ends_wanted.fetch_add(1, Ordering::SeqCst) + 1;
        let mut read = self.ends_read.subscribe();
        // An error would say that the table is gone, and it is here.
        drop(read.wait_for(|read| wanted <= *read).await);
    }

    /// The same, given up where no record of the tail was read during a `pause`: however long the tail is, who waits for it
    /// waits while it is being read. Whether it was read.
    pub(crate) async fn read_to_end_unless_stalled<F: Future<Output = ()>>(
        &self,
        pause: impl Fn() -> F,
    ) -> bool {
        let mut reading = pin!(self.read_to_end());
        loop {
            let before = self.records_read.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                () = &mut reading => return true,
                () = pause() => {}
            }
            if self.records_read.load(Ordering::Relaxed) == before {
                return false;
            }
        }
    }

    /// A record of the tail has been read.
    pub(crate) fn note_record_read(&self) {
        self.records_read.fetch_add(1, Ordering::Relaxed);
    }

    /// The end that is wanted and not read yet. To be asked before the log is asked where it ends.
    pub(crate) fn unread_end(&self) -> Option<u64> {
        let wanted = self.ends_wanted.load(Ordering::SeqCst);
        (*self.ends_read.borrow() < wanted).then_some(wanted)
    }

    /// What stood in the log when this end was wanted has been taken in.
    pub(crate) fn end_was_read(&self, wanted: u64) {
        self.tail_is_unreadable.store(false, Ordering::Relaxed);
        self.ends_read.send_if_modified(|read| {
            let is_news = *read < wanted;
            *read = wanted.max(*read);
            is_news
        });
    }

    /// Takes in a call that was stored just now, or read just now as the log goes on.
    pub(crate) fn add(&self, call: RecentCall, now: Instant) {
        let mut table = self.table();
        table.add(call, Age::new(now));
        table.forget_above(self.calls_max);
    }

    /// Takes in the tail as it was found at the start, the records of each partition in their order. Then its end is read:
    /// [`end_was_read`](Self::end_was_read).
    pub(crate) fn add_tail(&self, mut calls: Vec<RecentCall>, wall: EventTime, now: Instant) {
        sort_by_distance_from_end(&mut calls);
        let newest = calls.iter().map(|call| call.at).max().unwrap_or(wall);
        let mut table = self.table();
        for call in calls {
            let by_wall = elapsed_between(call.at, wall);
            let by_newest = elapsed_between(call.at, newest);
            let disputed = ID_MEMORY <= by_wall && ID_MEMORY <= elapsed_between(newest, wall);
            let age = Age {
                counted_from: now,
                at_that_time: if disputed { by_newest } else { by_wall },
                disputed,
            };
            table.add(call, age);
        }
        table.forget_above(self.calls_max);
    }

    /// Where the log has a call, once that is known.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub(crate) async fn place_of(&self, id: EventId) -> RecordPosition {
        let mut place = self.table().subscribe_position(id);
        let found = place.wait_for(Option::is_some).await;
        match found.map(|place| *place) {
            Ok(Some(place)) => place,
            // A waiting channel is dropped only together with the table.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Where the log has a call, as far as is known now.
    pub(crate) fn known_place(&self, id: EventId) -> Option<RecordPosition> {
        self.table().calls.get(&id)?.call.place
    }

    /// Where a call is. Only its owner is told.
    pub(crate) fn find(&self, id: EventId, owner: &Owner) -> Option<Receipt> {
        let table = self.table();
        let known = table.calls.get(&id)?;
        (known.call.caller == Some(owner.tag(id))).then(|| known.call.receipt())
    }

    /// What to do with the call `id` under a key.
    pub(crate) fn key_use(&self, key: Tag, topic: Topic, id: EventId, now: Instant) -> KeyUse {
        let caught_up = self.is_caught_up();
        let table = self.table();
        if let Some(known) = table.calls.get(&id) {
            // The id is derived from the key and its owner, so this caller made the call.
            if known.seen.is_remembered(now) {
                return KeyUse::Repeated(known.call.receipt());
            }
        }
        // Two alerts under one key are two alerts (never silence a call); two accepts are a mistake worth telling.
        if topic == Topic::Alert || !caught_up {
            return KeyUse::New;
        }
        let others = table.keys.get(&key).map(Vec::as_slice);
        let stands_for_another = others.unwrap_or_default().iter().any(|other| {
            let seen = table.calls[other].seen;
            *other != id && !seen.disputed && seen.is_remembered(now)
        });
        if stands_for_another {
            KeyUse::Reused
        } else {
            KeyUse::New
        }
    }

    /// Whether a house's call for help, or the one that is named, is known to be live. `None`: the table is not caught up.
    pub(crate) fn has_live_call(
        &self,
        line: &Line,
        house: &House,
        alert_id: Option<EventId>,
        now: Instant,
    ) -> Option<bool> {
        if !self.is_caught_up() {
            return None;
        }
        let table = self.table();
        let newest = table.houses.get(&(line.clone(), house.clone())).copied();
        let alert = alert_id.or(newest).and_then(|id| table.calls.get(&id));
        Some(
            alert.is_some_and(|known| {
                known.call.topic == Topic::Alert && known.seen.at(now) < LIVE_FOR
            }),
        )
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder of this lock panics")
    }
}

impl Table {
    /// Of two records with one id, the one that stands first in the log counts.
    fn add(&mut self, call: RecentCall, seen: Age) {
        let id = call.id;
        if let Some(place) = call.place
            && let Some(waiting) = self.position_waiters.remove(&id)
        {
            waiting.send_replace(Some(place));
        }
        if let Some(known) = self.calls.get_mut(&id) {
            if !known.seen.is_remembered(seen.counted_from) {
                // A later repeat is a call of its own.
                known.seen = seen;
                known.call.place = None;
            }
            known.call.place = match (known.call.place, call.place) {
                (Some(known), Some(found)) => Some(known.min(found)),
                (known, found) => known.or(found),
            };
            known.call.caller = known.call.caller.or(call.caller);
            let new_key = if known.call.key.is_none() {
                call.key
            } else {
                None
            };
            known.call.key = known.call.key.or(new_key);
            known.call.house = known.call.house.take().or(call.house);
            let house = known.call.house.clone();
            self.index(id, new_key, house);
            return;
        }
        self.index(id, call.key, call.house.clone());
        self.order.push_back(id);
        self.calls.insert(id, KnownCall { call, seen });
    }

    fn index(&mut self, id: EventId, key: Option<Tag>, house: Option<(Line, House)>) {
        if let Some(key) = key {
            self.keys.entry(key).or_default().push(id);
        }
        if let Some(house) = house {
            self.houses.insert(house, id);
        }
    }

    fn subscribe_position(&mut self, id: EventId) -> watch::Receiver<Option<RecordPosition>> {
        let known = self.calls.get(&id).and_then(|known| known.call.place);
        if known.is_some() {
            return watch::Sender::new(known).subscribe();
        }
        // Channels without a receiver are dropped when the next one is made.
        self.position_waiters
            .retain(|_, waiting| 0 < waiting.receiver_count());
        let waiting = self.position_waiters.entry(id).or_default();
        waiting.subscribe()
    }

    fn forget_above(&mut self, calls_max: usize) {
        while calls_max < self.order.len() {
            let oldest = self.order.pop_front().expect("it is not empty");
            let KnownCall { call, .. } =
                self.calls.remove(&oldest).expect("it stands once in order");
            if let Some(key) = call.key
                && let Some(ids) = self.keys.get_mut(&key)
            {
                ids.retain(|id| *id != oldest);
                if ids.is_empty() {
                    self.keys.remove(&key);
                }
            }
            if let Some(house) = call.house
                && self.houses.get(&house) == Some(&oldest)
            {
                self.houses.remove(&house);
            }
        }
    }
}

/// The oldest is forgotten first, and the partitions were read one after the other: no old call of one may push out a late
/// one of another. By places, since the times of records are of many clocks.
fn sort_by_distance_from_end(calls: &mut [RecentCall]) {
    let mut ends: HashMap<(Topic, u32), u64> = HashMap::new();
    for place in calls.iter().filter_map(|call| call.place) {
        let end = ends.entry((place.topic, place.partition)).or_default();
        *end = place.offset.max(*end);
    }
    let distance = |place: RecordPosition| ends[&(place.topic, place.partition)] - place.offset;
    calls.sort_by_key(|call| Reverse(call.place.map_or(0, distance)));
}

/// The time from one moment to a later one, zero if it is not later.
fn elapsed_between(earlier: EventTime, later: EventTime) -> Duration {
    Duration::from_millis(u64::try_from(later.millis_since(earlier)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
