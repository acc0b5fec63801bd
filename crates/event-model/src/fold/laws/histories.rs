//! Histories of a line from a seed: three topics, written through several apis whose clocks may be two hours off and whose outboxes
//! may hold an event back, by people who knew what had been written, or some of it, or nothing.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    AlertAccepted, AlertRaised, CloseReason, Correction, Decimal, Escalation, Event, EventId,
    EventTime, House, LifeEvent, LifeKind, Line, Point, RecordPosition, Recorded, Resolution, Role,
    Seen, Status, Text, Topic, Track, WithdrawReason,
};

const START: i64 = 1_790_000_000_000;
const SECOND: i64 = 1_000;
pub(super) const HOUR: i64 = 60 * 60 * SECOND;

/// Steele and others, "SplitMix": the same numbers everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).expect("a small number");
        usize::try_from((mixed ^ (mixed >> 31)) % bound).expect("below a small number")
    }

    pub(super) fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }

    /// One in so many.
    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for end in (1..values.len()).rev() {
            values.swap(end, self.below(end + 1));
        }
    }
}

/// The names that histories are about: made once, since checking a name costs more than folding it.
pub(super) struct Names {
    pub(super) line: Line,
    callers: [House; 2],
    helpers: [House; 4],
    guard: House,
    manager: House,
    notifier: House,
}

impl Names {
    pub(super) fn new() -> Self {
        let house = |name: &str| House::even_reserved(name).expect("a name");
        Self {
            line: Line::new("demo").expect("a name"),
            callers: [house("101"), house("102")],
            helpers: [house("201"), house("202"), house("203"), house("204")],
            guard: house("guards"),
            manager: house(LifeEvent::MANAGER),
            notifier: house(LifeEvent::NOTIFIER),
        }
    }
}

pub(super) fn time(millis: i64) -> EventTime {
    EventTime::from_millis(START + millis)
}

pub(super) fn id(number: usize) -> EventId {
    EventId::Uuid(Uuid::from_u128(number as u128 + 1))
}

/// The records of a line in the order in which they were appended, by their true times. Some stand twice.
pub(super) fn history(names: &Names, seed: u64) -> Vec<Recorded> {
    let mut writer = Writer::new(names, seed);
    let events = 2 + writer.random.below(14);
    for number in 0..events {
        writer.press(number);
    }
    writer.append()
}

/// An event on its way to the log.
struct Draft {
    event: Event,
    /// When it is pressed, by a clock that is right.
    pressed: i64,
    /// When it is appended.
    appended: i64,
    /// Until when its sender had read the lives of the calls. `None`: nothing is said of it.
    read_to: Option<i64>,
}

struct Writer<'a> {
    names: &'a Names,
    random: Random,
    /// The true time.
    now: i64,
    /// By how much the clock of each api is off.
    clocks: [i64; 3],
    drafts: Vec<Draft>,
    alerts: Vec<(EventId, House)>,
    accepts: Vec<(EventId, House)>,
    ids: Vec<EventId>,
}

impl<'a> Writer<'a> {
    fn new(names: &'a Names, seed: u64) -> Self {
        let mut random = Random::of(seed);
        let off = [0, 0, 0, -4 * SECOND, 5 * SECOND, -2 * HOUR, 2 * HOUR];
        let clocks = [(); 3].map(|()| random.pick(&off));
        Self {
            names,
            random,
            now: 0,
            clocks,
            drafts: vec![],
            alerts: vec![],
            accepts: vec![],
            ids: vec![],
        }
    }

    fn press(&mut self, number: usize) {
        let steps = [
            0,
            1,
            SECOND,
            SECOND,
            5 * SECOND,
            5 * SECOND + 1,
            20 * SECOND,
            30 * SECOND,
            30 * SECOND + 1,
            60 * SECOND,
            60 * SECOND + 1,
            600 * SECOND,
            HOUR,
        ];
        self.now += self.random.pick(&steps);
        let at = time(self.now + self.random.pick(&self.clocks));
        let id = id(number);
        let event = match self.random.below(12) {
            _ if self.alerts.is_empty() && !self.random.one_in(6) => self.raise(id, at),
            0 => self.raise(id, at),
            1..4 => self.accept(id, at),
            _ => self.live(id, at),
        };
        self.ids.push(id);
        let held_back = [0, 0, 0, 0, 0, 0, 30 * SECOND, 300 * SECOND, 2 * HOUR];
        let appended = self.now + self.random.pick(&held_back);
        let read_to = match self.random.below(8) {
            0..2 => None,
            2 => Some(-1),
            3 => Some(self.now - 60 * SECOND),
            4 => Some(self.now + HOUR),
            _ => Some(self.now),
        };
        self.drafts.push(Draft {
            event,
            pressed: self.now,
            appended,
            read_to,
        });
    }

