//! The frames of the last hours, by line: what a subscriber who was away is sent. One ring per shard; the frames
//! themselves are shared by all shards.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use event_model::{EventId, Line, RecordPosition, Recorded, Topic, fold::AcceptStatus};

use crate::{
    outbound_event::{Kind, OutboundEvent},
    position::{Mark, Position},
};

/// Frames of a resume. Beyond it the live alerts are sent instead: no resident reads a thousand.
pub(crate) const RESUME_MAX: usize = 1_000;
/// How far back a subscriber who says nothing of a position is told of live alerts.
pub(crate) const SNAPSHOT_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Records of a partition that are vouched for, 16 bytes each: frames are many times as large, so only records that
/// become no frames meet this bound.
const MARKS_MAX: usize = 500_000;

/// A ring bounded in bytes: the oldest goes first.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    bytes_max: usize,
    bytes: usize,
    /// In the order they were read.
    frames: VecDeque<Arc<OutboundEvent>>,
    lines: BTreeMap<Line, VecDeque<Arc<OutboundEvent>>>,
    partitions: BTreeMap<(Topic, u32), PartitionMarks>,
}

/// The records of one partition that the ring vouches for: all from `from` on.
#[derive(Debug)]
struct PartitionMarks {
    from: u64,
    marks: VecDeque<Mark>,
}

/// Why a resume is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// The log is not the one that the position is of.
    Epoch,
    /// The position is older than what is kept here.
    Trimmed,
    /// More than [`RESUME_MAX`] frames.
    TooMany,
    /// Not a position, or another line's.
    BadToken,
    /// The position names a record that was not read here yet.
    Behind,
}

impl ResumeError {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ResumeError::Epoch => "epoch",
            ResumeError::Trimmed => "trimmed",
            ResumeError::TooMany => "too-many",
            ResumeError::BadToken => "bad-token",
            ResumeError::Behind => "behind",
        }
    }
}

