//! A second fold, written from the words of the contract alone: no index, no order of work, every question a walk over all records
//! for every record. It answers what [`super::answers::Answers`] compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::answers::{Answers, ResponderAnswer, SpellAnswer};
use crate::{
    AlertAccepted, AlertRaised, Event, EventId, EventTime, House, LifeEvent, LifeKind,
    RecordPosition, Recorded, Role, Seen, WithdrawReason,
};

const SECOND: i64 = 1_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// The events of one line: of each id the record that stands first.
#[derive(Default)]
pub(super) struct Naive {
    alerts: Vec<(AlertRaised, RecordPosition)>,
    accepts: Vec<(AlertAccepted, RecordPosition)>,
    lives: Vec<(Arc<LifeEvent>, RecordPosition)>,
}

impl Naive {
    pub(super) fn of(records: &[Recorded]) -> Self {
        let mut sorted: Vec<&Recorded> = records.iter().collect();
        sorted.sort_by_key(|recorded| recorded.place);
        let mut naive = Self::default();
        for Recorded { event, place, .. } in sorted {
            match event {
                Event::Raised(alert) if naive.alert(alert.id).is_none() => {
                    naive.alerts.push((alert.clone(), *place));
                }
                Event::Accepted(accept)
                    if !naive.accepts.iter().any(|(other, _)| other.id == accept.id) =>
                {
                    naive.accepts.push((accept.clone(), *place));
                }
                Event::Life(event)
                    if !naive.lives.iter().any(|(other, _)| other.id == event.id) =>
                {
                    naive.lives.push((event.clone(), *place));
                }
                _ => {}
            }
        }
        naive
    }

    fn alert(&self, id: EventId) -> Option<&AlertRaised> {
        self.alerts
            .iter()
            .map(|(alert, _)| alert)
            .find(|alert| alert.id == id)
    }

    pub(super) fn alert_ids(&self) -> Vec<EventId> {
        self.alerts.iter().map(|(alert, _)| alert.id).collect()
    }

    /// "(1) the newest with `alert.at <= accept.at`; (2) only if there is none, the oldest with `alert.at <= accept.at + 5 s`."
    fn alert_of(&self, accept: &AlertAccepted) -> Option<EventId> {
        if accept.alert_id.is_some() {
            return accept.alert_id;
        }
        let candidates = || {
            self.alerts.iter().filter(|(alert, _)| {
                alert.house == accept.target && accept.at.millis_since(alert.at) < DAY
            })
        };
        let newest = candidates()
            .filter(|(alert, _)| alert.at <= accept.at)
            .max_by_key(|(alert, place)| (alert.at, *place));
        let oldest = candidates()
            .filter(|(alert, _)| alert.at.millis_since(accept.at) <= 5 * SECOND)
            .min_by_key(|(alert, place)| (alert.at, *place));
        newest.or(oldest).map(|(alert, _)| alert.id)
    }

    pub(super) fn answers(&self, alert_id: EventId) -> Answers {
        let alert = self.alert(alert_id).expect("an alert of this line");
        let accepts = self
            .accepts
            .iter()
            .filter(|(accept, _)| self.alert_of(accept) == Some(alert_id));
        let lives = self
            .lives
            .iter()
            .filter(|(event, _)| event.alert_id == alert_id);
        let call = Call {
            alert,
            accepts: accepts.map(|(accept, _)| accept).collect(),
            lives: lives.map(|(event, place)| (&**event, *place)).collect(),
        };
        call.answers()
    }
}

type Life<'a> = (&'a LifeEvent, RecordPosition);