    fn raise(&mut self, id: EventId, at: EventTime) -> Event {
        let house = self.random.pick(&self.names.callers);
        self.alerts.push((id, house.clone()));
        Event::Raised(AlertRaised {
            id,
            line: self.names.line.clone(),
            house,
            text: Text::new("").0,
            position: None,
            at,
            status: Status::Actual,
            warnings: vec![],
        })
    }

    fn alert(&mut self) -> (EventId, House) {
        let unknown = (id(900), self.names.callers[0].clone());
        if self.alerts.is_empty() || self.random.one_in(30) {
            return unknown;
        }
        self.random.pick(&self.alerts)
    }

    fn helper(&mut self) -> House {
        if self.random.one_in(16) {
            return self.random.pick(&self.names.callers);
        }
        // Two of them mostly, so that they meet themselves.
        let among = self.random.pick(&[2, 2, 4]);
        self.random.pick(&self.names.helpers[..among])
    }

    fn accept(&mut self, id: EventId, at: EventTime) -> Event {
        let (alert_id, target) = self.alert();
        let responder = self.helper();
        self.accepts.push((id, responder.clone()));
        Event::Accepted(AlertAccepted {
            id,
            line: self.names.line.clone(),
            responder,
            target,
            alert_id: (!self.random.one_in(3)).then_some(alert_id),
            at,
            seen: None,
            status: Status::Actual,
            warnings: vec![],
        })
    }

    fn live(&mut self, id: EventId, at: EventTime) -> Event {
        let (alert_id, caller) = self.alert();
        let kind = self.kind();
        let (house, role) = self.actor(&kind, caller);
        let note = self.random.one_in(5).then(|| Text::new("note").0);
        Event::Life(Arc::new(LifeEvent {
            id,
            line: self.names.line.clone(),
            house,
            alert_id,
            at,
            role,
            seen: None,
            note,
            kind,
            status: Status::Actual,
            warnings: vec![],
        }))
    }

    fn kind(&mut self) -> LifeKind {
        match self.random.below(16) {
            0 => LifeKind::Cancelled,
            1 => LifeKind::Resolved {
                how: Resolution::Safe,
            },
            2 => LifeKind::Closed {
                reason: CloseReason::Handled,
            },
            3..6 => LifeKind::Reopened,
            6 => LifeKind::Corrected(self.correction()),
            7..11 => LifeKind::Withdrawn {
                why: self.random.pick(WithdrawReason::ALL),
                accept_ids: self.named_accepts(),
            },
            11 => LifeKind::Departed {
                accept_id: self.named_accept(),
            },
            12..14 => LifeKind::Arrived {
                accept_id: self.named_accept(),
            },
            _ => LifeKind::Escalated(self.escalation()),
        }
    }

    fn actor(&mut self, kind: &LifeKind, caller: House) -> (House, Role) {
        let names = self.names;
        let notifier = (names.notifier.clone(), Role::System);
        let guard = (names.guard.clone(), Role::Guard);
        let manager = (names.manager.clone(), Role::Manager);
        let helper = (self.helper(), Role::Resident);
        let caller = (caller, Role::Resident);
        let any = [
            helper.clone(),
            caller.clone(),
            guard.clone(),
            manager.clone(),
            notifier.clone(),
        ];
        if self.random.one_in(6) {
            return self.random.pick(&any);
        }
        match kind {
            LifeKind::Cancelled | LifeKind::Corrected(_) => caller,
            LifeKind::Resolved { .. } => self.random.pick(&[caller, helper, guard]),
            LifeKind::Closed { .. } => self.random.pick(&[guard, manager]),
            LifeKind::Reopened => self.random.pick(&[caller.clone(), caller, helper, guard]),
            LifeKind::Escalated(_) => notifier,
            LifeKind::Withdrawn { .. } | LifeKind::Departed { .. } | LifeKind::Arrived { .. } => {
                helper
            }
        }
    }

