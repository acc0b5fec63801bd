//! What the events of a line add up to: which alerts are live, who accepted which, in which order, and what became of each call.
//!
//! A [`Fold`] is a set of events and nothing else; every answer is computed from that set when it is asked for. So the
//! order in which the three topics are read does not matter, nor how often a record is read. The laws, kept by property tests:
//!
//! - *Commutative and idempotent*: after the same records, in any order and any repetition, two folds are equal.
//! - *One event per id*: of several records with one id the one that stands first in the log (its [`RecordPosition`]) counts, the
//!   others are duplicates. Ids are looked up within a line.
//! - *Pruning is forgetting*: [`Fold::prune`] removes every record older (by record time) than a horizon, and the fold takes none
//!   of that age afterwards. A pruned fold equals one that only ever saw the younger records. Answers about an alert stay
//!   what they were as long as the horizon is at least [`ID_MEMORY`] behind the alert: that is longer than an alert lives.
//! - *Lives move no binding*: which alert an accept belongs to, and its rank, are what they would be without a life event.
//!
//! What became of a call is asked of its [`Call`], which costs as much as there are events of that one alert; taking a record costs a
//! few look-ups. A life event that does not count (its alert, accept or arrival may still be read) is kept and changes nothing.
//!
//! Memory: some 400 bytes a record within the horizon, and of a life event its texts. Who prunes is bounded by a day's records; who does not, by the log.

mod call;
#[cfg(test)]
mod laws;
mod ledger;
mod planted;
mod spells;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ledger::{Entry, Ledger};
use planted::{Mistake, is_planted};

pub use call::{
    Call, CorrectedDetails, Gone, Phase, Progress, Responder, ResponderState, SPARED_WITHIN,
    UNDO_WITHIN,
};
pub use spells::Spell;

use crate::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, LifeEvent, Line, RecordPosition,
    Recorded, Seen, Status,
};

/// How long an alert lives if nothing ends it earlier.
pub const LIVE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How far an accept's clock may be behind its alert's, where the accept names only the house and no alert of that house
/// had been raised by then.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

/// For how long (in record time) the ids of records are remembered: an hour longer than an alert lives.
pub const ID_MEMORY: Duration = Duration::from_secs(25 * 60 * 60);

/// Sets right what the log itself refutes of the timestamps of one partition's records, which come in the log's order: a
/// record that is more than [`LIVE_FOR`] ahead of every later one was stamped by a clock that was wrong, and counts as
/// written when the next one was. Nothing refutes the last record.
pub fn correct_times_ahead(times: &mut [EventTime]) {
    let mut later: Option<(EventTime, EventTime)> = None;
    for time in times.iter_mut().rev() {
        if let Some((next, latest)) = later
            && latest.plus(LIVE_FOR) < *time
        {
            *time = next;
        }
        let latest = later.map_or(*time, |(_, latest)| latest.max(*time));
        later = Some((*time, latest));
    }
}

/// What the fold keeps of an [`AlertRaised`]: neither its text nor its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The event's id.
    pub id: EventId,
    /// The house that calls.
    pub house: House,
    /// When it was raised.
    pub at: EventTime,
    /// Real or not.
    pub status: Status,
    /// The record that counts.
    pub place: RecordPosition,
    /// That record's timestamp.
    pub recorded_at: EventTime,
}

impl Alert {
    /// Under [`LIVE_FOR`] old at `now`, accepted or not, ended or not. One from the future (a clock is off) is live.
    pub fn is_live(&self, now: EventTime) -> bool {
        now.millis_since(self.at) < millis(LIVE_FOR)
    }

    fn age_key(&self) -> AgeKey {
        (self.house.clone(), self.at, self.place, self.id)
    }
}

/// What the fold keeps of an [`AlertAccepted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The event's id.
    pub id: EventId,
    /// The house that accepts.
    pub responder: House,
    /// The house whose alert is accepted.
    pub target: House,
    /// The alert, where the accept names it.
    pub alert_id: Option<EventId>,
    /// When it was accepted.
    pub at: EventTime,
    /// What the responder knew of the lives of the line's calls.
    pub seen: Option<Seen>,
    /// Real or not.
    pub status: Status,
    /// The record that counts.
    pub place: RecordPosition,
    /// That record's timestamp.
    pub recorded_at: EventTime,
}

/// A life event as the fold keeps it: as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedLife {
    /// The event.
    pub event: Arc<LifeEvent>,
    /// The record that counts.
    pub place: RecordPosition,
    /// That record's timestamp.
    pub recorded_at: EventTime,
}

