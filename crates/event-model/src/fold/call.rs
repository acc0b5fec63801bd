//! The life of one call: what an alert, its accepts and its life events add up to.
//!
//! [`Call::of`] goes through the life events once, in the order of the log, and notes for each whether it counts, and for each sign that
//! a house comes what ended it. All else is asked of that. The rules are the contract's; where it leaves a choice,
//! `docs/decisions/0050-what-is-left-open-in-the-fold-of-a-calls-life.md` says which was made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::planted::{Mistake, is_planted};
use super::spells::{Cover, RingingReopen, Spell, spells};
use super::{Alert, CLOCK_TOLERANCE, RankedAccept, RecordedLife, millis};
use crate::{
    Correction, Decimal, EventId, EventTime, House, LifeKind, Point, Role, Seen, Text,
    WithdrawReason,
};

/// Until how long after its accept a withdrawal is an `undo`. A later one is a `cannot`.
pub const UNDO_WITHIN: Duration = Duration::from_secs(30);

/// Until how long after its own end a house that opens the call again has only undone it, and clears nobody.
pub const SPARED_WITHIN: Duration = Duration::from_secs(60);

/// How far a call has come: the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The caller called it off.
    Cancelled,
    /// It is over.
    Resolved,
    /// A guard or manager put it away.
    Closed,
    /// It is a day old.
    Expired,
    /// A helper is there.
    Attended,
    /// A helper comes.
    Answered,
    /// No helper comes.
    Open,
}

impl Phase {
    /// `state` in pushes and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Attended => "attended",
            Self::Answered => "answered",
            Self::Open => "open",
        }
    }

    /// Neither ended nor expired.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Attended | Self::Answered | Self::Open)
    }
}

/// How far a helper has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    /// Accepted.
    Coming,
    /// Said to be on the way.
    OnTheWay,
    /// Said to be there.
    Arrived,
}

/// Why nothing of a house stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gone {
    /// It never meant to come.
    Undo,
    /// It cannot come.
    Cannot,
    /// It was there and has gone.
    Left,
    /// The call was opened again since, and it has not accepted anew.
    Cleared,
}

/// What is shown of a responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponderState {
    /// It stands.
    Standing {
        /// How far it has come.
        progress: Progress,
        /// Since when.
        since: EventTime,
    },
    /// It has accepted and no longer comes. Never [`Gone::Undo`]: such a house is not shown.
    Gone(Gone),
}

/// A house that helps, or said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responder<'a> {
    /// The house.
    pub house: &'a House,
    /// Its rank, which never changes. `None`: it is there without an accept that stands.
    pub rank: Option<u32>,
    /// What is shown of it.
    pub state: ResponderState,
}

/// The words and places that stand instead of the alert's own. `None`: they were not corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorrectedDetails<'a> {
    /// What the caller says.
    pub text: Option<&'a Text>,
    /// Where the caller is.
    pub point: Option<&'a Point>,
    /// How exactly that is known.
    pub accuracy: Option<&'a Decimal>,
    /// On which floor.
    pub floor: Option<&'a str>,
}

/// One alert and what became of it, at the moment it was asked for.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    alert: &'a Alert,
    life: Vec<JudgedLife<'a>>,
    /// Accepts first, then what counts of `departed` and `arrived`; each in the order of the log.
    signs: Vec<Sign<'a>>,
    signs_by_house: BTreeMap<&'a House, Vec<usize>>,
    accepts_by_id: BTreeMap<EventId, usize>,
    /// The end that is shown.
    ended: Option<usize>,
}

/// A life event, and what became of it.
#[derive(Clone, Copy, Debug)]
struct JudgedLife<'a> {
    recorded: &'a RecordedLife,
    counts: bool,
    /// An end that held when it was read.
    held: bool,
    /// A reopening that rings.
    rings: bool,
}

/// What says that a house comes or is there.
#[derive(Clone, Copy, Debug)]
struct Sign<'a> {
    id: EventId,
    house: &'a House,
    at: EventTime,
    seen: Option<Seen>,
    kind: SignKind,
    /// The first life event that takes it back or clears it, and why it does.
    ended: Option<(usize, Gone)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignKind {
    Accept {
        rank: u32,
    },
    Going {
        progress: Progress,
        accept_id: Option<EventId>,
    },
}

