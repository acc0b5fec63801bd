//! Judges what callers were told and what readers saw against what the log holds in the end. Decides only: it touches no
//! process, so that histories made by hand show that it finds each broken promise.

use std::collections::{BTreeMap, BTreeSet};

/// The topic of the alerts, which is what the group reads and the copier copies.
pub(crate) const ALERTS: &str = "an-alert";
/// The topic of the accepts.
pub(crate) const ACCEPTS: &str = "an-accept";

/// Where a record stands: topic, partition, offset.
pub(crate) type RecordPosition = (String, i32, i64);

/// One call, alert or accept, as its caller made it. Its text is its own: no other call has it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) line: String,
    pub(crate) text: String,
    /// What each try was answered, in their order. Only a call with an Idempotency-Key has more than one try.
    pub(crate) answers: Vec<CallOutcome>,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// 201: it is in the log, there.
    Stored { id: String, place: RecordPosition },
    /// 202, or 201 of a call that came by way of the outbox: it will be there.
    Queued { id: String },
    /// A refusal that says that nothing was stored.
    NotStored { code: String },
    /// No answer, or one that leaves it open.
    Unknown,
}

/// What an accept of the alert is known by: each alert is accepted at most once in a campaign.
pub(crate) fn accept_text(alert: &str) -> String {
    format!("accepts {alert}")
}

impl Call {
    /// The id that it was told, once it was taken.
    pub(crate) fn id(&self) -> Option<&str> {
        self.answers.iter().find_map(CallOutcome::id)
    }
}

impl CallOutcome {
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Stored { id, .. } | Self::Queued { id } => Some(id),
            Self::NotStored { .. } | Self::Unknown => None,
        }
    }
}

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) line: String,
    pub(crate) text: String,
}

/// What one resident's phone heard, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listener {
    pub(crate) line: String,
    /// It has been answered its first subscription: from then on it may miss nothing.
    pub(crate) is_let_in: bool,
    pub(crate) heard: Vec<HeardEvent>,
}

/// One thing that a phone heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeardEvent {
    /// An alert or an accept.
    Event { id: String, line: String },
    /// It came back with its position and was told that not everything can be replayed: the live alerts come again.
    NotRecovered,
}

/// What a member of the consumer group did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupEvent {
    /// It was given the partition.
    Assigned { member: usize, partition: i32 },
    /// It read a record.
    Read {
        member: usize,
        partition: i32,
        offset: i64,
    },
    /// The log acknowledged that the group goes on there.
    Committed { partition: i32, next: i64 },
}

/// How many broken promises of a kind are shown.
const SHOWN_MAX: usize = 8;

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    /// What the log holds in the end.
    pub(crate) records: BTreeMap<RecordPosition, Record>,
    /// What the log held when a reader looked earlier: the same records stay at their places.
    pub(crate) seen: Vec<(RecordPosition, String)>,
    /// Lines whose calls were made one after the other at one api. On others order is not promised.
    pub(crate) ordered_lines: BTreeSet<String>,
    /// Lines whose tries under one key met more than one api, or one that had started anew and did not know its keys yet.
    /// A call that was tried again may stand there twice under its one id: its readers tell it once.
    pub(crate) repeated_lines: BTreeSet<String>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) group: Vec<GroupEvent>,
    /// Where the log says that the group goes on, by partition.
    pub(crate) committed: BTreeMap<i32, i64>,
    /// The ids that committed transactions copied; none if no copier ran.
    pub(crate) copies: Option<Vec<String>>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// It was answered 201 or 202 and stands nowhere.
    Lost { text: String, id: String },
    /// It was answered 201 with a place, and something else or nothing is there.
    NotAtItsPlace { text: String, place: RecordPosition },
    /// It stands more than once.
    Doubled {
        text: String,
        at: Vec<RecordPosition>,
    },
    /// Its tries were told different ids.
    TwoIds { text: String, ids: Vec<String> },
    /// Every try was told that nothing was stored, and it is there.
    StoredAllTheSame { text: String, at: RecordPosition },
    /// It is on another line than the call was made on.
    OnAnotherLine { text: String, line: String },
    /// Nobody called so.
    Invented { at: RecordPosition, text: String },
    /// It stands before an earlier call of its line.
    Overtook { text: String, earlier: String },
    /// A reader saw another record there before.
    Changed { at: RecordPosition },
    /// A listener of its line never heard it.
    Unheard { listener: usize, id: String },
    /// A listener heard what is not its line's, or not in the log.
    HeardWrong { listener: usize, id: String },
    /// A listener heard it twice without having been told that it would.
    HeardTwice { listener: usize, id: String },
    /// A member began below what was committed before it was given the partition.
    WentBack {
        partition: i32,
        offset: i64,
        committed: i64,
    },
    /// Records were passed over.
    Skipped { partition: i32, from: i64, to: i64 },
    /// An acknowledged commit is gone.
    CommitLost {
        partition: i32,
        acknowledged: i64,
        found: Option<i64>,
    },
    /// Committed transactions copied it so many times, and not once.
    CopiedTimes { id: String, times: usize },
}