/// An accept, and its responder's position among the distinct houses that accepted the same alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankedAccept<'a> {
    /// The accept, as the fold keeps it.
    pub accept: &'a Accept,
    /// 1 for the primary responder. A house that accepts again keeps its rank.
    pub rank: u32,
}

/// What is known of an accept at the moment it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptStatus {
    /// The alert it belongs to: named by the client, or bound by the target house. `None`: an orphan, at least so far.
    pub alert_id: Option<EventId>,
    /// `None` as long as the alert itself was not seen.
    pub rank: Option<u32>,
}

/// What became of a record that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// An event that was not known.
    New,
    /// The very record was read before.
    Again,
    /// Another record with the same id is known.
    Duplicate,
    /// Older than the horizon: not taken.
    TooOld,
}

/// What became of a record that was added, and of the life events that waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// What became of the record.
    pub added: Added,
    /// The life events, read before it, that count since then.
    pub now_counted: Vec<EventId>,
}

/// How many records were not taken for events of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// Records with the id of one that is at most [`ID_MEMORY`] older: a producer's or a client's second try.
    pub duplicates: u64,
    /// Records with the id of one that is older still: nobody retries for so long, something is wrong.
    pub late: u64,
}

/// The set of events of all lines, and the questions that can be asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    lines: BTreeMap<Line, LineEvents>,
    horizon: EventTime,
}

impl Fold {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record, in any order.
    pub fn add(&mut self, recorded: &Recorded) -> Added {
        if recorded.time < self.horizon {
            return Added::TooOld;
        }
        let line = self.lines.entry(recorded.event.line().clone()).or_default();
        match &recorded.event {
            Event::Raised(alert) => line.add_alert(Alert::of(alert, recorded)),
            Event::Accepted(accept) => line.add_accept(Accept::of(accept, recorded)),
            Event::Life(event) => line.add_life(RecordedLife {
                event: Arc::clone(event),
                place: recorded.place,
                recorded_at: recorded.time,
            }),
        }
    }

    /// Takes a record as [`Self::add`] does, and tells which other life events count now that did not before, in the order of
    /// the log: those that were read before the alert, accept or arrival which they needed.
    pub fn apply(&mut self, recorded: &Recorded) -> ApplyOutcome {
        let line = recorded.event.line();
        let has_life = |fold: &Self| {
            let line = fold.lines.get(line);
            line.is_some_and(|line| !line.life_by_alert.is_empty())
        };
        if !has_life(self) {
            return ApplyOutcome {
                added: self.add(recorded),
                now_counted: Vec::new(),
            };
        }
        let calls = self.calls_touched(recorded);
        let before = self.counted(line, &calls);
        let added = self.add(recorded);
        let mut now_counted = self.counted(line, &calls);
        now_counted.retain(|life| !before.contains(life) && life.1 != recorded.event.id());
        ApplyOutcome {
            added,
            now_counted: now_counted.into_iter().map(|(_, id)| id).collect(),
        }
    }

    /// The alerts whose life events may count otherwise once the record is taken.
    fn calls_touched(&self, recorded: &Recorded) -> BTreeSet<EventId> {
        let Some(line) = self.lines.get(recorded.event.line()) else {
            return BTreeSet::new();
        };
        match &recorded.event {
            Event::Raised(alert) => line.alerts_about(&Alert::of(alert, recorded)),
            Event::Accepted(accept) => {
                let accept = Accept::of(accept, recorded);
                let known = line.accepts.get(accept.id);
                let accepts = known.into_iter().chain([&accept]);
                accepts
                    .filter_map(|accept| line.meant(accept))
                    .map(|alert| alert.id)
                    .collect()
            }
            Event::Life(event) => {
                let known = line.life.get(event.id).map(|known| known.event.alert_id);
                known.into_iter().chain([event.alert_id]).collect()
            }
        }
    }

    fn counted(
        &self,
        line: &Line,
        alert_ids: &BTreeSet<EventId>,
    ) -> BTreeSet<(RecordPosition, EventId)> {
        let Some(events) = self.lines.get(line) else {
            return BTreeSet::new();
        };
        let with_life = alert_ids
            .iter()
            .filter(|id| events.life_of(**id).next().is_some());
        let calls = with_life.filter_map(|id| self.call(line, *id));
        let life = calls.flat_map(|call| call.life().collect::<Vec<_>>());
        let counted = life.filter(|(_, counts)| *counts);
        counted
            .map(|(life, _)| (life.place, life.event.id))
            .collect()
    }