impl Sign<'_> {
    fn had_seen(&self, life: &RecordedLife) -> bool {
        self.seen.is_some_and(|seen| seen.covers(life.place.offset))
    }

    fn stands(&self) -> bool {
        self.ended.is_none()
    }

    fn rank(&self) -> Option<u32> {
        match self.kind {
            SignKind::Accept { rank } => Some(rank),
            SignKind::Going { .. } => None,
        }
    }

    fn is_accept(&self) -> bool {
        self.rank().is_some()
    }

    /// It says of its house that it helps, and not only of an accept how far it has come.
    fn covers(&self) -> bool {
        !matches!(
            self.kind,
            SignKind::Going {
                accept_id: Some(_),
                ..
            }
        )
    }
}

impl<'a> Call<'a> {
    /// `accepts` and `life` in the order of the log.
    pub(super) fn of(
        alert: &'a Alert,
        accepts: &[RankedAccept<'a>],
        life: impl Iterator<Item = &'a RecordedLife>,
    ) -> Self {
        let life: Vec<JudgedLife<'a>> = life.map(JudgedLife::of).collect();
        let goings = life.iter().filter_map(|read| going(alert, read.recorded));
        let signs: Vec<Sign<'a>> = accepts.iter().map(accepting).chain(goings).collect();
        let mut signs_by_house: BTreeMap<&House, Vec<usize>> = BTreeMap::new();
        let mut accepts_by_id = BTreeMap::new();
        for (index, sign) in signs.iter().enumerate() {
            signs_by_house.entry(sign.house).or_default().push(index);
            if sign.is_accept() {
                accepts_by_id.insert(sign.id, index);
            }
        }
        let mut call = Self {
            alert,
            life,
            signs,
            signs_by_house,
            accepts_by_id,
            ended: None,
        };
        call.read();
        call
    }

    /// The alert itself.
    pub fn alert(&self) -> &'a Alert {
        self.alert
    }

    /// How far the call has come at `now`, by the alert's own time.
    pub fn phase(&self, now: EventTime) -> Phase {
        let phase = self.phase_within_a_day();
        if phase.is_live() && !self.alert.is_live(now) {
            return Phase::Expired;
        }
        phase
    }

    /// How far the call has come if it is not a day old, for a reader that has a better clock than the alert's own time.
    pub fn phase_within_a_day(&self) -> Phase {
        if let Some(end) = self.ended() {
            return match end.event.kind {
                LifeKind::Cancelled => Phase::Cancelled,
                LifeKind::Closed { .. } => Phase::Closed,
                _ => Phase::Resolved,
            };
        }
        match self.furthest() {
            Some(Progress::Arrived) => Phase::Attended,
            Some(_) => Phase::Answered,
            None => Phase::Open,
        }
    }

