//! The laws of a call's life, over generated histories of three topics: in every order of reading, with every repetition, and against a
//! second fold that was written from the contract alone.
//!
//! `LIFE_HISTORIES=1000000 cargo test --release -p event-model laws` tries so many, `LIFE_SEED=0x51ab` one.

mod answers;
mod histories;
mod naive;
mod vectors;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use answers::Answers;
use histories::{HOUR, Names, Random, history, reopened_last, time};
use naive::Naive;

use super::planted::{Mistake, with_mistake};
use super::{Alert, Fold};
use crate::{Event, EventId, LifeKind, RecordPosition, Recorded};

/// How many histories are tried where nothing else is said.
const HISTORIES: u64 = 100_000;

static NAMES: LazyLock<Names> = LazyLock::new(Names::new);

/// A law that did not hold.
type Broken = String;

fn fold_of<'a>(records: impl IntoIterator<Item = &'a Recorded>) -> Fold {
    let mut fold = Fold::new();
    for recorded in records {
        fold.add(recorded);
    }
    fold
}

/// One history, folded, with the same dice for all that is tried with it.
struct Trial {
    names: &'static Names,
    records: Vec<Recorded>,
    fold: Fold,
    random: Random,
}

type Law = fn(&mut Trial) -> Result<(), Broken>;

/// What the contract promises of every history. Each is tried on its own, so that each can be seen to find something.
const LAWS: [(&str, Law); 12] = [
    ("same set, same answers", Trial::same_set_same_answers),
    ("pruning is forgetting", Trial::pruning_is_forgetting),
    (
        "ranks and bindings are those without lives",
        Trial::ranks_and_bindings_are_those_without_lives,
    ),
    (
        "no later alert moves a binding",
        Trial::no_later_alert_moves_a_binding,
    ),
    (
        "a withdrawal touches only its own",
        Trial::a_withdrawal_touches_only_its_own,
    ),
    (
        "who had seen everything stands",
        Trial::who_had_seen_everything_stands,
    ),
    (
        "an end more never opens a call",
        Trial::an_end_more_never_opens_a_call,
    ),
    (
        "a reopening last opens it and clears",
        Trial::a_reopening_last_opens_it_and_clears,
    ),
    (
        "what does not count changes nothing",
        Trial::what_does_not_count_changes_nothing,
    ),
    (
        "only the caller corrects words",
        Trial::only_the_caller_corrects_words,
    ),
    (
        "what became counted is told",
        Trial::what_became_counted_is_told,
    ),
    ("the naive fold agrees", Trial::the_naive_fold_agrees),
];