    /// Forgets every record whose timestamp is before `horizon`, for good: [`ID_MEMORY`] before now is the latest that
    /// changes no answer about a live alert. Walks everything once, so it is for every few minutes, not for every record.
    pub fn prune(&mut self, horizon: EventTime) {
        if horizon <= self.horizon {
            return;
        }
        self.horizon = horizon;
        for line in self.lines.values_mut() {
            line.prune(horizon);
        }
        self.lines.retain(|_, line| !line.is_empty());
    }

    /// Every line with an event, in order.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.keys()
    }

    /// How many distinct events are held.
    pub fn len(&self) -> usize {
        self.lines.values().map(LineEvents::len).sum()
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The alert of that id.
    pub fn alert(&self, line: &Line, id: EventId) -> Option<&Alert> {
        self.lines.get(line)?.alerts.get(id)
    }

    /// All alerts of a line, by time.
    pub fn alerts(&self, line: &Line) -> Vec<&Alert> {
        let mut alerts: Vec<&Alert> = self
            .lines
            .get(line)
            .into_iter()
            .flat_map(|line| line.alerts.iter())
            .collect();
        alerts.sort_by_key(|alert| (alert.at, alert.place));
        alerts
    }

    /// The alerts of a line that are live at `now`, by time: under a day old and not ended.
    pub fn live(&self, line: &Line, now: EventTime) -> Vec<&Alert> {
        let mut alerts = self.alerts(line);
        alerts.retain(|alert| alert.is_live(now) && !self.has_ended(line, alert.id));
        alerts
    }

    /// Does an end of the alert stand?
    pub fn has_ended(&self, line: &Line, alert_id: EventId) -> bool {
        let has_life = |events: &LineEvents| events.life_of(alert_id).next().is_some();
        self.lines.get(line).is_some_and(has_life)
            && self
                .call(line, alert_id)
                .is_some_and(|call| call.ended().is_some())
    }

    /// An alert, and those of the same house that came just before and just after it: the only ones whose accepts can be
    /// others' than before the alert was known. Empty if it is not known.
    pub fn alerts_beside(&self, line: &Line, id: EventId) -> Vec<&Alert> {
        let Some(line) = self.lines.get(line) else {
            return Vec::new();
        };
        let Some(alert) = line.alerts.get(id) else {
            return Vec::new();
        };
        let (before, after) = line.neighbours(&alert.age_key());
        let neighbours = [before, Some(id), after].into_iter().flatten();
        neighbours.filter_map(|id| line.alerts.get(id)).collect()
    }

    /// The accepts of an alert with their ranks, in the order of the log. Empty if the alert is not known.
    pub fn accepts(&self, line: &Line, alert_id: EventId) -> Vec<RankedAccept<'_>> {
        let Some(line) = self.lines.get(line) else {
            return Vec::new();
        };
        line.alerts
            .get(alert_id)
            .map(|alert| line.ranked_accepts(alert))
            .unwrap_or_default()
    }

    /// Where an accept stands: what its push says. `AcceptStatus::default()` if the fold does not know the accept.
    pub fn accept_status(&self, line: &Line, accept_id: EventId) -> AcceptStatus {
        let Some(line) = self.lines.get(line) else {
            return AcceptStatus::default();
        };
        line.accepts
            .get(accept_id)
            .map(|accept| line.accept_status(accept))
            .unwrap_or_default()
    }

    /// The accepts of a line that belong to no alert that is known, in the order of the log.
    pub fn orphans(&self, line: &Line) -> Vec<&Accept> {
        let Some(line) = self.lines.get(line) else {
            return Vec::new();
        };
        let mut orphans: Vec<&Accept> = line
            .accepts
            .iter()
            .filter(|accept| line.meant(accept).is_none())
            .collect();
        orphans.sort_by_key(|accept| accept.place);
        orphans
    }

    /// How many records of a line repeat another one.
    pub fn repeats(&self, line: &Line) -> Repeats {
        let Some(line) = self.lines.get(line) else {
            return Repeats::default();
        };
        let ledgers = [
            line.alerts.repeats(),
            line.accepts.repeats(),
            line.life.repeats(),
        ];
        Repeats {
            duplicates: ledgers.iter().map(|repeats| repeats.duplicates).sum(),
            late: ledgers.iter().map(|repeats| repeats.late).sum(),
        }
    }

    /// The life of a call. `None` if its alert is not known. Costs as much as there are events of it.
    pub fn call(&self, line: &Line, alert_id: EventId) -> Option<Call<'_>> {
        let line = self.lines.get(line)?;
        let alert = line.alerts.get(alert_id)?;
        let accepts = line.ranked_accepts(alert);
        Some(Call::of(alert, &accepts, line.life_of(alert_id)))
    }

    /// How many life events of a line do not count: of an alert that is not known, or from a house whose word does not. Walks over
    /// all calls of the line.
    pub fn misplaced(&self, line: &Line) -> usize {
        let Some(events) = self.lines.get(line) else {
            return 0;
        };
        let named = events.life_by_alert.iter().map(|(alert_id, ..)| *alert_id);
        events.life_by_alert.len() - self.counted(line, &named.collect()).len()
    }

    /// The life event of that id.
    pub fn life_event(&self, line: &Line, id: EventId) -> Option<&RecordedLife> {
        self.lines.get(line)?.life.get(id)
    }

    /// The life events of an alert, in the order of the log, whether they count or not, and also where the alert is not known.
    pub fn life_events(&self, line: &Line, alert_id: EventId) -> Vec<&RecordedLife> {
        let line = self.lines.get(line);
        line.map(|line| line.life_of(alert_id).collect())
            .unwrap_or_default()
    }
}

