//! What records mean: decoded, told apart from repeats, bound to their alerts, encoded once. Decides only.
//!
//! While the gateway catches up, records are only collected: the topics are read side by side, so an accept may be
//! read long before its alert, and its rank is known only when both are there. Then they are encoded in the
//! order of their times, and from there on each as it comes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use event_model::{
    AlertAccepted, DecodeError, Decoded, Event, EventId, EventTime, Line, PARTITIONS,
    RecordPosition, RecordView, Recorded, Topic, decode,
    fold::{
        AcceptStatus, Added, Alert, Fold, ID_MEMORY, LIVE_FOR, RankedAccept, correct_times_ahead,
    },
    partition_for,
};

use crate::{
    event_clock,
    metrics::{self, RecordOutcome},
    outbound_event::{OutboundEvent, Recency},
    position::{Mark, Position},
    shard::ReadRecord,
};

/// Records of one partition that are collected while catching up; the oldest are dropped, since the shards'
/// rings would not hold more.
const COLLECTED_MAX: usize = 100_000;

/// The last records of each partition that are asked for the time.
const VOUCHING: usize = 3;

/// How often what is no longer needed is forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// What the events add up to so far.
#[derive(Debug, Default)]
pub(crate) struct EventProjector {
    fold: Fold,
    positions: BTreeMap<u32, Position>,
    collected: BTreeMap<(Topic, u32), VecDeque<CollectedRecord>>,
    /// A moment that is past, and when that was known, since the gateway's start.
    known: Option<(EventTime, Duration)>,
    /// The times of the last records.
    last_times: VecDeque<EventTime>,
    pruned_at: Duration,
}

/// Now, by both clocks of this gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since the start: it only grows.
    pub(crate) elapsed: Duration,
    /// The wall's, which may be wrong.
    pub(crate) wall: EventTime,
}

/// A record that was read, and the event in it if it has one.
#[derive(Debug)]
struct CollectedRecord {
    place: RecordPosition,
    id: EventId,
    /// When it was written, as far as its own time can be believed.
    time: EventTime,
    event: Option<Recorded>,
}

impl EventProjector {
    /// Takes a record without saying anything about it yet.
    ///
    /// # Errors
    ///
    /// It is no event: it is passed over, and the caller should say so.
    pub(crate) fn collect(&mut self, record: &RecordView<'_>) -> Result<(), DecodeError> {
        let (taken, error) = take(record);
        let collected = self
            .collected
            .entry((taken.place.topic, taken.place.partition))
            .or_default();
        collected.push_back(taken);
        let dropped = (COLLECTED_MAX < collected.len()).then(|| collected.pop_front());
        if let Some(mut dropped) = dropped.flatten() {
            self.learn(&mut dropped);
        }
        error.map_or(Ok(()), Err)
    }

    /// What was collected, in the order of its times: each partition in its own order, the partitions merged. And the
    /// latest moment that enough of the records vouch for.
    pub(crate) fn collected(&mut self, now: Moment) -> (Vec<ReadRecord>, Option<EventTime>) {
        let newest = self.newest_collected();
        self.known = newest.map(|newest| (newest, now.elapsed));
        let mut queues = std::mem::take(&mut self.collected);
        queues.values_mut().for_each(believe_the_order);
        for taken in queues.values_mut().flatten() {
            self.learn(taken);
        }
        let mut reads = Vec::new();
        while let Some(taken) = pop_earliest(&mut queues) {
            let recency = Recency::Before(taken.time);
            reads.push(self.read(taken, recency));
        }
        (reads, newest)
    }

    /// The latest moment that enough of the collected records vouch for.
    pub(crate) fn newest_collected(&self) -> Option<EventTime> {
        let last_ones = self.collected.values().flat_map(|queue| {
            let mut times: Vec<EventTime> = queue.iter().map(|taken| taken.time).collect();
            correct_times_ahead(&mut times);
            times.into_iter().rev().take(VOUCHING)
        });
        event_clock::vouched_for(last_ones.collect())
    }