/// What says that somebody comes or is there.
#[derive(Clone, Copy)]
enum Sign<'a> {
    Accept(&'a AlertAccepted),
    Going(&'a LifeEvent),
}

impl<'a> Sign<'a> {
    fn id(&self) -> EventId {
        match self {
            Self::Accept(accept) => accept.id,
            Self::Going(event) => event.id,
        }
    }
    fn house(&self) -> &'a House {
        match self {
            Self::Accept(accept) => &accept.responder,
            Self::Going(event) => &event.house,
        }
    }
    fn at(&self) -> EventTime {
        match self {
            Self::Accept(accept) => accept.at,
            Self::Going(event) => event.at,
        }
    }
    fn had_seen(&self, life: Life<'_>) -> bool {
        let seen: Option<Seen> = match self {
            Self::Accept(accept) => accept.seen,
            Self::Going(event) => event.seen,
        };
        seen.is_some_and(|seen| seen.covers(life.1.offset))
    }
    /// An accept is no going, and names none.
    fn named(&self) -> Option<EventId> {
        match self {
            Self::Accept(_) => None,
            Self::Going(event) => match event.kind {
                LifeKind::Departed { accept_id } | LifeKind::Arrived { accept_id } => accept_id,
                _ => unreachable!("a going"),
            },
        }
    }
    fn is_accept(&self) -> bool {
        matches!(self, Self::Accept(_))
    }
    fn is_arrived(&self) -> bool {
        matches!(self, Self::Going(event) if matches!(event.kind, LifeKind::Arrived { .. }))
    }
}

/// An alert with all that is about it, in the order of the log.
struct Call<'a> {
    alert: &'a AlertRaised,
    accepts: Vec<&'a AlertAccepted>,
    lives: Vec<Life<'a>>,
}