/// The alert that is named, then the order of the log.
type NamingKey = (EventId, RecordPosition, EventId);

/// A house, and then by age: the newest alert of a house is the last of its range.
type AgeKey = (House, EventTime, RecordPosition, EventId);

/// The events of one line, and four ways to find them. The indexes follow from the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LineEvents {
    alerts: Ledger<Alert>,
    accepts: Ledger<Accept>,
    life: Ledger<RecordedLife>,
    /// Alerts by their house.
    alerts_by_house: BTreeSet<AgeKey>,
    /// Accepts that name no alert, by their target.
    accepts_by_target: BTreeSet<AgeKey>,
    /// Accepts that name an alert.
    accepts_by_alert: BTreeSet<NamingKey>,
    /// Life events by their alert.
    life_by_alert: BTreeSet<NamingKey>,
}

impl LineEvents {
    fn add_alert(&mut self, alert: Alert) -> Added {
        let id = alert.id;
        let before = self.alerts.get(id).map(Alert::age_key);
        let added = self.alerts.insert(alert);
        self.reindex_alert(id, before);
        added
    }

    fn add_accept(&mut self, accept: Accept) -> Added {
        let id = accept.id;
        let before = self.accepts.get(id).map(AcceptKey::of);
        let added = self.accepts.insert(accept);
        self.reindex_accept(id, before);
        added
    }

    fn add_life(&mut self, life: RecordedLife) -> Added {
        let id = life.id();
        let before = self.life.get(id).map(RecordedLife::naming_key);
        let added = self.life.insert(life);
        self.reindex_life(id, before);
        added
    }