    /// The end that is shown, if the call has ended.
    pub fn ended(&self) -> Option<&'a RecordedLife> {
        self.ended.map(|index| self.life[index].recorded)
    }

    /// The ends that held when they were read, in the order of the log: the first one is when the call was over for the first time.
    pub fn held_ends(&self) -> impl Iterator<Item = &'a RecordedLife> {
        let held = self.life.iter().filter(|read| read.held);
        held.map(|read| read.recorded)
    }

    /// The life events of the alert, in the order of the log, each with whether it counts.
    pub fn life(&self) -> impl Iterator<Item = (&'a RecordedLife, bool)> {
        self.life.iter().map(|read| (read.recorded, read.counts))
    }

    /// Does the life event of that id count?
    pub fn counts(&self, id: EventId) -> bool {
        self.find(id).is_some_and(|read| read.counts)
    }

    /// Is it a `reopened` that is pushed and rung like an alert, also where a house stands?
    pub fn is_ringing_reopened(&self, id: EventId) -> bool {
        self.find(id).is_some_and(|read| read.rings)
    }

    fn find(&self, id: EventId) -> Option<&JudgedLife<'a>> {
        self.life.iter().find(|read| read.recorded.event.id == id)
    }

    /// The accepts that stand, in the order of the log: of one house, or of all.
    pub fn standing_accepts(&self, house: Option<&House>) -> Vec<EventId> {
        let standing = self.signs.iter().filter(|sign| {
            sign.is_accept() && sign.stands() && house.is_none_or(|house| sign.house == house)
        });
        standing.map(|sign| sign.id).collect()
    }

    /// Who helps or said so: by rank, and then those who are there without an accept.
    pub fn responders(&self) -> Vec<Responder<'a>> {
        let mut responders: Vec<Responder<'a>> = self
            .signs_by_house
            .iter()
            .filter_map(|(house, signs)| self.responder(house, signs))
            .collect();
        responders.sort_by_key(|responder| responder.rank.unwrap_or(u32::MAX));
        responders
    }

    /// The house of the lowest rank that stands.
    pub fn primary(&self) -> Option<&'a House> {
        let standing = self.signs.iter().filter(|sign| sign.stands());
        let ranked = standing.filter_map(|sign| Some((self.shown_rank(sign)?, sign.house)));
        ranked.min().map(|(_, house)| house)
    }

    /// How many houses stand and have not arrived.
    pub fn coming(&self) -> usize {
        self.standing(|progress| progress != Progress::Arrived)
    }

    /// How many houses are there.
    pub fn arrived(&self) -> usize {
        self.standing(|progress| progress == Progress::Arrived)
    }

    fn standing(&self, is_meant: impl Fn(Progress) -> bool) -> usize {
        let standing = self.progresses().filter(|progress| is_meant(*progress));
        standing.count()
    }

    fn furthest(&self) -> Option<Progress> {
        self.progresses().max()
    }

    fn progresses(&self) -> impl Iterator<Item = Progress> {
        let houses = self.signs_by_house.values();
        houses.filter_map(|signs| Some(self.progress(signs)?.1))
    }

    /// The times at which nobody stood, from the raise on: at least one, the last without an end if nobody stands now.
    pub fn spells(&self) -> Vec<Spell> {
        let alert = (self.alert.at, self.alert.id);
        let covers = self.signs.iter().filter(|sign| sign.covers());
        let covers = covers.filter_map(|sign| {
            let ended = sign.ended.filter(|(_, gone)| *gone != Gone::Undo);
            (sign.stands() || ended.is_some()).then(|| Cover {
                by: sign.id,
                at: sign.at,
                ended: ended.map(|(index, _)| (self.life[index].recorded.event.at, index)),
            })
        });
        let ringing = self.life.iter().enumerate().filter(|(_, read)| read.rings);
        let ringing = ringing.map(|(index, read)| RingingReopen {
            at: read.recorded.event.at,
            index,
        });
        let id = |index: usize| self.life[index].recorded.event.id;
        spells(alert, covers.collect(), ringing.collect(), id)
    }

    /// The cycle of the track that runs: `unanswered` while nobody stands, else `unarrived`.
    pub fn cycle(&self) -> EventId {
        let spells = self.spells();
        let last = spells.last().expect("one spell begins with the alert");
        last.ended_by.unwrap_or(last.cycle)
    }

    /// How many distinct steps were taken in the current cycle.
    pub fn level(&self) -> usize {
        let escalations = self.counted().filter_map(|life| match &life.event.kind {
            LifeKind::Escalated(escalation) => Some(escalation),
            _ => None,
        });
        let mut escalations = escalations.peekable();
        if escalations.peek().is_none() {
            return 0;
        }
        let cycle = Some(self.cycle());
        let steps = escalations.filter(|escalation| escalation.cycle == cycle);
        let steps: BTreeSet<_> = steps
            .map(|escalation| (escalation.track, escalation.step_ms))
            .collect();
        steps.len()
    }

    /// What the caller corrected: per key the last in the log.
    pub fn corrected(&self) -> CorrectedDetails<'a> {
        let mut corrected = CorrectedDetails::default();
        for (life, correction) in self.corrections() {
            let is_callers = life.event.house == self.alert.house;
            if !is_callers && !is_planted(Mistake::CorrectionByStranger) {
                continue;
            }
            corrected = CorrectedDetails {
                text: correction.text.as_ref().or(corrected.text),
                point: correction.point.as_ref().or(corrected.point),
                accuracy: correction.accuracy.as_ref().or(corrected.accuracy),
                floor: correction.floor.as_deref().or(corrected.floor),
            };
        }
        corrected
    }

    /// The corrections with a note, from whatever house, in the order of the log.
    pub fn notes(&self) -> impl Iterator<Item = &'a RecordedLife> {
        let corrections = self.corrections().map(|(life, _)| life);
        corrections.filter(|life| life.event.note.is_some())
    }

    fn corrections(&self) -> impl Iterator<Item = (&'a RecordedLife, &'a Correction)> {
        self.counted().filter_map(|life| match &life.event.kind {
            LifeKind::Corrected(correction) => Some((life, correction)),
            _ => None,
        })
    }

    fn counted(&self) -> impl Iterator<Item = &'a RecordedLife> {
        let counted = self.life.iter().filter(|read| read.counts);
        counted.map(|read| read.recorded)
    }

    fn responder(&self, house: &'a House, signs: &[usize]) -> Option<Responder<'a>> {
        if let Some((rank, progress, since)) = self.progress(signs) {
            let state = ResponderState::Standing { progress, since };
            return Some(Responder { house, rank, state });
        }
        let accepts = signs.iter().rev().map(|index| &self.signs[*index]);
        let mut gone = accepts.filter_map(|sign| Some((self.shown_rank(sign)?, sign.ended?.1)));
        let (rank, gone) = gone.find(|(_, gone)| *gone != Gone::Undo)?;
        Some(Responder {
            house,
            rank: Some(rank),
            state: ResponderState::Gone(gone),
        })
    }

    /// How far a house has come of whose signs one stands, and since when. The rank is that of its accept.
    fn progress(&self, signs: &[usize]) -> Option<(Option<u32>, Progress, EventTime)> {
        let standing = || {
            let signs = signs.iter().map(|index| &self.signs[*index]);
            signs.filter(|sign| sign.stands())
        };
        let accepts = || standing().filter(|sign| sign.is_accept());
        let follows_an_accept = |sign: &Sign<'_>, accept_id: Option<EventId>| {
            let earliest = sign.at.plus(CLOCK_TOLERANCE);
            accepts().any(|accept| match accept_id {
                Some(accept_id) => accept.id == accept_id,
                None => accept.at <= earliest,
            })
        };
        let rank = accepts().next().and_then(|accept| self.shown_rank(accept));
        let steps = standing().filter_map(|sign| match sign.kind {
            SignKind::Accept { .. } => Some((Progress::Coming, sign.at)),
            SignKind::Going {
                progress,
                accept_id,
            } => {
                let says_something = match rank {
                    Some(_) => follows_an_accept(sign, accept_id),
                    None => accept_id.is_none(),
                };
                says_something.then_some((progress, sign.at))
            }
        });
        // The furthest, and of those the earliest.
        let (progress, since) =
            steps.max_by_key(|(progress, at)| (*progress, std::cmp::Reverse(*at)))?;
        Some((rank, progress, since))
    }

    fn shown_rank(&self, sign: &Sign<'a>) -> Option<u32> {
        let rank = sign.rank()?;
        if !is_planted(Mistake::RankChanges) {
            return Some(rank);
        }
        let standing = self.signs.iter().filter(|sign| sign.stands());
        let before = standing
            .filter_map(Sign::rank)
            .filter(|other| *other < rank);
        let before: BTreeSet<u32> = before.collect();
        u32::try_from(before.len() + 1).ok()
    }
}

