//! The frames of the last hours, by line: what a subscriber who was away is sent. One ring per shard; the frames
//! themselves are shared by all shards.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use event_model::{EventId, EventTime, Line, Place, Recorded, Topic, fold::Standing};

use crate::{
    position::{Mark, Position},
    push::{Kind, Push},
};

/// Frames of a resume. Beyond it the live alerts are sent instead: nobody reads a thousand.
pub(crate) const RESUME_MAX: usize = 1_000;
/// How far back a subscriber who says nothing of a position is told of live alerts.
pub(crate) const SNAPSHOT_WINDOW: Duration = Duration::from_secs(10 * 60);

/// Records of a partition that are vouched for, 16 bytes each: frames are many times as large, so only records that
/// become no frames meet this bound.
const MARKS_MAX: usize = 500_000;

/// A ring bounded in bytes: the oldest goes first.
#[derive(Debug)]
pub(crate) struct Recent {
    bytes_max: usize,
    bytes: usize,
    /// In the order they were read.
    frames: VecDeque<Arc<Push>>,
    lines: BTreeMap<Line, VecDeque<Arc<Push>>>,
    partitions: BTreeMap<(Topic, u32), Marks>,
}

/// The records of one partition that the ring vouches for: all from `from` on.
#[derive(Debug)]
struct Marks {
    from: u64,
    marks: VecDeque<Mark>,
}

/// Why a resume is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRecovered {
    /// The log is not the one that the position is of.
    Epoch,
    /// The position is older than what is kept here.
    Trimmed,
    /// More than [`RESUME_MAX`] frames.
    TooMany,
    /// Not a position, or another line's.
    BadToken,
}

impl NotRecovered {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            NotRecovered::Epoch => "epoch",
            NotRecovered::Trimmed => "trimmed",
            NotRecovered::TooMany => "too-many",
            NotRecovered::BadToken => "bad-token",
        }
    }
}

impl Recent {
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
            .or_insert_with(|| Marks {
                from: mark.offset,
                marks: VecDeque::new(),
            });
        marks.marks.push_back(mark);
        if MARKS_MAX < marks.marks.len() {
            marks.trim_to(marks.marks[0].offset + 1);
        }
    }

    /// Where somebody stands who has all that was read of a partition.
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
    pub(crate) fn add(&mut self, push: Arc<Push>) {
        self.bytes += push.bytes();
        self.lines
            .entry(push.line.clone())
            .or_default()
            .push_back(Arc::clone(&push));
        self.frames.push_back(push);
        while self.bytes_max < self.bytes {
            self.drop_oldest();
        }
    }

    /// More is known of an accept than when it was read: from now on it is replayed so.
    pub(crate) fn correct(&mut self, recorded: &Recorded, standing: Standing) {
        let Some(frames) = self.lines.get_mut(recorded.event.line()) else {
            return;
        };
        let Some(known) = frames.iter_mut().find(|push| push.place == recorded.place) else {
            return;
        };
        *known = Arc::new(Push::encode(recorded, standing, known.position));
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
        let Place {
            topic,
            partition,
            offset,
        } = oldest.place;
        if let Some(marks) = self.partitions.get_mut(&(topic, partition)) {
            marks.trim_to(offset + 1);
        }
    }

    /// The alerts of a line raised since `since`, and their accepts, in the order they were read.
    pub(crate) fn live_alerts(&self, line: &Line, since: EventTime) -> Vec<Arc<Push>> {
        let frames = self.lines.get(line);
        let mut alerts: Vec<EventId> = Vec::new();
        let mut live = Vec::new();
        let is_alert = |push: &&Arc<Push>| push.kind == Kind::Alert && since <= push.at;
        alerts.extend(
            frames
                .into_iter()
                .flatten()
                .filter(is_alert)
                .map(|push| push.id),
        );
        for push in frames.into_iter().flatten() {
            let wanted = match push.kind {
                Kind::Alert => alerts.contains(&push.id),
                Kind::Accept { alert_id } => alert_id.is_some_and(|id| alerts.contains(&id)),
            };
            if wanted {
                live.push(Arc::clone(push));
            }
        }
        live
    }

    /// What a line has heard since `position`, in the order it was read: that is nearly the order of time, and the
    /// position of each frame is true whenever the client is cut off.
    pub(crate) fn since(
        &self,
        line: &Line,
        partition: u32,
        position: &Position,
    ) -> Result<Vec<Arc<Push>>, NotRecovered> {
        if position.partition != partition {
            return Err(NotRecovered::BadToken);
        }
        for topic in Topic::ALL {
            self.check(topic, partition, position.mark(topic))?;
        }
        // Records of the original system may stand in any partition: the position says nothing about those elsewhere.
        let is_missed = |push: &&Arc<Push>| {
            push.place.partition != partition
                || !position.covers(push.place.topic, push.place.offset)
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
            return Err(NotRecovered::TooMany);
        }
        Ok(missed)
    }

    /// Whether all that came after `mark` is here.
    fn check(&self, topic: Topic, partition: u32, mark: Option<Mark>) -> Result<(), NotRecovered> {
        let known = self.partitions.get(&(topic, partition));
        match (known, mark) {
            // Nothing was ever read: a position that names a record is of another log.
            (None, Some(_)) => Err(NotRecovered::Epoch),
            (None, None) => Ok(()),
            (Some(known), None) if known.from == 0 => Ok(()),
            (Some(_), None) => Err(NotRecovered::Trimmed),
            (Some(known), Some(mark)) => known.check(mark),
        }
    }
}

impl Marks {
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

    fn check(&self, mark: Mark) -> Result<(), NotRecovered> {
        if mark.offset < self.from {
            // The record itself is not needed, only all that follow it.
            return if mark.offset + 1 == self.from {
                Ok(())
            } else {
                Err(NotRecovered::Trimmed)
            };
        }
        let found = self
            .marks
            .binary_search_by_key(&mark.offset, |known| known.offset);
        let known = found
            .map(|at| self.marks[at])
            .map_err(|_| NotRecovered::Epoch)?;
        if known == mark {
            Ok(())
        } else {
            Err(NotRecovered::Epoch)
        }
    }
}