    fn reindex_alert(&mut self, id: EventId, before: Option<AgeKey>) {
        let after = self.alerts.get(id).map(Alert::age_key);
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.alerts_by_house.remove(&key);
        }
        self.alerts_by_house.extend(after);
    }

    fn reindex_accept(&mut self, id: EventId, before: Option<AcceptKey>) {
        let after = self.accepts.get(id).map(AcceptKey::of);
        if before == after {
            return;
        }
        match before {
            Some(AcceptKey::Target(key)) => drop(self.accepts_by_target.remove(&key)),
            Some(AcceptKey::Alert(key)) => drop(self.accepts_by_alert.remove(&key)),
            None => {}
        }
        match after {
            Some(AcceptKey::Target(key)) => drop(self.accepts_by_target.insert(key)),
            Some(AcceptKey::Alert(key)) => drop(self.accepts_by_alert.insert(key)),
            None => {}
        }
    }

    fn reindex_life(&mut self, id: EventId, before: Option<NamingKey>) {
        let after = self.life.get(id).map(RecordedLife::naming_key);
        if before == after {
            return;
        }
        if let Some(key) = before {
            self.life_by_alert.remove(&key);
        }
        self.life_by_alert.extend(after);
    }

    fn prune(&mut self, horizon: EventTime) {
        for (id, oldest) in self.alerts.older_than(horizon) {
            self.alerts.forget(id, horizon);
            self.reindex_alert(id, Some(oldest.age_key()));
        }
        for (id, oldest) in self.accepts.older_than(horizon) {
            self.accepts.forget(id, horizon);
            self.reindex_accept(id, Some(AcceptKey::of(&oldest)));
        }
        for (id, oldest) in self.life.older_than(horizon) {
            self.life.forget(id, horizon);
            self.reindex_life(id, Some(oldest.naming_key()));
        }
    }

    fn len(&self) -> usize {
        self.alerts.events.len() + self.accepts.events.len() + self.life.events.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The life events that name an alert, in the order of the log.
    fn life_of(&self, alert_id: EventId) -> impl Iterator<Item = &RecordedLife> {
        naming(&self.life_by_alert, alert_id).filter_map(|id| self.life.get(id))
    }

    /// The alert that an accept belongs to, if it is known: the one that it names; else the newest that the target house
    /// had raised by then and that was live; else the oldest that it raised within [`CLOCK_TOLERANCE`] afterwards. So an
    /// alert that is raised after an accept never takes it over from an earlier one.
    fn meant(&self, accept: &Accept) -> Option<&Alert> {
        if let Some(alert_id) = accept.alert_id {
            return self.alerts.get(alert_id);
        }
        let raised_by_then = self
            .raised_within(&accept.target, EventTime::MIN, accept.at)
            .next_back()
            .filter(|alert| alert.is_live(accept.at))
            .filter(|alert| !is_planted(Mistake::EndMovesBinding) || !self.has_end(alert.id));
        raised_by_then.or_else(|| {
            let soon = accept.at.plus(CLOCK_TOLERANCE);
            self.raised_within(&accept.target, accept.at, soon)
                .find(|alert| accept.at < alert.at)
        })
    }

    /// For a planted mistake.
    fn has_end(&self, alert_id: EventId) -> bool {
        self.life_of(alert_id).any(|life| life.event.kind.is_end())
    }

    /// The alerts of a house raised from `from` to `to`, both inclusive, by age.
    fn raised_within(
        &self,
        house: &House,
        from: EventTime,
        to: EventTime,
    ) -> impl DoubleEndedIterator<Item = &Alert> {
        by_age(&self.alerts_by_house, house, from, to).filter_map(|id| self.alerts.get(id))
    }

    fn accept_status(&self, accept: &Accept) -> AcceptStatus {
        let Some(alert) = self.meant(accept) else {
            return AcceptStatus {
                alert_id: accept.alert_id,
                rank: None,
            };
        };
        let ranked = self.ranked_accepts(alert);
        let own = ranked.iter().find(|ranked| ranked.accept.id == accept.id);
        AcceptStatus {
            alert_id: Some(alert.id),
            rank: own.map(|own| own.rank),
        }
    }

    fn ranked_accepts(&self, alert: &Alert) -> Vec<RankedAccept<'_>> {
        let mut ranks: BTreeMap<&House, u32> = BTreeMap::new();
        let mut next_rank = 1;
        let mut ranked = Vec::new();
        for accept in self.accepts_meaning(alert) {
            let rank = *ranks.entry(&accept.responder).or_insert(next_rank);
            next_rank = next_rank.max(rank + 1);
            ranked.push(RankedAccept { accept, rank });
        }
        ranked
    }

    /// In the order of the log.
    fn accepts_meaning(&self, alert: &Alert) -> Vec<&Accept> {
        let named = naming(&self.accepts_by_alert, alert.id).filter_map(|id| self.accepts.get(id));
        // Every accept outside this time means another alert or none; `meant` then looks at those within.
        let earliest = alert.at.minus(CLOCK_TOLERANCE);
        let latest = self
            .next_alert_at(alert)
            .unwrap_or(EventTime::MAX)
            .min(alert.at.plus(LIVE_FOR));
        let unnamed = by_age(&self.accepts_by_target, &alert.house, earliest, latest)
            .filter_map(|id| self.accepts.get(id))
            .filter(|accept| self.meant(accept).is_some_and(|meant| meant.id == alert.id));
        let mut accepts: Vec<&Accept> = named.chain(unnamed).collect();
        accepts.sort_by_key(|accept| accept.place);
        accepts
    }

    /// The calls of the same house that came just before and just after a place in its age, whether that is known or not.
    fn neighbours(&self, key: &AgeKey) -> (Option<EventId>, Option<EventId>) {
        let later = (std::ops::Bound::Excluded(key), std::ops::Bound::Unbounded);
        let of_house = |found: Option<&AgeKey>| {
            let (house, .., id) = found?;
            (*house == key.0).then_some(*id)
        };
        let before = self.alerts_by_house.range(..key).next_back();
        let after = self.alerts_by_house.range(later).next();
        (of_house(before), of_house(after))
    }

    /// The alert, and those whose accepts may become others once it is known, or known at another place.
    fn alerts_about(&self, alert: &Alert) -> BTreeSet<EventId> {
        let known = self.alerts.get(alert.id);
        let mut ids = BTreeSet::from([alert.id]);
        for alert in known.into_iter().chain([alert]) {
            let (before, after) = self.neighbours(&alert.age_key());
            ids.extend(before.into_iter().chain(after));
        }
        ids
    }

    /// When the same house called the next time.
    fn next_alert_at(&self, alert: &Alert) -> Option<EventTime> {
        let after = (
            std::ops::Bound::Excluded(alert.age_key()),
            std::ops::Bound::Unbounded,
        );
        let (house, at, ..) = self.alerts_by_house.range(after).next()?;
        (*house == alert.house).then_some(*at)
    }
}