fn ensure(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Trial {
    fn of(records: Vec<Recorded>, seed: u64) -> Self {
        Self {
            names: &NAMES,
            fold: fold_of(&records),
            records,
            random: Random::of(!seed),
        }
    }

    fn alerts(&self) -> Vec<Alert> {
        let alerts = self.fold.alerts(&self.names.line);
        alerts.into_iter().cloned().collect()
    }

    fn answers(&self, fold: &Fold, alert_id: EventId) -> Answers {
        let call = fold.call(&self.names.line, alert_id);
        Answers::of(&call.expect("the alert is known"))
    }

    /// Without every record of that id.
    fn without(&self, id: EventId) -> Fold {
        fold_of(self.records.iter().filter(|record| record.event.id() != id))
    }

    /// The ids of the life events of a kind.
    fn lives(&self, is_meant: impl Fn(&LifeKind) -> bool) -> Vec<EventId> {
        let lives = self
            .records
            .iter()
            .filter_map(|record| match &record.event {
                Event::Life(event) if is_meant(&event.kind) => Some(event.id),
                _ => None,
            });
        lives.collect()
    }

    fn one_of(&mut self, ids: Vec<EventId>) -> Option<EventId> {
        (!ids.is_empty()).then(|| self.random.pick(&ids))
    }

    fn ended(&self, fold: &Fold, alert_id: EventId) -> bool {
        let call = fold.call(&self.names.line, alert_id);
        call.is_some_and(|call| call.ended().is_some())
    }

    /// The records in another order, some of them again.
    fn in_disorder(&mut self) -> Vec<Recorded> {
        let mut again = self.records.clone();
        for _ in 0..self.random.below(4) {
            again.push(self.random.pick(&self.records));
        }
        self.random.shuffle(&mut again);
        again
    }

    fn same_set_same_answers(&mut self) -> Result<(), Broken> {
        let again = self.in_disorder();
        ensure(fold_of(&again) == self.fold, || {
            "another order, another fold".to_owned()
        })
    }

    fn pruning_is_forgetting(&mut self) -> Result<(), Broken> {
        let moments = [(); 2].map(|()| self.random.pick(&self.records).time);
        let mut pruned = Fold::new();
        let again = self.in_disorder();
        let halfway = self.random.below(again.len());
        for (index, recorded) in again.iter().enumerate() {
            if index == halfway {
                pruned.prune(moments[0]);
            }
            pruned.add(recorded);
        }
        pruned.prune(moments[0]);
        pruned.prune(moments[1]);
        let horizon = moments[0].max(moments[1]);
        let young = self.records.iter().filter(|record| horizon <= record.time);
        let mut young = fold_of(young);
        young.prune(horizon);
        ensure(pruned == young, || {
            "a pruned fold remembers or forgets".to_owned()
        })
    }

    fn ranks_and_bindings_are_those_without_lives(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        let calls = self
            .records
            .iter()
            .filter(|record| !matches!(record.event, Event::Life(_)));
        let calls = fold_of(calls);
        for alert in calls.alerts(line) {
            let ranked = calls.accepts(line, alert.id);
            ensure(self.fold.accepts(line, alert.id) == ranked, || {
                format!("other accepts of {}", alert.id)
            })?;
            let call = self.fold.call(line, alert.id).expect("the alert is known");
            for responder in call.responders() {
                let told = ranked
                    .iter()
                    .find(|told| told.accept.responder == *responder.house);
                let is_told =
                    responder.rank.is_none() || responder.rank == told.map(|told| told.rank);
                ensure(is_told, || format!("{responder:?} was told as {told:?}"))?;
            }
        }
        Ok(())
    }

    fn no_later_alert_moves_a_binding(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        let alerts = self.fold.alerts(line);
        let Some(later) = alerts.last() else {
            return Ok(());
        };
        let without = self.without(later.id);
        for record in &self.records {
            let Event::Accepted(accept) = &record.event else {
                continue;
            };
            let bound = without.accept_status(line, accept.id).alert_id;
            let Some(alert) = bound.and_then(|id| without.alert(line, id)) else {
                continue;
            };
            let is_later = accept.at < later.at && alert.at < later.at;
            let now = self.fold.accept_status(line, accept.id).alert_id;
            ensure(!is_later || now == bound, || format!("{} moved", accept.id))?;
        }
        Ok(())
    }

    fn a_withdrawal_touches_only_its_own(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        for id in self.lives(|kind| matches!(kind, LifeKind::Withdrawn { .. })) {
            let withdrawal = self.fold.life_event(line, id).expect("it was added");
            let LifeKind::Withdrawn { accept_ids, .. } = &withdrawal.event.kind else {
                continue;
            };
            let Some(call) = self.fold.call(line, withdrawal.event.alert_id) else {
                continue;
            };
            let without = self.without(id);
            let before = without
                .call(line, call.alert().id)
                .expect("the alert is known");
            let standing = call.standing_accepts(None);
            let mut taken = before.standing_accepts(None);
            taken.retain(|id| !standing.contains(id));
            let own = before.standing_accepts(Some(&withdrawal.event.house));
            let is_its_own = |id: &EventId| {
                own.contains(id) && (accept_ids.is_empty() || accept_ids.contains(id))
            };
            ensure(taken.iter().all(is_its_own), || {
                format!("{id} takes {taken:?}")
            })?;
        }
        Ok(())
    }

    fn who_had_seen_everything_stands(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        for alert in self.fold.alerts(line) {
            let lives = self.fold.life_events(line, alert.id);
            let named: BTreeSet<EventId> = lives
                .iter()
                .filter_map(|life| match &life.event.kind {
                    LifeKind::Withdrawn { accept_ids, .. } => Some(accept_ids.clone()),
                    _ => None,
                })
                .flatten()
                .collect();
            let call = self.fold.call(line, alert.id).expect("the alert is known");
            let standing = call.standing_accepts(None);
            for ranked in self.fold.accepts(line, alert.id) {
                let accept = ranked.accept;
                let had_seen = |offset| accept.seen.is_some_and(|seen| seen.covers(offset));
                let must_stand = lives.iter().all(|life| had_seen(life.place.offset))
                    && !named.contains(&accept.id);
                ensure(!must_stand || standing.contains(&accept.id), || {
                    format!("{} does not stand", accept.id)
                })?;
            }
        }
        Ok(())
    }

    fn an_end_more_never_opens_a_call(&mut self) -> Result<(), Broken> {
        let ends = self.lives(LifeKind::is_end);
        let reopenings = self.lives(|kind| *kind == LifeKind::Reopened);
        let end = self.one_of(ends).map(|id| self.without(id));
        let reopened = self.one_of(reopenings).map(|id| self.without(id));
        for alert in self.alerts() {
            let ended = |fold: &Option<Fold>| fold.as_ref().map(|fold| self.ended(fold, alert.id));
            let now = self.ended(&self.fold, alert.id);
            ensure(ended(&end) != Some(true) || now, || {
                format!("an end opened {}", alert.id)
            })?;
            ensure(!now || ended(&reopened) != Some(false), || {
                format!("{} is not ended without a reopening", alert.id)
            })?;
        }
        Ok(())
    }

    /// The caller's, which counts always. Its clock may be off; where it is far ahead of all others, it clears all who had not seen it.
    fn a_reopening_last_opens_it_and_clears(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        let alerts = self.alerts();
        if alerts.is_empty() {
            return Ok(());
        }
        let alert = self.random.pick(&alerts);
        let far_ahead = time(30 * HOUR);
        let at = self
            .random
            .pick(&[time(-2 * HOUR), alert.at, time(HOUR), far_ahead]);
        let reopened = reopened_last(self.names, &self.records, &alert, at);
        let mut fold = self.fold.clone();
        fold.add(&reopened);
        let call = fold.call(line, alert.id).expect("the alert is known");
        let phase = call.phase(alert.at);
        ensure(phase.is_live(), || format!("{} is {phase:?}", alert.id))?;
        if at != far_ahead {
            return Ok(());
        }
        let standing = call.standing_accepts(None);
        for ranked in fold.accepts(line, alert.id) {
            let accept = ranked.accept;
            let had_seen = accept
                .seen
                .is_some_and(|seen| seen.covers(reopened.place.offset));
            ensure(had_seen || !standing.contains(&accept.id), || {
                format!("{} was cleared and stands", accept.id)
            })?;
        }
        Ok(())
    }

    fn what_does_not_count_changes_nothing(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        for alert in self.alerts() {
            let call = self.fold.call(line, alert.id).expect("the alert is known");
            let misplaced = call.life().filter(|(_, counts)| !counts);
            let misplaced: Vec<EventId> = misplaced.map(|(life, _)| life.event.id).collect();
            let Some(id) = self.one_of(misplaced) else {
                continue;
            };
            let (without, with) = (self.without(id), &self.fold);
            ensure(
                self.answers(&without, alert.id) == self.answers(with, alert.id),
                || format!("{id} does not count and changes something"),
            )?;
            ensure(without.misplaced(line) + 1 == with.misplaced(line), || {
                format!("{id} is not counted as misplaced")
            })?;
        }
        Ok(())
    }

    fn only_the_caller_corrects_words(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        for alert in self.fold.alerts(line) {
            let lives = self.fold.life_events(line, alert.id).into_iter();
            let has_corrected = lives
                .filter(|life| life.event.house == alert.house)
                .any(|life| matches!(life.event.kind, LifeKind::Corrected(_)));
            let call = self.fold.call(line, alert.id).expect("the alert is known");
            let is_as_raised = call.corrected() == super::CorrectedDetails::default();
            ensure(has_corrected || is_as_raised, || {
                format!("words of {}", alert.id)
            })?;
        }
        Ok(())
    }

    fn what_became_counted_is_told(&mut self) -> Result<(), Broken> {
        let line = &self.names.line;
        let counted = |fold: &Fold| -> BTreeSet<(RecordPosition, EventId)> {
            let alerts = fold.alerts(line).into_iter();
            let calls = alerts.filter_map(|alert| fold.call(line, alert.id));
            let lives = calls.flat_map(|call| call.life().collect::<Vec<_>>());
            let counted = lives.filter(|(_, counts)| *counts);
            counted
                .map(|(life, _)| (life.place, life.event.id))
                .collect()
        };
        let again = self.in_disorder();
        let mut fold = Fold::new();
        let mut before = BTreeSet::new();
        for recorded in &again {
            let told = fold.apply(recorded).now_counted;
            let after = counted(&fold);
            let new = after.difference(&before).map(|(_, id)| *id);
            let expected: Vec<EventId> = new.filter(|id| *id != recorded.event.id()).collect();
            ensure(told == expected, || {
                format!("told {told:?} instead of {expected:?}")
            })?;
            before = after;
        }
        ensure(fold == self.fold, || "applying is not adding".to_owned())
    }

    fn the_naive_fold_agrees(&mut self) -> Result<(), Broken> {
        let naive = Naive::of(&self.records);
        let ids = naive.alert_ids();
        ensure(ids.len() == self.alerts().len(), || {
            "not as many alerts".to_owned()
        })?;
        for id in ids {
            let (found, expected) = (self.answers(&self.fold, id), naive.answers(id));
            ensure(found == expected, || {
                format!("{id}: {found:#?}\ninstead of {expected:#?}")
            })?;
        }
        Ok(())
    }
}

impl Trial {
    /// The first law that the history breaks, each with the same dice.
    fn broken(&mut self, seed: u64) -> Option<(&'static str, Broken)> {
        LAWS.iter().find_map(|(name, law)| {
            self.random = Random::of(!seed);
            law(self).err().map(|broken| (*name, broken))
        })
    }

    /// What of all that a call can live through this history has seen.
    fn sights(&self) -> Vec<&'static str> {
        let mut sights = Vec::new();
        for alert in self.alerts() {
            let answers = self.answers(&self.fold, alert.id);
            let lives = self.fold.life_events(&self.names.line, alert.id).len();
            let shown = |what: &str| answers.responders.values().any(|shown| shown.what == what);
            let there_without_accept = |responder: &answers::ResponderAnswer| {
                responder.since.is_some() && responder.rank.is_none()
            };
            let sight = [
                ("ended", answers.ended.is_some()),
                (
                    "opened again",
                    answers.ended.is_none() && !answers.held.is_empty(),
                ),
                ("attended", answers.state == "attended"),
                ("answered", answers.state == "answered"),
                ("on the way", shown("on the way")),
                ("cannot", shown("cannot")),
                ("left", shown("left")),
                ("cleared", shown("cleared")),
                (
                    "there without an accept",
                    answers.responders.values().any(there_without_accept),
                ),
                (
                    "rings while somebody stands",
                    !answers.rings.is_empty() && 0 < answers.coming,
                ),
                ("several spells", 2 < answers.spells.len()),
                ("a level", 0 < answers.level),
                ("misplaced", answers.counted.len() < lives),
                (
                    "corrected",
                    answers.text.is_some() && answers.point.is_some(),
                ),
                ("a note", !answers.notes.is_empty()),
                (
                    "not the first is primary",
                    answers
                        .primary
                        .as_ref()
                        .is_some_and(|house| answers.responders[house].rank != Some(1)),
                ),
            ];
            sights.extend(
                sight
                    .iter()
                    .filter(|(_, seen)| *seen)
                    .map(|(name, _)| *name),
            );
        }
        sights
    }
}