impl ReplayBuffer {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            frames: VecDeque::new(),
            lines: BTreeMap::new(),
            partitions: BTreeMap::new(),
        }
    }

    /// A record was read, whether or not it became a frame. Records of a partition come in order.
    pub(crate) fn read(&mut self, topic: Topic, partition: u32, mark: Mark) {
        let marks = self
            .partitions
            .entry((topic, partition))
            .or_insert_with(|| PartitionMarks {
                from: mark.offset,
                marks: VecDeque::new(),
            });
        marks.marks.push_back(mark);
        if MARKS_MAX < marks.marks.len() {
            marks.trim_to(marks.marks[0].offset + 1);
        }
    }

    /// Where a client stands that has all that was read of a partition.
    pub(crate) fn position(&self, partition: u32) -> Position {
        let mut position = Position::start(partition);
        for topic in Topic::ALL {
            let last = self
                .partitions
                .get(&(topic, partition))
                .and_then(|marks| marks.marks.back());
            position = last.map_or(position, |mark| position.with(topic, *mark));
        }
        position
    }

    /// A frame to remember.
    pub(crate) fn add(&mut self, event: Arc<OutboundEvent>) {
        self.bytes += event.bytes();
        self.lines
            .entry(event.line.clone())
            .or_default()
            .push_back(Arc::clone(&event));
        self.frames.push_back(event);
        while self.bytes_max < self.bytes {
            self.drop_oldest();
        }
    }

    /// More is known of an accept than when it was read: from now on it is replayed so.
    /// Whether it was told otherwise.
    pub(crate) fn correct(&mut self, recorded: &Recorded, accept_status: AcceptStatus) -> bool {
        let Some(frames) = self.lines.get_mut(recorded.event.line()) else {
            return false;
        };
        let Some(known) = frames
            .iter_mut()
            .find(|event| event.place == recorded.place)
        else {
            return false;
        };
        let is_other = known.accept_status != accept_status;
        if is_other {
            let (position, recency) = (known.position, known.recency);
            *known = Arc::new(OutboundEvent::encode(
                recorded,
                accept_status,
                position,
                recency,
            ));
        }
        is_other
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.frames.pop_front() else {
            return;
        };
        self.bytes -= oldest.bytes();
        if let Some(frames) = self.lines.get_mut(&oldest.line) {
            frames.pop_front();
            if frames.is_empty() {
                self.lines.remove(&oldest.line);
            }
        }
        let RecordPosition {
            topic,
            partition,
            offset,
        } = oldest.place;
        if let Some(marks) = self.partitions.get_mut(&(topic, partition)) {
            marks.trim_to(offset + 1);
        }
    }

    /// The alerts of a line that are wanted, and their accepts, in the order they were read.
    pub(crate) fn alerts(
        &self,
        line: &Line,
        wanted: impl Fn(&OutboundEvent) -> bool,
    ) -> Vec<Arc<OutboundEvent>> {
        let frames = self.lines.get(line);
        let mut alerts: Vec<EventId> = Vec::new();
        let mut live = Vec::new();
        let is_alert = |event: &&Arc<OutboundEvent>| event.kind == Kind::Alert && wanted(event);
        alerts.extend(
            frames
                .into_iter()
                .flatten()
                .filter(is_alert)
                .map(|event| event.id),
        );
        for event in frames.into_iter().flatten() {
            let wanted = match event.kind {
                Kind::Alert => alerts.contains(&event.id),
                Kind::Accept { alert_id } => alert_id.is_some_and(|id| alerts.contains(&id)),
            };
            if wanted {
                live.push(Arc::clone(event));
            }
        }
        live
    }

    /// What a line has heard since `position`, in the order it was read: that is nearly the order of time, and with what the
    /// client had at `position` the position of each frame is true whenever the client is cut off.
    pub(crate) fn since(
        &self,
        line: &Line,
        partition: u32,
        position: &Position,
    ) -> Result<Vec<Arc<OutboundEvent>>, ResumeError> {
        if position.partition != partition {
            return Err(ResumeError::BadToken);
        }
        for topic in Topic::ALL {
            self.check(topic, partition, position.mark(topic))?;
        }
        // Records of the original system may stand in any partition: the position says nothing about those elsewhere.
        let is_missed = |event: &&Arc<OutboundEvent>| {
            event.place.partition != partition
                || !position.covers(event.place.topic, event.place.offset)
        };
        let missed: Vec<_> = self
            .lines
            .get(line)
            .into_iter()
            .flatten()
            .filter(is_missed)
            .cloned()
            .collect();
        if RESUME_MAX < missed.len() {
            return Err(ResumeError::TooMany);
        }
        Ok(missed)
    }

    /// Whether all that came after `mark` is here.
    fn check(&self, topic: Topic, partition: u32, mark: Option<Mark>) -> Result<(), ResumeError> {
        let known = self.partitions.get(&(topic, partition));
        match (known, mark) {
            (None, Some(_)) => Err(ResumeError::Behind),
            (None, None) => Ok(()),
            (Some(known), None) if known.from == 0 => Ok(()),
            (Some(_), None) => Err(ResumeError::Trimmed),
            (Some(known), Some(mark)) => known.check(mark),
        }
    }
}

impl PartitionMarks {
    fn trim_to(&mut self, from: u64) {
        self.from = self.from.max(from);
        while self
            .marks
            .front()
            .is_some_and(|mark| mark.offset < self.from)
        {
            self.marks.pop_front();
        }
    }

    fn check(&self, mark: Mark) -> Result<(), ResumeError> {
        if mark.offset < self.from {
            // The record itself is not needed, only all that follow it.
            return if mark.offset + 1 == self.from {
                Ok(())
            } else {
                Err(ResumeError::Trimmed)
            };
        }
        let next = self.marks.back().map_or(self.from, |last| last.offset + 1);
        if next <= mark.offset {
            return Err(ResumeError::Behind);
        }
        let found = self
            .marks
            .binary_search_by_key(&mark.offset, |known| known.offset);
        let known = found
            .map(|at| self.marks[at])
            .map_err(|_| ResumeError::Epoch)?;
        if known == mark {
            Ok(())
        } else {
            Err(ResumeError::Epoch)
        }
    }
}