    /// Whether the collected records of a partition reach back to `since`.
    pub(crate) fn reaches_back(&self, topic: Topic, partition: u32, since: EventTime) -> bool {
        let first = self
            .collected
            .get(&(topic, partition))
            .and_then(VecDeque::front);
        first.is_some_and(|first| first.time < since)
    }

    /// Takes a record that came now and says what the shards are told.
    pub(crate) fn project(
        &mut self,
        record: &RecordView<'_>,
        now: Moment,
    ) -> (ReadRecord, Option<DecodeError>) {
        let (mut taken, error) = take(record);
        taken.time = self.believable(record.time, now);
        self.learn(&mut taken);
        self.prune(now);
        let corrected = taken
            .event
            .as_ref()
            .map(|recorded| self.accepts_beside(recorded));
        let mut read = self.read(taken, Recency::Live(now.elapsed));
        read.corrected = corrected.unwrap_or_default();
        (read, error)
    }

    /// The fold learns of an event, at the time that is believed. One that it knows is none any more.
    fn learn(&mut self, taken: &mut CollectedRecord) {
        let Some(recorded) = &taken.event else { return };
        let mut believed = recorded.clone();
        believed.time = taken.time;
        if taken.time.plus(LIVE_FOR) < recorded.event.at() {
            believed.event.set_at(taken.time);
        }
        let added = self.fold.add(&believed);
        metrics::record(taken.place.topic, outcome(added));
        if matches!(added, Added::Again | Added::Duplicate) {
            taken.event = None;
        }
    }

    /// A record that comes now was not written long ago, nor will it be: one that says so was stamped by a wrong clock.
    fn believable(&mut self, time: EventTime, now: Moment) -> EventTime {
        self.hear_witness(time, now);
        let latest = self.present(now).max(now.wall);
        let earliest = self.present(now).minus(LIVE_FOR);
        if latest.plus(LIVE_FOR) < time {
            latest
        } else if time < earliest {
            self.present(now)
        } else {
            time
        }
    }

    /// Neither records nor this gateway's clock move the present forward without the other.
    fn hear_witness(&mut self, time: EventTime, now: Moment) {
        self.last_times.push_back(time);
        if self.last_times.len() <= VOUCHING {
            return;
        }
        self.last_times.pop_front();
        let last_times = self.last_times.iter().copied().collect();
        let vouched = event_clock::vouched_for(last_times).unwrap_or_default();
        let present = vouched.min(now.wall);
        if self.present(now) < present {
            self.known = Some((present, now.elapsed));
        }
    }

    /// No later than now: a moment that records vouched for, and the time since then.
    fn present(&self, now: Moment) -> EventTime {
        self.known.map_or(EventTime::MIN, |(moment, then)| {
            moment.plus(now.elapsed.saturating_sub(then))
        })
    }

    fn read(&mut self, taken: CollectedRecord, recency: Recency) -> ReadRecord {
        let RecordPosition {
            topic,
            partition,
            offset,
        } = taken.place;
        let mark = Mark::new(offset, taken.id);
        let position = self
            .positions
            .entry(partition)
            .or_insert_with(|| Position::start(partition));
        *position = position.with(topic, mark);
        let event = taken
            .event
            .map(|recorded| Arc::new(self.encode(&recorded, recency)));
        ReadRecord {
            topic,
            partition,
            mark,
            event,
            corrected: Vec::new(),
        }
    }

    fn encode(&self, recorded: &Recorded, recency: Recency) -> OutboundEvent {
        let line = recorded.event.line();
        let accept_status = match &recorded.event {
            Event::Raised(_) | Event::Life(_) => AcceptStatus::default(),
            Event::Accepted(accept) => self.fold.accept_status(line, accept.id),
        };
        if recorded.place.topic == Topic::Accept && accept_status.alert_id.is_none() {
            metrics::record(Topic::Accept, RecordOutcome::Orphan);
        }
        let partition = partition_for(line, PARTITIONS);
        let position = self
            .positions
            .get(&partition)
            .copied()
            .unwrap_or(Position::start(partition));
        OutboundEvent::encode(recorded, accept_status, position, recency)
    }

