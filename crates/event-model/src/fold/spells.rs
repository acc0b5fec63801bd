//! The times at which nobody was coming: what the steps of an escalation count from, and what a report is about.

use crate::{EventId, EventTime};

/// A time at which no house stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// When it began, not before the raise.
    pub start: EventTime,
    /// When a house stood again. `None`: none does.
    pub end: Option<EventTime>,
    /// The event that it began with: the alert, a withdrawal that left nobody, a `reopened` that rings.
    pub cycle: EventId,
    /// The event that ended it: an accept, a `departed` or `arrived` without one, or a `reopened` that divides it.
    pub ended_by: Option<EventId>,
}

/// From when to when a house stood.
pub(super) struct Cover {
    /// The accept, `departed` or `arrived`.
    pub(super) by: EventId,
    /// When it was said.
    pub(super) at: EventTime,
    /// The time of the life event that took it back or cleared it, and that event's index in the order of the log.
    pub(super) ended: Option<(EventTime, usize)>,
}

/// A `reopened` that rings.
pub(super) struct RingingReopen {
    pub(super) at: EventTime,
    /// Its index in the order of the log.
    pub(super) index: usize,
}

/// The spells of an alert from its raise on, in order. `covers` and `ringing` in the order of the log; `id` names the life event of an index.
pub(super) fn spells(
    (raise, alert_id): (EventTime, EventId),
    mut covers: Vec<Cover>,
    mut ringing: Vec<RingingReopen>,
    id: impl Fn(usize) -> EventId,
) -> Vec<Spell> {
    // One that ended before it began still ends a spell: the next one begins at the same moment.
    for cover in &mut covers {
        cover.at = cover.at.max(raise);
    }
    for reopened in &mut ringing {
        reopened.at = reopened.at.max(raise);
    }
    let ends = covers.iter().filter_map(|cover| cover.ended);
    let mut moments: Vec<EventTime> = covers.iter().map(|cover| cover.at).collect();
    moments.extend(ends.map(|(end, _)| end));
    moments.extend(ringing.iter().map(|reopened| reopened.at));
    moments.push(raise);
    moments.sort_unstable();
    moments.dedup();
    // Both sorts are stable: what is of one time stays in the order of the log.
    covers.sort_by_key(|cover| cover.at);
    ringing.sort_by_key(|reopened| reopened.at);

    let mut sweep = Sweep {
        spells: vec![Spell::from(raise, alert_id)],
        covered_to: Some(raise),
        last: None,
    };
    let (mut covers, mut ringing) = (covers.iter().peekable(), ringing.iter().peekable());
    for moment in moments {
        while let Some(cover) = covers.next_if(|cover| cover.at == moment) {
            sweep.cover(cover);
        }
        let is_covered = sweep.covered_to.is_none_or(|end| moment < end);
        while let Some(reopened) = ringing.next_if(|reopened| reopened.at == moment) {
            sweep.last = sweep.last.max(Some(reopened.index));
            if is_covered {
                let id = id(reopened.index);
                sweep.spells.push(Spell {
                    end: Some(moment),
                    ended_by: Some(id),
                    ..Spell::from(moment, id)
                });
            }
        }
        if !is_covered {
            sweep.open(moment, sweep.last.map_or(alert_id, &id));
        }
    }
    sweep.spells
}

struct Sweep {
    spells: Vec<Spell>,
    /// The latest end of what has begun to cover. `None`: it has no end.
    covered_to: Option<EventTime>,
    /// The last in the log of the events that ended a cover or rang, as far as the sweep has come.
    last: Option<usize>,
}

impl Sweep {
    fn cover(&mut self, cover: &Cover) {
        self.close(cover.at, cover.by);
        self.covered_to = self
            .covered_to
            .zip(cover.ended)
            .map(|(latest, (end, _))| latest.max(end));
        self.last = self.last.max(cover.ended.map(|(_, index)| index));
    }

    fn open(&mut self, moment: EventTime, cycle: EventId) {
        let goes_on = |spell: &Spell| spell.end.is_none() && spell.cycle == cycle;
        if !self.spells.last().is_some_and(goes_on) {
            self.close(moment, cycle);
            self.spells.push(Spell::from(moment, cycle));
        }
    }

    /// Ends the spell that goes on, if one does.
    fn close(&mut self, moment: EventTime, by: EventId) {
        if let Some(spell) = self.spells.last_mut()
            && spell.end.is_none()
        {
            (spell.end, spell.ended_by) = (Some(moment), Some(by));
        }
    }
}

impl Spell {
    fn from(start: EventTime, cycle: EventId) -> Self {
        Self {
            start,
            end: None,
            cycle,
            ended_by: None,
        }
    }
}
