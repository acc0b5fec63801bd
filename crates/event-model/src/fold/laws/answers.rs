//! What can be asked of a call, as values that two folds can be compared by.

use std::collections::{BTreeMap, BTreeSet};

use crate::fold::{Call, Gone, Progress, ResponderState};
use crate::{Decimal, EventId, EventTime, House, Point, Text};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) counted: BTreeSet<EventId>,
    pub(super) state: &'static str,
    pub(super) ended: Option<EventId>,
    pub(super) held: Vec<EventId>,
    pub(super) standing: Vec<EventId>,
    pub(super) primary: Option<House>,
    pub(super) responders: BTreeMap<House, ResponderAnswer>,
    pub(super) coming: usize,
    pub(super) arrived: usize,
    pub(super) cycle: EventId,
    pub(super) level: usize,
    pub(super) rings: BTreeSet<EventId>,
    pub(super) spells: Vec<SpellAnswer>,
    pub(super) text: Option<Text>,
    pub(super) point: Option<Point>,
    pub(super) accuracy: Option<Decimal>,
    pub(super) floor: Option<String>,
    pub(super) notes: Vec<EventId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponderAnswer {
    pub(super) what: &'static str,
    pub(super) since: Option<EventTime>,
    pub(super) rank: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpellAnswer {
    pub(super) start: EventTime,
    pub(super) end: Option<EventTime>,
    pub(super) cycle: EventId,
    pub(super) ended_by: Option<EventId>,
}

impl Answers {
    pub(super) fn of(call: &Call<'_>) -> Self {
        let corrected = call.corrected();
        let counted = call.life().filter(|(_, counts)| *counts);
        let rings = call
            .life()
            .map(|(life, _)| life.event.id)
            .filter(|id| call.is_ringing_reopened(*id));
        Self {
            counted: counted.map(|(life, _)| life.event.id).collect(),
            state: call.phase_within_a_day().as_str(),
            ended: call.ended().map(|end| end.event.id),
            held: call.held_ends().map(|end| end.event.id).collect(),
            standing: call.standing_accepts(None),
            primary: call.primary().cloned(),
            responders: call.responders().into_iter().map(responder).collect(),
            coming: call.coming(),
            arrived: call.arrived(),
            cycle: call.cycle(),
            level: call.level(),
            rings: rings.collect(),
            spells: call.spells().into_iter().map(SpellAnswer::from).collect(),
            text: corrected.text.cloned(),
            point: corrected.point.cloned(),
            accuracy: corrected.accuracy.cloned(),
            floor: corrected.floor.map(str::to_owned),
            notes: call.notes().map(|life| life.event.id).collect(),
        }
    }
}

fn responder(responder: crate::fold::Responder<'_>) -> (House, ResponderAnswer) {
    let (what, since) = match responder.state {
        ResponderState::Standing { progress, since } => {
            let what = match progress {
                Progress::Coming => "coming",
                Progress::OnTheWay => "on the way",
                Progress::Arrived => "arrived",
            };
            (what, Some(since))
        }
        ResponderState::Gone(Gone::Undo) => ("undo", None),
        ResponderState::Gone(Gone::Cannot) => ("cannot", None),
        ResponderState::Gone(Gone::Left) => ("left", None),
        ResponderState::Gone(Gone::Cleared) => ("cleared", None),
    };
    let rank = responder.rank;
    let answer = ResponderAnswer { what, since, rank };
    (responder.house.clone(), answer)
}

impl From<crate::fold::Spell> for SpellAnswer {
    fn from(spell: crate::fold::Spell) -> Self {
        Self {
            start: spell.start,
            end: spell.end,
            cycle: spell.cycle,
            ended_by: spell.ended_by,
        }
    }
}