/// What the reading so far has shown, beside what it noted on events and signs.
#[derive(Default)]
struct FoldProgress<'a> {
    /// The counted ends since the last counted reopening.
    ends: Vec<&'a RecordedLife>,
    /// The highest offset and the latest time of the counted reopenings.
    reopened: Option<(u64, EventTime)>,
    /// By house the signs that nothing has ended, and some of those that something has: so that many withdrawals and reopenings do not
    /// each go through all that others ended long before.
    standing: BTreeMap<&'a House, Vec<usize>>,
}

/// Houses whose word counts for more.
struct Standings<'a> {
    accepted: BTreeSet<&'a House>,
    arrived: BTreeSet<&'a House>,
}

impl<'a> Call<'a> {
    /// Goes through the life events in the order of the log.
    fn read(&mut self) {
        if self.life.is_empty() {
            return;
        }
        let standings = self.standings();
        let mut reading = FoldProgress {
            standing: self.signs_by_house.clone(),
            ..FoldProgress::default()
        };
        for index in 0..self.life.len() {
            let life = self.life[index].recorded;
            let counts = match life.event.kind {
                LifeKind::Withdrawn { .. } => self.take_back(index, &mut reading),
                _ => standings.count(self.alert, life),
            };
            self.life[index].counts = counts;
            if !counts {
                continue;
            }
            if life.event.kind.is_end() {
                self.end(index, &mut reading);
            } else if life.event.kind == LifeKind::Reopened {
                self.reopen(index, &mut reading);
            }
        }
    }

