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
    AlertAccepted, DecodeError, Decoded, Event, EventId, EventTime, PARTITIONS, Place, RecordView,
    Recorded, Topic, decode,
    fold::{Added, Fold, ID_MEMORY, RankedAccept, Standing},
    partition_for,
};

use crate::{
    measure::{self, RecordOutcome},
    position::{Mark, Position},
    push::Push,
    shard::Read,
};

/// Records of one partition that are collected while catching up; the oldest are dropped, since the shards'
/// rings would not hold more.
const COLLECTED_MAX: usize = 100_000;

/// How often what is no longer needed is forgotten, in record time.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// What the events add up to so far.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    fold: Fold,
    positions: BTreeMap<u32, Position>,
    collected: BTreeMap<(Topic, u32), VecDeque<Taken>>,
    pruned_at: Option<EventTime>,
}

/// A record that was taken, and the event in it if it has a new one.
#[derive(Debug)]
struct Taken {
    place: Place,
    id: EventId,
    time: EventTime,
    event: Option<Recorded>,
}

impl Digest {
    /// Takes a record without saying anything about it yet.
    ///
    /// # Errors
    ///
    /// It is no event: it is passed over, and the caller should say so.
    pub(crate) fn collect(&mut self, record: &RecordView<'_>) -> Result<(), DecodeError> {
        let (taken, error) = self.take(record);
        let collected = self
            .collected
            .entry((taken.place.topic, taken.place.partition))
            .or_default();
        if collected.len() == COLLECTED_MAX {
            collected.pop_front();
        }
        collected.push_back(taken);
        error.map_or(Ok(()), Err)
    }

    /// What was collected, in the order of its times: each partition in its own order, the partitions merged.
    pub(crate) fn collected(&mut self) -> Vec<Read> {
        let mut queues = std::mem::take(&mut self.collected);
        let mut reads = Vec::new();
        while let Some(taken) = pop_earliest(&mut queues) {
            reads.push(self.read(taken));
        }
        reads
    }

    /// Takes a record and says what the shards are told.
    pub(crate) fn digest(&mut self, record: &RecordView<'_>) -> (Read, Option<DecodeError>) {
        let (taken, error) = self.take(record);
        self.prune(record.time);
        let corrected = taken
            .event
            .as_ref()
            .map(|recorded| self.accepts_read_before(recorded));
        let mut read = self.read(taken);
        read.corrected = corrected.unwrap_or_default();
        (read, error)
    }

    fn take(&mut self, record: &RecordView<'_>) -> (Taken, Option<DecodeError>) {
        let place = record.place;
        let taken = |id, event| Taken {
            place,
            id,
            time: record.time,
            event,
        };
        let nothing = || taken(EventId::Place(place), None);
        match decode(record) {
            Ok(Decoded::Event(recorded)) => {
                let id = recorded.event.id();
                let added = self.fold.add(&recorded);
                measure::record(place.topic, outcome(added));
                let is_new = matches!(added, Added::New | Added::TooOld);
                (taken(id, is_new.then_some(recorded)), None)
            }
            Ok(Decoded::UnknownType { .. }) => {
                measure::record(place.topic, RecordOutcome::UnknownType);
                (nothing(), None)
            }
            Err(error) => {
                measure::record(place.topic, RecordOutcome::Undecodable);
                (nothing(), Some(error))
            }
        }
    }

    fn read(&mut self, taken: Taken) -> Read {
        let Place {
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
        let push = taken.event.map(|recorded| Arc::new(self.encode(&recorded)));
        Read {
            topic,
            partition,
            mark,
            push,
            corrected: Vec::new(),
        }
    }

    fn encode(&self, recorded: &Recorded) -> Push {
        let line = recorded.event.line();
        let standing = match &recorded.event {
            Event::Raised(_) => Standing::default(),
            Event::Accepted(accept) => self.fold.standing(line, accept.id),
        };
        if recorded.place.topic == Topic::Accept && standing.alert_id.is_none() {
            measure::record(Topic::Accept, RecordOutcome::Orphan);
        }
        let partition = partition_for(line, PARTITIONS);
        let position = self
            .positions
            .get(&partition)
            .copied()
            .unwrap_or(Position::start(partition));
        Push::encode(recorded, standing, position)
    }

    /// The accepts of an alert that came before it. They were sent as they came; who was away is sent them with
    /// their alert and rank.
    fn accepts_read_before(&self, recorded: &Recorded) -> Vec<(Recorded, Standing)> {
        let Event::Raised(alert) = &recorded.event else {
            return Vec::new();
        };
        let accepts = self.fold.accepts(&alert.line, alert.id);
        let bound = |ranked: &RankedAccept<'_>| {
            let accept = AlertAccepted {
                id: ranked.accept.id,
                line: alert.line.clone(),
                responder: ranked.accept.responder.clone(),
                target: ranked.accept.target.clone(),
                alert_id: ranked.accept.alert_id,
                at: ranked.accept.at,
                status: ranked.accept.status,
                warnings: Vec::new(),
            };
            let (event, place) = (Event::Accepted(accept), ranked.accept.place);
            let standing = Standing {
                alert_id: Some(alert.id),
                rank: Some(ranked.rank),
            };
            (
                Recorded {
                    event,
                    place,
                    time: ranked.accept.recorded_at,
                },
                standing,
            )
        };
        accepts.iter().map(bound).collect()
    }

    /// By the records' own time: a gateway that catches up forgets nothing that it still needs.
    fn prune(&mut self, now: EventTime) {
        let since = self.pruned_at.get_or_insert(now);
        if since.plus(PRUNE_EVERY) <= now {
            *since = now;
            self.fold.prune(now.minus(ID_MEMORY));
        }
    }
}

fn outcome(added: Added) -> RecordOutcome {
    match added {
        Added::New | Added::TooOld => RecordOutcome::Event,
        Added::Again | Added::Duplicate => RecordOutcome::Duplicate,
    }
}

fn pop_earliest(queues: &mut BTreeMap<(Topic, u32), VecDeque<Taken>>) -> Option<Taken> {
    let fronts = queues
        .iter()
        .filter_map(|(key, queue)| Some((queue.front()?.time, *key)));
    let (_, key) = fronts.min()?;
    queues.get_mut(&key)?.pop_front()
}