    /// Mostly an accept that was made, of whatever house.
    fn named_accept(&mut self) -> Option<EventId> {
        if self.accepts.is_empty() || self.random.one_in(2) {
            return None;
        }
        let (id, _) = self.random.pick(&self.accepts);
        Some(id)
    }

    fn named_accepts(&mut self) -> Vec<EventId> {
        let mut named: Vec<EventId> = vec![];
        for _ in 0..self.random.pick(&[0, 0, 1, 1, 2]) {
            named.extend(self.named_accept());
        }
        named.dedup();
        named
    }

    fn correction(&mut self) -> Correction {
        let random = &mut self.random;
        let word = random.pick(&["one", "two", "three"]);
        let decimal = |digits: &str| Decimal::read(digits, 0.0, 90.0).expect("a number");
        let degrees = random.pick(&["37", "38"]);
        Correction {
            text: random.one_in(2).then(|| Text::new(word).0),
            point: random.one_in(3).then(|| Point {
                lat: decimal(degrees),
                lng: decimal("27"),
            }),
            accuracy: random.one_in(4).then(|| decimal("12")),
            floor: random.one_in(3).then(|| word.to_owned()),
        }
    }

    fn escalation(&mut self) -> Escalation {
        let cycle = match self.ids.is_empty() {
            true => None,
            false => Some(self.random.pick(&self.ids)),
        };
        let first = self.alerts.first().map(|(id, _)| *id);
        Escalation {
            cycle: self.random.pick(&[cycle, first]),
            track: self.random.pick(&[Track::Unanswered, Track::Unarrived]),
            step_ms: self.random.pick(&[0, 20_000, 60_000]),
            turn: self.random.pick(&[0, 1]),
            due: None,
            does: None,
            late: false,
            policy: None,
        }
    }

    /// Gives each event its place, and what its sender had seen.
    fn append(mut self) -> Vec<Recorded> {
        self.drafts
            .sort_by_key(|draft| (draft.appended, draft.pressed));
        let lives = self
            .drafts
            .iter()
            .filter(|draft| draft.event.topic() == Topic::Life);
        let appended: Vec<i64> = lives.map(|draft| draft.appended).collect();
        let mut ends = [0, 0, 0];
        let mut records = vec![];
        for draft in &mut self.drafts {
            let seen = draft.read_to.map(|moment| {
                let known = appended
                    .iter()
                    .filter(|appended| **appended <= moment)
                    .count();
                known
                    .checked_sub(1)
                    .map_or(Seen::NOTHING, |last| Seen::up_to(last as u64))
            });
            set_seen(&mut draft.event, seen);
            let twice = self.random.one_in(24);
            for _ in 0..=usize::from(twice) {
                records.push(placed(&draft.event, &mut ends));
            }
        }
        records
    }
}

fn placed(event: &Event, ends: &mut [u64; 3]) -> Recorded {
    let topic = event.topic();
    let end = match topic {
        Topic::Alert => &mut ends[0],
        Topic::Accept => &mut ends[1],
        Topic::Life => &mut ends[2],
    };
    let offset = *end;
    *end += 1;
    let place = RecordPosition {
        topic,
        partition: 0,
        offset,
    };
    Recorded {
        event: event.clone(),
        place,
        time: event.at(),
    }
}

fn set_seen(event: &mut Event, seen: Option<Seen>) {
    match event {
        Event::Raised(_) => {}
        Event::Accepted(accept) => accept.seen = seen,
        Event::Life(event) => Arc::make_mut(event).seen = seen,
    }
}

/// The caller of the alert opens it again, as the last record of the lives.
pub(super) fn reopened_last(
    names: &Names,
    records: &[Recorded],
    alert: &crate::fold::Alert,
    at: EventTime,
) -> Recorded {
    let lives = records
        .iter()
        .filter(|record| record.place.topic == Topic::Life);
    let event = LifeEvent {
        id: id(901),
        line: names.line.clone(),
        house: alert.house.clone(),
        alert_id: alert.id,
        at,
        role: Role::Resident,
        seen: None,
        note: None,
        kind: LifeKind::Reopened,
        status: Status::Actual,
        warnings: vec![],
    };
    let offset = lives
        .map(|record| record.place.offset + 1)
        .max()
        .unwrap_or_default();
    let place = RecordPosition {
        topic: Topic::Life,
        partition: 0,
        offset,
    };
    Recorded {
        event: Event::Life(Arc::new(event)),
        place,
        time: at,
    }
}