    fn standings(&self) -> Standings<'a> {
        let houses = |is_meant: fn(&SignKind) -> bool| {
            let signs = self.signs.iter().filter(|sign| is_meant(&sign.kind));
            signs.map(|sign| sign.house).collect()
        };
        Standings {
            accepted: houses(|kind| matches!(kind, SignKind::Accept { .. })),
            arrived: houses(|kind| {
                let progress = Progress::Arrived;
                matches!(kind, SignKind::Going { progress: found, .. } if *found == progress)
            }),
        }
    }

    /// Takes back what a withdrawal takes, as far as nothing did before. Whether it takes anything.
    fn take_back(&mut self, index: usize, reading: &mut FoldProgress<'a>) -> bool {
        let life = self.life[index].recorded;
        let LifeKind::Withdrawn { why, accept_ids } = &life.event.kind else {
            return false;
        };
        let takes_goings = self.take_back_by_time(index, *why, reading, |sign| !sign.is_accept());
        let takes_accepts = if accept_ids.is_empty() {
            self.take_back_by_time(index, *why, reading, Sign::is_accept)
        } else {
            self.take_back_named(index, *why, accept_ids)
        };
        takes_goings || takes_accepts
    }

    fn take_back_named(&mut self, index: usize, why: WithdrawReason, ids: &[EventId]) -> bool {
        let event = &self.life[index].recorded.event;
        let mut takes = false;
        for id in ids {
            let Some(sign) = self.accepts_by_id.get(id) else {
                continue;
            };
            let sign = &mut self.signs[*sign];
            if *sign.house == event.house || is_planted(Mistake::WithdrawalTakesAnothers) {
                let gone = gone(why, event.at, sign.at);
                sign.ended.get_or_insert((index, gone));
                takes = true;
            }
        }
        takes
    }

    /// Of the house's signs of a kind that had not seen the withdrawal, those of its time or before; if there is none, all.
    fn take_back_by_time(
        &mut self,
        index: usize,
        why: WithdrawReason,
        reading: &mut FoldProgress<'a>,
        is_meant: impl Fn(&Sign<'a>) -> bool,
    ) -> bool {
        let life = self.life[index].recorded;
        let latest = life.event.at.plus(CLOCK_TOLERANCE);
        let had_not_seen =
            |sign: &Sign<'a>| sign.covers() && is_meant(sign) && !sign.had_seen(life);
        let own = self.signs_by_house.get(&life.event.house);
        let mut own = own
            .into_iter()
            .flatten()
            .map(|sign| &self.signs[*sign])
            .filter(|sign| had_not_seen(sign))
            .peekable();
        if own.peek().is_none() {
            return false;
        }
        let any_is_early = own.any(|sign| sign.at <= latest);
        let Some(standing) = reading.standing.get_mut(&life.event.house) else {
            return true;
        };
        standing.retain(|sign| {
            let sign = &mut self.signs[*sign];
            if sign.stands() && had_not_seen(sign) && (sign.at <= latest || !any_is_early) {
                sign.ended = Some((index, gone(why, life.event.at, sign.at)));
            }
            sign.stands()
        });
        true
    }

    fn end(&mut self, index: usize, reading: &mut FoldProgress<'a>) {
        let life = self.life[index].recorded;
        let knew_of_reopening = |(offset, at)| match life.event.seen {
            Some(seen) => seen.covers(offset),
            None => at <= life.event.at,
        };
        reading.ends.push(life);
        if reading.reopened.is_none_or(knew_of_reopening) {
            self.life[index].held = true;
            self.ended = Some(index);
        }
    }

    fn reopen(&mut self, index: usize, reading: &mut FoldProgress<'a>) {
        let life = self.life[index].recorded;
        let (place, at) = (life.place, life.event.at);
        let ends = std::mem::take(&mut reading.ends);
        reading.reopened = Some(
            reading
                .reopened
                .map_or((place.offset, at), |(offset, latest)| {
                    (offset.max(place.offset), latest.max(at))
                }),
        );
        let loses = is_planted(Mistake::ReopenedLosesToOlderEnd)
            && self.ended().is_some_and(|end| at < end.event.at);
        if !loses {
            self.ended = None;
        }
        let is_callers = life.event.house == self.alert.house;
        if ends.is_empty() && !is_callers {
            return;
        }
        let is_undo = |end: &&RecordedLife| {
            end.event.house == life.event.house
                && end.event.at.millis_since(at).abs() <= millis(SPARED_WITHIN)
        };
        let spares = !ends.is_empty() && ends.iter().all(is_undo);
        let latest = ends.iter().map(|end| end.event.at).fold(at, EventTime::max);
        let clears = !spares && self.clear(index, latest, reading);
        self.life[index].rings = !ends.is_empty() || clears;
    }

    /// Clears what a reopening clears, as far as nothing ended it before. Whether it does for anything.
    fn clear(&mut self, index: usize, latest: EventTime, reading: &mut FoldProgress<'a>) -> bool {
        let life = self.life[index].recorded;
        let mut clears = false;
        for standing in reading.standing.values_mut() {
            standing.retain(|sign| {
                let sign = &mut self.signs[*sign];
                let is_spared = is_planted(Mistake::ClearedAcceptStands) && sign.is_accept();
                if sign.stands() && !sign.had_seen(life) && sign.at <= latest && !is_spared {
                    sign.ended = Some((index, Gone::Cleared));
                    clears = true;
                }
                sign.stands()
            });
        }
        clears
    }
}