impl History {
    /// Every broken promise, once each.
    pub(crate) fn breaches(&self) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let mut by_text: BTreeMap<&str, Vec<&RecordPosition>> = BTreeMap::new();
        let mut by_id: BTreeMap<&str, Vec<&RecordPosition>> = BTreeMap::new();
        let text_of: BTreeMap<&str, &str> = self
            .calls
            .iter()
            .flat_map(|call| {
                let ids = call.answers.iter().filter_map(CallOutcome::id);
                ids.map(|id| (id, call.text.as_str()))
            })
            .collect();
        for (place, record) in &self.records {
            // Whose body did not arrive in time is a call all the same, without a word.
            let told = text_of.get(record.id.as_str()).copied();
            let text = if record.text.is_empty() { told } else { None };
            by_text
                .entry(text.unwrap_or(&record.text))
                .or_default()
                .push(place);
            by_id.entry(&record.id).or_default().push(place);
        }
        for call in &self.calls {
            let at = by_text.remove(call.text.as_str()).unwrap_or_default();
            self.judge_call(call, &at, &by_id, &mut breaches);
        }
        for (text, at) in by_text {
            breaches.extend(at.into_iter().map(|at| Breach::Invented {
                at: at.clone(),
                text: text.to_owned(),
            }));
        }
        self.find_overtaking(&by_id, &mut breaches);
        self.find_changed(&mut breaches);
        for (number, listener) in self.listeners.iter().enumerate() {
            self.judge_listener(number, listener, &mut breaches);
        }
        self.judge_group(&mut breaches);
        self.judge_copies(&by_id, &mut breaches);
        breaches
    }

    fn judge_call(
        &self,
        call: &Call,
        at: &[&RecordPosition],
        by_id: &BTreeMap<&str, Vec<&RecordPosition>>,
        breaches: &mut Vec<Breach>,
    ) {
        let text = call.text.clone();
        let ids: BTreeSet<&str> = call.answers.iter().filter_map(CallOutcome::id).collect();
        if 1 < ids.len() {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            breaches.push(Breach::TwoIds {
                text: text.clone(),
                ids,
            });
        }
        for id in ids {
            if !by_id.contains_key(id) {
                breaches.push(Breach::Lost {
                    text: text.clone(),
                    id: id.to_owned(),
                });
            }
        }
        for answer in &call.answers {
            if let CallOutcome::Stored { id, place } = answer
                && self.records.get(place).is_none_or(|found| found.id != *id)
            {
                breaches.push(Breach::NotAtItsPlace {
                    text: text.clone(),
                    place: place.clone(),
                });
            }
        }
        let stored_ids: BTreeSet<_> = at.iter().map(|place| &self.records[*place].id).collect();
        let may_repeat = 1 < call.answers.len() && self.repeated_lines.contains(&call.line);
        if 1 < stored_ids.len() || (1 < at.len() && !may_repeat) {
            breaches.push(Breach::Doubled {
                text: text.clone(),
                at: at.iter().map(|place| (*place).clone()).collect(),
            });
        }
        let nothing = |answer: &CallOutcome| matches!(answer, CallOutcome::NotStored { .. });
        if let Some(place) = at.first()
            && call.answers.iter().all(nothing)
        {
            breaches.push(Breach::StoredAllTheSame {
                text: text.clone(),
                at: (*place).clone(),
            });
        }
        if let Some(place) = at
            .iter()
            .find(|place| self.records[**place].line != call.line)
        {
            breaches.push(Breach::OnAnotherLine {
                text,
                line: self.records[*place].line.clone(),
            });
        }
    }

    /// Calls of a line that were acknowledged one after the other stand one after the other.
    fn find_overtaking(
        &self,
        by_id: &BTreeMap<&str, Vec<&RecordPosition>>,
        breaches: &mut Vec<Breach>,
    ) {
        // The two topics have no order between them.
        let mut last: BTreeMap<(&str, &str), (&RecordPosition, &str)> = BTreeMap::new();
        for call in &self.calls {
            if !self.ordered_lines.contains(&call.line) {
                continue;
            }
            let Some(place) = call.id().and_then(|id| by_id.get(id)?.first()) else {
                continue;
            };
            let topic_and_line = (place.0.as_str(), call.line.as_str());
            if let Some((before, earlier)) = last.insert(topic_and_line, (place, &call.text))
                && *place < before
            {
                breaches.push(Breach::Overtook {
                    text: call.text.clone(),
                    earlier: earlier.to_owned(),
                });
            }
        }
    }

    fn find_changed(&self, breaches: &mut Vec<Breach>) {
        for (place, id) in &self.seen {
            if self.records.get(place).is_none_or(|now| now.id != *id) {
                breaches.push(Breach::Changed { at: place.clone() });
            }
        }
    }

    fn judge_listener(&self, number: usize, listener: &Listener, breaches: &mut Vec<Breach>) {
        let ours = |record: &&Record| record.line == listener.line;
        let mut unheard: BTreeSet<&str> = self
            .records
            .values()
            .filter(ours)
            .map(|record| record.id.as_str())
            .collect();
        let all = unheard.clone();
        let mut since_recovered: BTreeSet<&str> = BTreeSet::new();
        for heard in &listener.heard {
            let HeardEvent::Event { id, line } = heard else {
                since_recovered.clear();
                continue;
            };
            unheard.remove(id.as_str());
            let breach = |breach: fn(usize, String) -> Breach| breach(number, id.clone());
            if *line != listener.line || !all.contains(id.as_str()) {
                breaches.push(breach(|listener, id| Breach::HeardWrong { listener, id }));
            } else if !since_recovered.insert(id) {
                breaches.push(breach(|listener, id| Breach::HeardTwice { listener, id }));
            }
        }
        breaches.extend(unheard.into_iter().map(|id| Breach::Unheard {
            listener: number,
            id: id.to_owned(),
        }));
    }

    fn judge_group(&self, breaches: &mut Vec<Breach>) {
        let mut highest: BTreeMap<i32, i64> = BTreeMap::new();
        let mut unread: BTreeMap<i32, i64> = BTreeMap::new();
        let mut floors: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        let mut next: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        for event in &self.group {
            match *event {
                GroupEvent::Assigned { member, partition } => {
                    let floor = highest.get(&partition).copied().unwrap_or_default();
                    floors.insert((member, partition), floor);
                    next.remove(&(member, partition));
                }
                GroupEvent::Committed { partition, next } => {
                    let highest = highest.entry(partition).or_default();
                    *highest = (*highest).max(next);
                }
                GroupEvent::Read {
                    member,
                    partition,
                    offset,
                } => {
                    let tenure = (member, partition);
                    let floor = floors.get(&tenure).copied().unwrap_or_default();
                    let unread = unread.entry(partition).or_default();
                    // A tenure may begin with what was read and not committed; then it reads on.
                    let begin = (floor, *unread);
                    let (least, most) = next.get(&tenure).map_or(begin, |next| (*next, *next));
                    if offset < least {
                        breaches.push(Breach::WentBack {
                            partition,
                            offset,
                            committed: least,
                        });
                    } else if most < offset {
                        breaches.push(Breach::Skipped {
                            partition,
                            from: most,
                            to: offset,
                        });
                    }
                    next.insert(tenure, offset + 1);
                    *unread = (*unread).max(offset + 1);
                }
            }
        }
        for (partition, acknowledged) in highest {
            let found = self.committed.get(&partition).copied();
            if found.is_none_or(|found| found < acknowledged) {
                breaches.push(Breach::CommitLost {
                    partition,
                    acknowledged,
                    found,
                });
            }
        }
    }

    fn judge_copies(
        &self,
        by_id: &BTreeMap<&str, Vec<&RecordPosition>>,
        breaches: &mut Vec<Breach>,
    ) {
        let Some(copies) = &self.copies else { return };
        let mut times: BTreeMap<&str, usize> = by_id
            .iter()
            .filter(|(_, at)| at.iter().any(|place| place.0 == ALERTS))
            .map(|(id, _)| (*id, 0))
            .collect();
        for id in copies {
            *times.entry(id).or_default() += 1;
        }
        for (id, times) in times {
            // A record that stands twice is copied twice, and is a breach of its own.
            if times != by_id.get(id).map_or(0, Vec::len) || times == 0 {
                breaches.push(Breach::CopiedTimes {
                    id: id.to_owned(),
                    times,
                });
            }
        }
    }

    /// Fails with how many there are of each kind, and the first of each.
    pub(crate) fn assert_kept(&self, again: &str) {
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for breach in self.breaches() {
            let told = format!("{breach:?}");
            let kind = told.split(' ').next().unwrap_or_default().to_owned();
            kinds.entry(kind).or_default().push(told);
        }
        let told = kinds.iter().map(|(kind, told)| {
            let first: Vec<_> = told.iter().take(SHOWN_MAX).map(String::as_str).collect();
            format!("{} x {kind}\n    {}", told.len(), first.join("\n    "))
        });
        let told = told.collect::<Vec<_>>().join("\n");
        assert!(kinds.is_empty(), "broken promises:\n{told}\n{again}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: i64) -> RecordPosition {
        (ALERTS.to_owned(), 0, offset)
    }

    fn accept(offset: i64) -> (Call, RecordPosition, Record) {
        let place = (ACCEPTS.to_owned(), 0, offset);
        let text = accept_text(&format!("id{offset}"));
        let id = format!("accept{offset}");
        let call = Call {
            line: "one".to_owned(),
            text: text.clone(),
            answers: vec![CallOutcome::Stored {
                id: id.clone(),
                place: place.clone(),
            }],
        };
        let line = "one".to_owned();
        (call, place, Record { id, line, text })
    }

    /// What is kept, and two accepts that everybody heard.
    fn accepted(history: &mut History) {
        for offset in 0..2 {
            let (call, place, record) = accept(offset);
            history.listeners[0].heard.push(HeardEvent::Event {
                id: record.id.clone(),
                line: record.line.clone(),
            });
            history.calls.push(call);
            history.records.insert(place, record);
        }
    }

    fn stored(offset: i64) -> CallOutcome {
        CallOutcome::Stored {
            id: format!("id{offset}"),
            place: place(offset),
        }
    }

    fn call(offset: i64, answers: Vec<CallOutcome>) -> Call {
        Call {
            line: "one".to_owned(),
            text: format!("text{offset}"),
            answers,
        }
    }

    fn record(offset: i64) -> (RecordPosition, Record) {
        let record = Record {
            id: format!("id{offset}"),
            line: "one".to_owned(),
            text: format!("text{offset}"),
        };
        (place(offset), record)
    }

    fn alert(offset: i64) -> HeardEvent {
        HeardEvent::Event {
            id: format!("id{offset}"),
            line: "one".to_owned(),
        }
    }

    fn read(member: usize, offset: i64) -> GroupEvent {
        GroupEvent::Read {
            member,
            partition: 0,
            offset,
        }
    }

    /// Three calls, stored, heard, read, copied.
    fn kept() -> History {
        let queued = CallOutcome::Queued {
            id: "id2".to_owned(),
        };
        let (member, partition) = (0, 0);
        History {
            calls: vec![
                call(0, vec![stored(0)]),
                call(1, vec![CallOutcome::Unknown, stored(1), stored(1)]),
                call(2, vec![queued]),
            ],
            records: (0..3).map(record).collect(),
            seen: vec![(place(0), "id0".to_owned())],
            ordered_lines: BTreeSet::from(["one".to_owned()]),
            repeated_lines: BTreeSet::new(),
            listeners: vec![Listener {
                line: "one".to_owned(),
                is_let_in: true,
                heard: vec![
                    alert(0),
                    alert(1),
                    HeardEvent::NotRecovered,
                    alert(1),
                    alert(2),
                ],
            }],
            group: vec![
                GroupEvent::Assigned { member, partition },
                read(0, 0),
                read(0, 1),
                GroupEvent::Committed { partition, next: 1 },
                GroupEvent::Assigned {
                    member: 1,
                    partition,
                },
                read(1, 1),
                read(1, 2),
                GroupEvent::Committed { partition, next: 3 },
            ],
            committed: BTreeMap::from([(0, 3)]),
            copies: Some((0..3).map(|number| format!("id{number}")).collect()),
        }
    }

    /// The breaches of a history into which a lie was planted.
    fn told(lie: impl FnOnce(&mut History)) -> Vec<Breach> {
        let mut history = kept();
        lie(&mut history);
        history.breaches()
    }

    #[test]
    fn a_history_that_keeps_every_promise_has_no_breach() {
        assert_eq!(kept().breaches(), []);
    }

    #[test]
    fn a_planted_loss_is_found_whatever_was_answered() {
        let lost = told(|history| drop(history.records.remove(&place(2))));
        assert!(
            matches!(&lost[..], [Breach::Lost { id, .. }, ..] if id == "id2"),
            "{lost:?}"
        );
        let moved = told(|history| {
            let record = history.records.remove(&place(0)).unwrap();
            history.records.insert(place(9), record);
        });
        assert!(moved.contains(&Breach::NotAtItsPlace {
            text: "text0".to_owned(),
            place: place(0)
        }));
        assert!(moved.contains(&Breach::Changed { at: place(0) }));
    }

    #[test]
    fn a_call_whose_body_was_lost_on_the_way_is_known_by_its_id_and_another_one_without_a_word_is_found()
     {
        let without_a_word = |id: &str| {
            told(|history| {
                let found = history
                    .records
                    .values_mut()
                    .find(|record| record.text == "text0");
                let found = found.unwrap();
                found.text.clear();
                found.id = id.to_owned();
            })
        };
        assert_eq!(without_a_word("id0"), []);
        let invented = without_a_word("another");
        assert!(
            invented
                .iter()
                .any(|breach| matches!(breach, Breach::Invented { text, .. } if text.is_empty())),
            "{invented:?}"
        );
    }

    #[test]
    fn a_call_that_stands_twice_under_one_id_or_two_is_found() {
        for id in ["id1", "another"] {
            let doubled = told(|history| {
                let mut record = record(1).1;
                record.id = id.to_owned();
                history.records.insert(place(3), record);
            });
            assert!(
                doubled.iter().any(
                    |breach| matches!(breach, Breach::Doubled { text, .. } if text == "text1")
                ),
                "{doubled:?}"
            );
        }
        let repeat = |history: &mut History| {
            history.records.insert(place(3), record(1).1);
            history.repeated_lines.insert("one".to_owned());
            history.copies.as_mut().unwrap().push("id1".to_owned());
        };
        assert_eq!(
            told(repeat),
            [],
            "a key at an api that does not know it yet"
        );
        let once = told(|history| {
            repeat(history);
            history.calls[1].answers.truncate(2);
            history.calls[1].answers.remove(0);
        });
        assert!(matches!(&once[..], [Breach::Doubled { .. }]), "{once:?}");
        let two = told(|history| {
            history.calls[1].answers.push(stored(0));
        });
        assert!(matches!(&two[..], [Breach::TwoIds { .. }]), "{two:?}");
    }

    #[test]
    fn a_refusal_that_said_nothing_was_stored_and_was_wrong_is_found() {
        let breaches = told(|history| {
            let code = "log_unavailable".to_owned();
            history.calls[2].answers = vec![CallOutcome::NotStored { code }];
        });
        assert!(matches!(&breaches[..], [Breach::StoredAllTheSame { .. }]));
        let open = told(|history| history.calls[2].answers = vec![CallOutcome::Unknown]);
        assert_eq!(open, [], "what was left open may be there");
    }

    #[test]
    fn a_record_that_nobody_called_or_on_another_line_is_found() {
        let invented = told(|history| drop(history.calls.remove(2)));
        assert!(matches!(&invented[..], [Breach::Invented { .. }]));
        let moved = told(|history| {
            history.records.get_mut(&place(2)).unwrap().line = "two".to_owned();
        });
        assert!(
            moved
                .iter()
                .any(|breach| matches!(breach, Breach::OnAnotherLine { .. }))
        );
    }

    #[test]
    fn a_call_that_overtook_an_earlier_one_of_its_line_is_found_where_order_was_promised() {
        let swap = |history: &mut History| history.calls.swap(0, 1);
        assert!(matches!(&told(swap)[..], [Breach::Overtook { .. }]));
        let roaming = told(|history| {
            history.ordered_lines.clear();
            history.calls.swap(0, 1);
        });
        assert_eq!(roaming, []);
    }

    #[test]
    fn an_accept_that_is_lost_unheard_or_overtaken_is_found() {
        assert_eq!(told(accepted), []);
        let lost = told(|history| {
            accepted(history);
            history.records.remove(&accept(1).1);
        });
        assert!(
            lost.iter()
                .any(|breach| matches!(breach, Breach::Lost { id, .. } if id == "accept1")),
            "{lost:?}"
        );
        let unheard = told(|history| {
            accepted(history);
            history.listeners[0].heard.pop();
        });
        assert!(matches!(&unheard[..], [Breach::Unheard { id, .. }] if id == "accept1"));
        let overtaken = told(|history| {
            accepted(history);
            history.calls.swap(3, 4);
        });
        assert!(matches!(&overtaken[..], [Breach::Overtook { .. }]));
    }

    #[test]
    fn silence_an_echo_and_another_lines_call_are_found_at_the_listener() {
        let hear = |heard: Vec<HeardEvent>| told(|history| history.listeners[0].heard = heard);
        let silent = hear(vec![alert(0), alert(2)]);
        assert!(matches!(&silent[..], [Breach::Unheard { id, .. }] if id == "id1"));
        let echo = hear(vec![alert(0), alert(1), alert(1), alert(2)]);
        assert!(matches!(&echo[..], [Breach::HeardTwice { .. }]));
        let stranger = HeardEvent::Event {
            id: "id1".to_owned(),
            line: "two".to_owned(),
        };
        let wrong = hear(vec![alert(0), stranger, alert(2)]);
        assert!(
            matches!(&wrong[..], [Breach::HeardWrong { .. }]),
            "{wrong:?}"
        );
    }

    #[test]
    fn a_group_that_goes_back_skips_or_forgets_is_found() {
        let back = told(|history| history.group[5] = read(1, 0));
        assert!(
            back.iter()
                .any(|breach| matches!(breach, Breach::WentBack { committed: 1, .. })),
            "{back:?}"
        );
        let skipped = told(|history| {
            history.group.remove(5);
        });
        assert_eq!(
            skipped,
            [],
            "what another member has read may be gone on from"
        );
        let skipped = told(|history| {
            history.group.remove(2);
            history.group.remove(4);
        });
        assert!(
            skipped
                .iter()
                .any(|breach| matches!(breach, Breach::Skipped { .. }))
        );
        let lost = told(|history| {
            history.committed.insert(0, 2);
        });
        assert!(matches!(&lost[..], [Breach::CommitLost { .. }]));
    }

    #[test]
    fn a_copy_too_many_and_one_too_few_are_found() {
        let copy =
            |change: fn(&mut Vec<String>)| told(|history| change(history.copies.as_mut().unwrap()));
        let few = copy(|copies| drop(copies.pop()));
        assert!(matches!(&few[..], [Breach::CopiedTimes { times: 0, .. }]));
        let many = copy(|copies| copies.push("id0".to_owned()));
        assert!(matches!(&many[..], [Breach::CopiedTimes { times: 2, .. }]));
        let none = copy(|copies| copies.push("never called".to_owned()));
        assert!(matches!(&none[..], [Breach::CopiedTimes { .. }]));
    }
}