/// How many sights there are.
const SIGHTS: usize = 16;

/// The first law that a history breaks.
fn broken_law(records: &[Recorded], seed: u64) -> Option<(&'static str, Broken)> {
    Trial::of(records.to_vec(), seed).broken(seed)
}

/// Leaves out of a broken history what it is broken without.
fn smallest(mut records: Vec<Recorded>, seed: u64) -> Vec<Recorded> {
    let mut index = 0;
    while index < records.len() {
        let mut fewer = records.clone();
        fewer.remove(index);
        if !fewer.is_empty() && broken_law(&fewer, seed).is_some() {
            records = fewer;
            index = 0;
        } else {
            index += 1;
        }
    }
    records
}

/// What the history has seen.
fn assert_laws_hold(seed: u64) -> Vec<&'static str> {
    let mut trial = Trial::of(history(&NAMES, seed), seed);
    if trial.broken(seed).is_none() {
        return trial.sights();
    }
    let records = smallest(trial.records, seed);
    let (law, broken) = broken_law(&records, seed).expect("it was broken");
    panic!(
        "{law}: {broken}\n{records:#?}\nagain: LIFE_SEED={seed:#x} cargo test -p event-model laws"
    );
}

fn number_from(variable: &str) -> Option<u64> {
    let said = std::env::var(variable).ok()?;
    let number = match said.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => said.parse(),
    };
    Some(number.expect("a number"))
}