#[cfg(test)]
mod tests {
    use event_model::{Event, RecordView, SpringTypes, fold::Fold};

    use super::*;
    use crate::feed::{EventProjector, Moment};

    /// The histories that event-model's fold is compared with its copies by, each event of them twice.
    fn histories() -> Vec<Vec<Event>> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/event-model/tests/bindings.jsonl"
        );
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(history).collect()
    }

    fn history(text: &str) -> Vec<Event> {
        let history: serde_json::Value = serde_json::from_str(text).unwrap();
        let events = history["events"].as_array().unwrap().iter();
        events.map(event).collect()
    }

    fn event(written: &serde_json::Value) -> Event {
        let text = |name: &str| written[name].as_str().unwrap();
        let name = |name| event_model::House::new(text(name)).unwrap();
        let (id, at) = (text("id").parse().unwrap(), text("at").parse().unwrap());
        let line = Line::new("demo").unwrap();
        let status = event_model::Status::Actual;
        if text("type") == "alert" {
            return Event::Raised(event_model::AlertRaised {
                id,
                line,
                house: name("house"),
                text: event_model::Text::new("").0,
                position: None,
                at,
                status,
                warnings: vec![],
            });
        }
        Event::Accepted(event_model::AlertAccepted {
            seen: None,
            id,
            line,
            responder: name("accept"),
            target: name("target"),
            alert_id: written["alertId"].as_str().map(|id| id.parse().unwrap()),
            at,
            status,
            warnings: vec![],
        })
    }

    #[test]
    fn a_replay_tells_every_accept_as_the_whole_log_has_it_whatever_was_read_first() {
        let mut told_otherwise = 0;
        for (number, events) in histories().into_iter().enumerate() {
            let (mut projector, mut replay_buffer) =
                (EventProjector::default(), ReplayBuffer::new(1 << 20));
            let mut fold = Fold::new();
            let mut offsets = BTreeMap::new();
            for event in &events {
                let record = event_model::encode(event, SpringTypes::Omitted, None);
                let offset: &mut u64 = offsets.entry(record.topic).or_default();
                let place = RecordPosition {
                    topic: record.topic,
                    partition: 0,
                    offset: *offset,
                };
                *offset += 1;
                let headers: Vec<(&str, &[u8])> = record
                    .headers
                    .iter()
                    .map(|(name, value)| (*name, &value[..]))
                    .collect();
                let now = Moment {
                    elapsed: Duration::ZERO,
                    wall: event.at(),
                };
                let view = RecordView {
                    place,
                    time: record.timestamp,
                    headers: &headers,
                    value: Some(&record.value),
                };
                let (read, _) = projector.project(&view, now);
                let told = read.event.as_ref().map(|event| event.accept_status);
                fold.add(&Recorded {
                    event: event.clone(),
                    place,
                    time: record.timestamp,
                });
                if matches!(event, Event::Accepted(_)) {
                    let accept_status = fold.accept_status(event.line(), event.id());
                    assert_eq!(told, Some(accept_status), "live, history {number}");
                }
                replay_buffer.read(read.topic, read.partition, read.mark);
                if let Some(event) = read.event {
                    replay_buffer.add(event);
                }
                for (recorded, accept_status) in &read.corrected {
                    told_otherwise += usize::from(replay_buffer.correct(recorded, *accept_status));
                }
            }
            for event in replay_buffer.lines.values().flatten() {
                let accept_status = fold.accept_status(&event.line, event.id);
                assert_eq!(
                    event.accept_status, accept_status,
                    "history {number}: {}",
                    event.id
                );
            }
        }
        assert!(
            10 < told_otherwise,
            "the histories hold accepts read too early"
        );
    }
}