    /// The accepts that an alert may have changed: those that came before it, and those of the alerts that it may have
    /// taken accepts from. They were sent as they came; who was away is sent them with their alert and rank.
    fn accepts_beside(&self, recorded: &Recorded) -> Vec<(Recorded, AcceptStatus)> {
        let Event::Raised(raised) = &recorded.event else {
            return Vec::new();
        };
        let beside = self.fold.alerts_beside(&raised.line, raised.id);
        beside
            .into_iter()
            .flat_map(|alert| self.accepts_of(&raised.line, alert))
            .collect()
    }

    fn accepts_of(&self, line: &Line, alert: &Alert) -> Vec<(Recorded, AcceptStatus)> {
        let accepts = self.fold.accepts(line, alert.id);
        let bound = |ranked: &RankedAccept<'_>| {
            let accept = AlertAccepted {
                id: ranked.accept.id,
                line: line.clone(),
                responder: ranked.accept.responder.clone(),
                target: ranked.accept.target.clone(),
                alert_id: ranked.accept.alert_id,
                at: ranked.accept.at,
                seen: ranked.accept.seen,
                status: ranked.accept.status,
                warnings: Vec::new(),
            };
            let (event, place) = (Event::Accepted(accept), ranked.accept.place);
            let accept_status = AcceptStatus {
                alert_id: Some(alert.id),
                rank: Some(ranked.rank),
            };
            (
                Recorded {
                    event,
                    place,
                    time: ranked.accept.recorded_at,
                },
                accept_status,
            )
        };
        accepts.iter().map(bound).collect()
    }

    /// No single record, and no clock alone, makes this gateway forget.
    fn prune(&mut self, now: Moment) {
        if self.pruned_at + PRUNE_EVERY <= now.elapsed {
            self.pruned_at = now.elapsed;
            self.fold.prune(self.present(now).minus(ID_MEMORY));
        }
    }
}

fn take(record: &RecordView<'_>) -> (CollectedRecord, Option<DecodeError>) {
    let place = record.place;
    let taken = |id, event| CollectedRecord {
        place,
        id,
        time: record.time,
        event,
    };
    let nothing = || taken(EventId::Record(place), None);
    match decode(record) {
        Ok(Decoded::Event(recorded)) => (taken(recorded.event.id(), Some(recorded)), None),
        Ok(Decoded::UnknownType { .. }) => {
            metrics::record(place.topic, RecordOutcome::UnknownType);
            (nothing(), None)
        }
        Err(error) => {
            metrics::record(place.topic, RecordOutcome::Undecodable);
            (nothing(), Some(error))
        }
    }
}

fn outcome(added: Added) -> RecordOutcome {
    match added {
        Added::New | Added::TooOld => RecordOutcome::Event,
        Added::Again | Added::Duplicate => RecordOutcome::Duplicate,
    }
}

/// A record was written no earlier than the one before it, whatever its own time says, and not years after it.
fn believe_the_order(queue: &mut VecDeque<CollectedRecord>) {
    let mut times: Vec<EventTime> = queue.iter().map(|taken| taken.time).collect();
    correct_times_ahead(&mut times);
    let mut latest = EventTime::MIN;
    for (taken, time) in queue.iter_mut().zip(times) {
        latest = latest.max(time);
        taken.time = latest;
    }
}

fn pop_earliest(
    queues: &mut BTreeMap<(Topic, u32), VecDeque<CollectedRecord>>,
) -> Option<CollectedRecord> {
    let fronts = queues
        .iter()
        .filter_map(|(key, queue)| Some((queue.front()?.time, *key)));
    let (_, key) = fronts.min()?;
    queues.get_mut(&key)?.pop_front()
}