#[test]
fn every_history_keeps_the_laws_and_the_naive_fold_agrees_with_it() {
    if let Some(seed) = number_from("LIFE_SEED") {
        println!("{:?}", assert_laws_hold(seed));
        return;
    }
    let histories = number_from("LIFE_HISTORIES").unwrap_or(HISTORIES);
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicU64::new(0);
    let seen = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = BTreeMap::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if histories <= seed {
                        break;
                    }
                    for sight in assert_laws_hold(seed) {
                        *own.entry(sight).or_insert(0_u64) += 1;
                    }
                }
                let mut seen = seen.lock().expect("no other thread panics while it counts");
                for (sight, times) in own {
                    *seen.entry(sight).or_insert(0_u64) += times;
                }
            });
        }
    });
    let seen = seen.into_inner().expect("every thread has ended");
    println!("{seen:?}");
    assert!(
        histories < 1_000 || seen.len() == SIGHTS,
        "quiet histories prove nothing: {seen:?}"
    );
}

#[test]
fn every_planted_mistake_is_found_within_a_few_thousand_histories() {
    let mistakes = [
        Mistake::EndMovesBinding,
        Mistake::WithdrawalTakesAnothers,
        Mistake::RankChanges,
        Mistake::ReopenedLosesToOlderEnd,
        Mistake::ClearedAcceptStands,
        Mistake::CorrectionByStranger,
    ];
    for mistake in mistakes {
        // The naive fold is right and the laws know no other: each of the two finds the mistake without the other.
        let (naive, laws) = LAWS.split_last().expect("there are laws");
        for laws in [laws, &[*naive]] {
            let breaks = |seed: &u64| {
                let mut trial = Trial::of(history(&NAMES, *seed), *seed);
                laws.iter().any(|(_, law)| law(&mut trial).is_err())
            };
            let found = with_mistake(mistake, || (0..5_000).find(breaks));
            println!("{mistake:?}: {found:?}");
            assert!(found.is_some(), "{mistake:?} is not found");
        }
    }
}