fn naming(index: &BTreeSet<NamingKey>, alert_id: EventId) -> impl Iterator<Item = EventId> {
    let keys = (alert_id, FIRST_PLACE, FIRST_ID)..=(alert_id, LAST_PLACE, LAST_ID);
    index.range(keys).map(|(.., id)| *id)
}

fn by_age(
    index: &BTreeSet<AgeKey>,
    house: &House,
    from: EventTime,
    to: EventTime,
) -> impl DoubleEndedIterator<Item = EventId> {
    // A range that ends before it begins is a panic, and a clock can be so far off that it would.
    let to = to.max(from);
    let keys =
        (house.clone(), from, FIRST_PLACE, FIRST_ID)..=(house.clone(), to, LAST_PLACE, LAST_ID);
    index.range(keys).map(|(.., id)| *id)
}

/// Where an accept is found again.
#[derive(PartialEq, Eq)]
enum AcceptKey {
    Target(AgeKey),
    Alert(NamingKey),
}

impl AcceptKey {
    fn of(accept: &Accept) -> Self {
        match accept.alert_id {
            Some(alert_id) => Self::Alert((alert_id, accept.place, accept.id)),
            None => Self::Target((accept.target.clone(), accept.at, accept.place, accept.id)),
        }
    }
}

const FIRST_PLACE: RecordPosition = RecordPosition {
    topic: crate::Topic::Alert,
    partition: 0,
    offset: 0,
};
const LAST_PLACE: RecordPosition = RecordPosition {
    topic: crate::Topic::Life,
    partition: u32::MAX,
    offset: u64::MAX,
};
const FIRST_ID: EventId = EventId::Uuid(uuid::Uuid::nil());
const LAST_ID: EventId = EventId::Record(LAST_PLACE);

impl Entry for Alert {
    fn id(&self) -> EventId {
        self.id
    }
    fn place(&self) -> RecordPosition {
        self.place
    }
    fn recorded_at(&self) -> EventTime {
        self.recorded_at
    }
}

impl Entry for Accept {
    fn id(&self) -> EventId {
        self.id
    }
    fn place(&self) -> RecordPosition {
        self.place
    }
    fn recorded_at(&self) -> EventTime {
        self.recorded_at
    }
}

impl Entry for RecordedLife {
    fn id(&self) -> EventId {
        self.event.id
    }
    fn place(&self) -> RecordPosition {
        self.place
    }
    fn recorded_at(&self) -> EventTime {
        self.recorded_at
    }
}

impl RecordedLife {
    fn naming_key(&self) -> NamingKey {
        (self.event.alert_id, self.place, self.event.id)
    }
}

impl Alert {
    fn of(alert: &AlertRaised, recorded: &Recorded) -> Self {
        Self {
            id: alert.id,
            house: alert.house.clone(),
            at: alert.at,
            status: alert.status,
            place: recorded.place,
            recorded_at: recorded.time,
        }
    }
}

impl Accept {
    fn of(accept: &AlertAccepted, recorded: &Recorded) -> Self {
        Self {
            id: accept.id,
            responder: accept.responder.clone(),
            target: accept.target.clone(),
            alert_id: accept.alert_id,
            at: accept.at,
            seen: accept.seen,
            status: accept.status,
            place: recorded.place,
            recorded_at: recorded.time,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a day in milliseconds fits")
}