impl<'a> Call<'a> {
    fn accept_signs(&self) -> Vec<Sign<'a>> {
        self.accepts
            .iter()
            .map(|accept| Sign::Accept(accept))
            .collect()
    }

    /// "any house but the caller's"
    fn goings(&self) -> Vec<Sign<'a>> {
        let goings = self.lives.iter().filter(|(event, _)| {
            matches!(
                event.kind,
                LifeKind::Departed { .. } | LifeKind::Arrived { .. }
            )
        });
        goings
            .filter(|(event, _)| event.house != self.alert.house)
            .map(|(event, _)| Sign::Going(event))
            .collect()
    }

    fn unnamed_goings(&self) -> Vec<Sign<'a>> {
        let mut goings = self.goings();
        goings.retain(|going| going.named().is_none());
        goings
    }

    /// What covers a call as long as it stands: accepts first, each in the order of the log.
    fn covering(&self) -> Vec<Sign<'a>> {
        [self.accept_signs(), self.unnamed_goings()].concat()
    }

    fn counts(&self, life: Life<'a>) -> bool {
        let event = life.0;
        let caller = event.house == self.alert.house;
        let manager = event.role == Role::Manager;
        let guard = event.role == Role::Guard;
        let arrived = self
            .goings()
            .iter()
            .any(|going| going.is_arrived() && *going.house() == event.house);
        let accepted = self
            .accepts
            .iter()
            .any(|accept| accept.responder == event.house);
        match &event.kind {
            LifeKind::Cancelled => caller,
            LifeKind::Resolved { .. } => caller || arrived || guard || manager,
            LifeKind::Closed { .. } => guard || manager,
            LifeKind::Reopened => caller || accepted || arrived || guard || manager,
            LifeKind::Corrected(_) => caller || event.note.is_some(),
            LifeKind::Withdrawn { .. } => self
                .covering()
                .into_iter()
                .any(|sign| self.takes_back(life, sign)),
            LifeKind::Departed { .. } | LifeKind::Arrived { .. } => !caller,
            LifeKind::Escalated(_) => event.role == Role::System,
        }
    }

    fn takes_back(&self, life: Life<'a>, sign: Sign<'a>) -> bool {
        let LifeKind::Withdrawn { accept_ids, .. } = &life.0.kind else {
            return false;
        };
        if *sign.house() != life.0.house || sign.named().is_some() {
            return false;
        }
        if sign.is_accept() && !accept_ids.is_empty() {
            return accept_ids.contains(&sign.id());
        }
        let mut group = if sign.is_accept() {
            self.accept_signs()
        } else {
            self.unnamed_goings()
        };
        group.retain(|other| other.house() == sign.house() && !other.had_seen(life));
        let early = |other: &Sign<'a>| other.at().millis_since(life.0.at) <= 5 * SECOND;
        if group.iter().any(early) {
            group.retain(early);
        }
        group.iter().any(|other| other.id() == sign.id())
    }

    fn counted_reopenings(&self) -> Vec<Life<'a>> {
        let mut reopenings = self.lives.clone();
        reopenings.retain(|life| matches!(life.0.kind, LifeKind::Reopened) && self.counts(*life));
        reopenings
    }

    fn counted_ends(&self) -> Vec<Life<'a>> {
        let mut ends = self.lives.clone();
        ends.retain(|life| {
            matches!(
                life.0.kind,
                LifeKind::Cancelled | LifeKind::Resolved { .. } | LifeKind::Closed { .. }
            ) && self.counts(*life)
        });
        ends
    }

    /// "a counted end precedes it in the log with no counted `reopened` between"
    fn ends_answered(&self, reopened: Life<'a>) -> Vec<Life<'a>> {
        let mut ends = self.counted_ends();
        ends.retain(|end| {
            let between = |other: &Life<'a>| end.1 < other.1 && other.1 < reopened.1;
            end.1 < reopened.1 && !self.counted_reopenings().iter().any(between)
        });
        ends
    }

    fn takes_effect(&self, life: Life<'a>) -> bool {
        matches!(life.0.kind, LifeKind::Reopened)
            && self.counts(life)
            && (life.0.house == self.alert.house || !self.ends_answered(life).is_empty())
    }

    fn clears(&self, life: Life<'a>, sign: Sign<'a>) -> bool {
        if !self.takes_effect(life) || sign.had_seen(life) {
            return false;
        }
        let ends = self.ends_answered(life);
        let is_undo = |end: &Life<'a>| {
            end.0.house == life.0.house && end.0.at.millis_since(life.0.at).abs() <= 60 * SECOND
        };
        if !ends.is_empty() && ends.iter().all(is_undo) {
            return false;
        }
        sign.at() <= life.0.at || ends.iter().any(|end| sign.at() <= end.0.at)
    }

    fn ended_by(&self, sign: Sign<'a>) -> Option<Life<'a>> {
        self.lives
            .iter()
            .copied()
            .find(|life| self.takes_back(*life, sign) || self.clears(*life, sign))
    }

    fn stands(&self, sign: Sign<'a>) -> bool {
        self.ended_by(sign).is_none()
    }

    fn reason(&self, sign: Sign<'a>) -> &'static str {
        let Some((event, _)) = self.ended_by(sign) else {
            return "stands";
        };
        match &event.kind {
            LifeKind::Withdrawn { why, .. } => match why {
                WithdrawReason::Undo if event.at.millis_since(sign.at()) <= 30 * SECOND => "undo",
                WithdrawReason::Undo | WithdrawReason::Cannot => "cannot",
                WithdrawReason::Left => "left",
            },
            _ => "cleared",
        }
    }

    fn rings(&self, life: Life<'a>) -> bool {
        let clears_somebody = || {
            let signs = [self.accept_signs(), self.goings()].concat();
            signs
                .into_iter()
                .any(|sign| self.ended_by(sign).is_some_and(|by| by.1 == life.1))
        };
        self.takes_effect(life) && (!self.ends_answered(life).is_empty() || clears_somebody())
    }

    fn held_when_read(&self, end: Life<'a>) -> bool {
        self.counted_reopenings().iter().all(|reopened| {
            end.1 < reopened.1
                || match end.0.seen {
                    Some(seen) => seen.covers(reopened.1.offset),
                    None => reopened.0.at <= end.0.at,
                }
        })
    }

    fn ended(&self) -> Option<EventId> {
        let mut ends = self.counted_ends();
        ends.retain(|end| {
            let is_later = |reopened: &Life<'a>| reopened.1 < end.1;
            self.held_when_read(*end) && self.counted_reopenings().iter().all(is_later)
        });
        ends.last().map(|end| end.0.id)
    }

    fn rank(&self, house: &House) -> Option<u32> {
        let mut houses: Vec<&House> = vec![];
        for accept in &self.accepts {
            if !houses.contains(&&accept.responder) {
                houses.push(&accept.responder);
            }
        }
        let position = houses.iter().position(|other| *other == house)?;
        u32::try_from(position + 1).ok()
    }

    fn responder(&self, house: &House) -> Option<ResponderAnswer> {
        let of_house = |signs: Vec<Sign<'a>>| -> Vec<Sign<'a>> {
            signs
                .into_iter()
                .filter(|sign| sign.house() == house)
                .collect()
        };
        let accepts = of_house(self.accept_signs());
        let standing: Vec<Sign<'a>> = accepts
            .iter()
            .copied()
            .filter(|sign| self.stands(*sign))
            .collect();
        let mut goings = of_house(self.goings());
        goings.retain(|going| self.stands(*going));
        let earliest = |signs: &[Sign<'a>]| signs.iter().map(Sign::at).min();
        let mut standing_goings = goings.clone();
        if standing.is_empty() {
            standing_goings.retain(|going| going.named().is_none());
        } else {
            standing_goings.retain(|going| match going.named() {
                Some(named) => standing.iter().any(|accept| accept.id() == named),
                None => standing
                    .iter()
                    .any(|accept| accept.at().millis_since(going.at()) <= 5 * SECOND),
            });
        }
        let (arrived, departed): (Vec<_>, Vec<_>) =
            standing_goings.into_iter().partition(Sign::is_arrived);
        let furthest = [("arrived", arrived), ("on the way", departed)]
            .into_iter()
            .find_map(|(what, signs)| Some((what, earliest(&signs)?)));
        let rank = self.rank(house);
        if !standing.is_empty() {
            let since = earliest(&standing).expect("not empty");
            let (what, since) = furthest.unwrap_or(("coming", since));
            return Some(ResponderAnswer {
                what,
                since: Some(since),
                rank,
            });
        }
        if let Some((what, since)) = furthest {
            return Some(ResponderAnswer {
                what,
                since: Some(since),
                rank: None,
            });
        }
        let last = accepts
            .into_iter()
            .rev()
            .find(|accept| self.reason(*accept) != "undo")?;
        Some(ResponderAnswer {
            what: self.reason(last),
            since: None,
            rank,
        })
    }

    fn spells(&self) -> Vec<SpellAnswer> {
        struct Cover {
            by: EventId,
            start: EventTime,
            end: Option<EventTime>,
            ender: Option<(RecordPosition, EventId)>,
        }
        let raise = self.alert.at;
        let mut covers = vec![];
        for sign in self.covering() {
            if self.reason(sign) == "undo" {
                continue;
            }
            let start = sign.at().max(raise);
            let ender = self.ended_by(sign);
            covers.push(Cover {
                by: sign.id(),
                start,
                end: ender.map(|(event, _)| event.at.max(start)),
                ender: ender.map(|(event, place)| (place, event.id)),
            });
        }
        let ringing: Vec<Life<'a>> = self
            .lives
            .iter()
            .copied()
            .filter(|life| self.rings(*life))
            .collect();
        let ringing_at = |life: &Life<'a>| life.0.at.max(raise);

        let mut moments: BTreeSet<EventTime> = BTreeSet::from([raise]);
        for cover in &covers {
            moments.insert(cover.start);
            moments.extend(cover.end);
        }
        moments.extend(ringing.iter().map(ringing_at));
        let is_covered_after = |moment: EventTime| {
            covers
                .iter()
                .any(|cover| cover.start <= moment && cover.end.is_none_or(|end| moment < end))
        };
        let cycle_at = |moment: EventTime| {
            let enders = covers
                .iter()
                .filter(|cover| cover.start <= moment)
                .filter_map(|cover| cover.ender);
            let reopenings = ringing
                .iter()
                .filter(|life| ringing_at(life) <= moment)
                .map(|(event, place)| (*place, event.id));
            enders
                .chain(reopenings)
                .max()
                .map_or(self.alert.id, |(_, id)| id)
        };

        let mut spells: Vec<SpellAnswer> = vec![SpellAnswer {
            start: raise,
            end: None,
            cycle: self.alert.id,
            ended_by: None,
        }];
        for moment in moments {
            let open = |spells: &mut Vec<SpellAnswer>| {
                spells.last().is_some_and(|spell| spell.end.is_none())
            };
            let close = |spells: &mut Vec<SpellAnswer>, by: EventId| {
                let spell = spells.last_mut().expect("one at least");
                (spell.end, spell.ended_by) = (Some(moment), Some(by));
            };
            let first = covers.iter().find(|cover| cover.start == moment);
            if open(&mut spells)
                && let Some(cover) = first
            {
                close(&mut spells, cover.by);
            }
            let is_covered = is_covered_after(moment);
            for (event, _) in ringing.iter().filter(|life| ringing_at(life) == moment) {
                if is_covered {
                    spells.push(SpellAnswer {
                        start: moment,
                        end: Some(moment),
                        cycle: event.id,
                        ended_by: Some(event.id),
                    });
                }
            }
            if is_covered {
                continue;
            }
            let cycle = cycle_at(moment);
            if open(&mut spells) {
                if spells.last().is_some_and(|spell| spell.cycle == cycle) {
                    continue;
                }
                close(&mut spells, cycle);
            }
            spells.push(SpellAnswer {
                start: moment,
                end: None,
                cycle,
                ended_by: None,
            });
        }
        spells
    }

    fn answers(&self) -> Answers {
        let houses: BTreeSet<&House> = self.covering().iter().map(Sign::house).collect();
        let responders: BTreeMap<House, ResponderAnswer> = houses
            .into_iter()
            .filter_map(|house| Some((house.clone(), self.responder(house)?)))
            .collect();
        let arrived = responders
            .values()
            .filter(|responder| responder.what == "arrived")
            .count();
        let coming = responders
            .values()
            .filter(|responder| matches!(responder.what, "coming" | "on the way"))
            .count();
        let spells = self.spells();
        let last = spells.last().expect("one at least");
        let cycle = last.ended_by.unwrap_or(last.cycle);
        let steps: BTreeSet<_> = self
            .lives
            .iter()
            .filter(|life| self.counts(**life))
            .filter_map(|(event, _)| match &event.kind {
                LifeKind::Escalated(escalation) if escalation.cycle == Some(cycle) => {
                    Some((escalation.track, escalation.step_ms))
                }
                _ => None,
            })
            .collect();
        let state = match self.ended() {
            Some(id) => {
                let (event, _) = self
                    .lives
                    .iter()
                    .find(|(event, _)| event.id == id)
                    .expect("an end of this call");
                event.kind.name()
            }
            None if 0 < arrived => "attended",
            None if 0 < coming => "answered",
            None => "open",
        };
        let counted_corrections = || {
            self.lives
                .iter()
                .filter(|life| self.counts(**life))
                .filter_map(|(event, _)| match &event.kind {
                    LifeKind::Corrected(correction) if event.house == self.alert.house => {
                        Some(correction)
                    }
                    _ => None,
                })
        };
        let notes = self.lives.iter().filter(|life| self.counts(**life));
        Answers {
            counted: self
                .lives
                .iter()
                .filter(|life| self.counts(**life))
                .map(|(event, _)| event.id)
                .collect(),
            state,
            ended: self.ended(),
            held: self
                .counted_ends()
                .into_iter()
                .filter(|end| self.held_when_read(*end))
                .map(|(event, _)| event.id)
                .collect(),
            standing: self
                .accept_signs()
                .into_iter()
                .filter(|sign| self.stands(*sign))
                .map(|sign| sign.id())
                .collect(),
            primary: responders
                .iter()
                .filter(|(_, responder)| responder.since.is_some())
                .filter_map(|(house, responder)| Some((responder.rank?, house)))
                .min()
                .map(|(_, house)| house.clone()),
            responders,
            coming,
            arrived,
            cycle,
            level: steps.len(),
            rings: self
                .lives
                .iter()
                .filter(|life| self.rings(**life))
                .map(|(event, _)| event.id)
                .collect(),
            spells,
            text: counted_corrections()
                .filter_map(|correction| correction.text.clone())
                .next_back(),
            point: counted_corrections()
                .filter_map(|correction| correction.point.clone())
                .next_back(),
            accuracy: counted_corrections()
                .filter_map(|correction| correction.accuracy.clone())
                .next_back(),
            floor: counted_corrections()
                .filter_map(|correction| correction.floor.clone())
                .next_back(),
            notes: notes
                .filter(|(event, _)| {
                    event.note.is_some() && matches!(event.kind, LifeKind::Corrected(_))
                })
                .map(|(event, _)| event.id)
                .collect(),
        }
    }
}