impl<'a> JudgedLife<'a> {
    fn of(recorded: &'a RecordedLife) -> Self {
        Self {
            recorded,
            counts: false,
            held: false,
            rings: false,
        }
    }
}

impl Standings<'_> {
    /// Does a life event that is no withdrawal count?
    fn count(&self, alert: &Alert, life: &RecordedLife) -> bool {
        let event = &life.event;
        let is_caller = event.house == alert.house;
        let is_in_charge = matches!(event.role, Role::Guard | Role::Manager);
        let has_arrived = || self.arrived.contains(&event.house);
        match event.kind {
            LifeKind::Cancelled => is_caller,
            LifeKind::Resolved { .. } => is_caller || is_in_charge || has_arrived(),
            LifeKind::Closed { .. } => is_in_charge,
            LifeKind::Reopened => {
                is_caller || is_in_charge || has_arrived() || self.accepted.contains(&event.house)
            }
            LifeKind::Corrected(_) => is_caller || event.note.is_some(),
            LifeKind::Departed { .. } | LifeKind::Arrived { .. } => !is_caller,
            LifeKind::Escalated(_) => event.role == Role::System,
            LifeKind::Withdrawn { .. } => false,
        }
    }
}

fn accepting<'a>(ranked: &RankedAccept<'a>) -> Sign<'a> {
    let RankedAccept { accept, rank } = *ranked;
    Sign {
        id: accept.id,
        house: &accept.responder,
        at: accept.at,
        seen: accept.seen,
        kind: SignKind::Accept { rank },
        ended: None,
    }
}

fn going<'a>(alert: &Alert, life: &'a RecordedLife) -> Option<Sign<'a>> {
    let event = &life.event;
    let (progress, accept_id) = match event.kind {
        LifeKind::Departed { accept_id } => (Progress::OnTheWay, accept_id),
        LifeKind::Arrived { accept_id } => (Progress::Arrived, accept_id),
        _ => return None,
    };
    (event.house != alert.house).then_some(Sign {
        id: event.id,
        house: &event.house,
        at: event.at,
        seen: event.seen,
        kind: SignKind::Going {
            progress,
            accept_id,
        },
        ended: None,
    })
}

fn gone(why: WithdrawReason, at: EventTime, accepted_at: EventTime) -> Gone {
    match why {
        WithdrawReason::Undo if at.millis_since(accepted_at) <= millis(UNDO_WITHIN) => Gone::Undo,
        WithdrawReason::Undo | WithdrawReason::Cannot => Gone::Cannot,
        WithdrawReason::Left => Gone::Left,
    }
}
