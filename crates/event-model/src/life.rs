//! What happens to a call after it was raised: the nine events of the topic `an-life`, and the words in them.
//!
//! Every event may be in the log, also one that contradicts another, comes late or is from a house with no part in the call: which of
//! them count, and what they add up to, is said by [`crate::fold`].

pub(crate) mod body;

use std::fmt;
use std::str::FromStr;

use crate::id::IdempotencyScope;
use crate::{Decimal, EventId, EventTime, House, Line, Status, Text, Warning};

/// One event in the life of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeEvent {
    /// The event's id: the same in every record that repeats it.
    pub id: EventId,
    /// The complex of the call.
    pub line: Line,
    /// Who acts. A manager without a house is [`LifeEvent::MANAGER`], the notifier [`LifeEvent::NOTIFIER`].
    pub house: House,
    /// The alert that it is about.
    pub alert_id: EventId,
    /// When it happened.
    pub at: EventTime,
    /// As whom the house acts, from its token.
    pub role: Role,
    /// What the sender knew of the call's life.
    pub seen: Option<Seen>,
    /// What the sender adds in words, to be read by the whole line. Never empty.
    pub note: Option<Text>,
    /// What happened.
    pub kind: LifeKind,
    /// Its sender's: a canary's events are tests. Whether the call is a drill is said by the alert's own status.
    pub status: Status,
    /// What was degraded to be able to take it, in no particular order, each once.
    pub warnings: Vec<Warning>,
}

impl LifeEvent {
    /// The house of a manager who has none.
    pub const MANAGER: &str = "__manager";
    /// The house of the system itself, which tells more people when nobody answers.
    pub const NOTIFIER: &str = "__mayday";

    /// As [`crate::AlertRaised::idempotent_id`], over what the request says: line, house, alert, verb, words, texts and the accepts
    /// that it names; not over position, times and `seen`. To be asked before the api adds what its view knows.
    pub fn idempotent_id(&self, scope: &IdempotencyScope<'_>) -> EventId {
        let alert_id = self.alert_id.to_string();
        let said = self.kind.said();
        let mut fields: Vec<&[u8]> = vec![
            self.line.as_str().as_bytes(),
            self.house.as_str().as_bytes(),
            alert_id.as_bytes(),
            self.kind.name().as_bytes(),
            self.note.as_ref().map_or("", Text::as_str).as_bytes(),
        ];
        fields.extend(said.iter().map(|text| text.as_bytes()));
        scope.derive(&fields)
    }
}

/// What happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeKind {
    /// The caller calls it off.
    Cancelled,
    /// It is over.
    Resolved {
        /// How it ended.
        how: Resolution,
    },
    /// A guard or manager puts it away.
    Closed {
        /// Why.
        reason: CloseReason,
    },
    /// It is not over, or nobody is there.
    Reopened,
    /// What the caller said was wrong, or there is more to say.
    Corrected(Correction),
    /// A house that accepted will not come, or has left.
    Withdrawn {
        /// Why.
        why: WithdrawReason,
        /// The accepts that it takes back. Empty: it names none.
        accept_ids: Vec<EventId>,
    },
    /// A helper is on the way.
    Departed {
        /// The accept that it follows, if it names one.
        accept_id: Option<EventId>,
    },
    /// A helper is there.
    Arrived {
        /// The accept that it follows, if it names one.
        accept_id: Option<EventId>,
    },
    /// Nobody helped for too long: more people are told.
    Escalated(Escalation),
}

/// The most accepts that a withdrawal names. One that names more counts as one that names none, which takes back all of them.
pub const ACCEPT_IDS_MAX: usize = 256;

impl LifeKind {
    /// The name of each kind and the `ce_type` of its records, in the order of this enum.
    pub const TYPES: [(&str, &str); 9] = [
        ("cancelled", "alert.cancelled.v1"),
        ("resolved", "alert.resolved.v1"),
        ("closed", "alert.closed.v1"),
        ("reopened", "alert.reopened.v1"),
        ("corrected", "alert.corrected.v1"),
        ("withdrawn", "alert.withdrawn.v1"),
        ("departed", "alert.departed.v1"),
        ("arrived", "alert.arrived.v1"),
        ("escalated", "alert.escalated.v1"),
    ];

    /// The name of the kind that `POST /alerts/{alertId}/{verb}` asks for.
    pub fn name_of_verb(verb: &str) -> Option<&'static str> {
        let verbs = [
            "cancel", "resolve", "close", "reopen", "correct", "withdraw", "depart", "arrive",
        ];
        // The notifier's has no route.
        let mut pairs = verbs.into_iter().zip(Self::TYPES);
        let (_, (name, _)) = pairs.find(|(known, _)| *known == verb)?;
        Some(name)
    }

    /// `what` in pushes, and the middle of [`Self::event_type`].
    pub fn name(&self) -> &'static str {
        self.named().0
    }

    /// The `ce_type` of its records.
    pub fn event_type(&self) -> &'static str {
        self.named().1
    }

    fn named(&self) -> (&'static str, &'static str) {
        let index = match self {
            Self::Cancelled => 0,
            Self::Resolved { .. } => 1,
            Self::Closed { .. } => 2,
            Self::Reopened => 3,
            Self::Corrected(_) => 4,
            Self::Withdrawn { .. } => 5,
            Self::Departed { .. } => 6,
            Self::Arrived { .. } => 7,
            Self::Escalated(_) => 8,
        };
        Self::TYPES[index]
    }

    /// Does it end a call, if it counts?
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Resolved { .. } | Self::Closed { .. }
        )
    }

    /// What it says, for an id that is derived from it.
    fn said(&self) -> Vec<String> {
        match self {
            Self::Cancelled | Self::Reopened | Self::Escalated(_) => vec![],
            Self::Resolved { how } => vec![how.as_str().to_owned()],
            Self::Closed { reason } => vec![reason.as_str().to_owned()],
            Self::Corrected(correction) => {
                let text = correction.text.as_ref().map_or("", Text::as_str);
                vec![text.to_owned()]
            }
            Self::Withdrawn { why, accept_ids } => {
                let ids = accept_ids.iter().map(EventId::to_string);
                std::iter::once(why.as_str().to_owned())
                    .chain(ids)
                    .collect()
            }
            Self::Departed { accept_id } | Self::Arrived { accept_id } => {
                accept_id.iter().map(EventId::to_string).collect()
            }
        }
    }
}

/// What a correction says instead of the alert's own. `None`: as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    /// What the caller says. Never empty.
    pub text: Option<Text>,
    /// Where the caller is.
    pub point: Option<Point>,
    /// Radius in metres that holds the caller in 95 of 100 cases.
    pub accuracy: Option<Decimal>,
    /// As people say it: `3`, `B1`, `옥상`.
    pub floor: Option<String>,
}

/// Degrees north and east (WGS 84). Personal, as [`crate::Position`] is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Degrees north, -90 to 90.
    pub lat: Decimal,
    /// Degrees east, -180 to 180.
    pub lng: Decimal,
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Point(..)")
    }
}

/// One step that was due and taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The event with which the spell began that it belongs to. Without it the step belongs to none.
    pub cycle: Option<EventId>,
    /// What was waited for.
    pub track: Track,
    /// The step's time after the start of its cycle, in milliseconds: its name, also under another policy.
    pub step_ms: u64,
    /// Which repetition of the step, from 0.
    pub turn: u32,
    /// When it was due.
    pub due: Option<EventTime>,
    /// Its actions, a space between.
    pub does: Option<Text>,
    /// Whether it was taken long after it was due.
    pub late: bool,
    /// The revision of the policy that it follows.
    pub policy: Option<Text>,
}

/// Defines an enum of words, with one for those that are not known.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, unknown: $unknown:ident, { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// Every word there is.
            pub const ALL: &[Self] = &[$(Self::$word),+];
            /// What a word counts as that is not known, or was not said.
            pub const UNKNOWN: Self = Self::$unknown;

            /// The word in records and pushes.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }

            /// The word of that name, exactly as [`Self::as_str`] writes it.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// As whom a house acts: of several roles of its token the highest.
    Role, unknown: Resident, {
        /// A household.
        Resident = "resident",
        /// A post of guards.
        Guard = "guard",
        /// Who runs the complex.
        Manager = "manager",
        /// The notifier.
        System = "system",
    }
}

words! {
    /// How a call was resolved.
    Resolution, unknown: Other, {
        /// The caller is safe.
        Safe = "safe",
        /// Neighbours helped.
        Helped = "helped",
        /// The emergency services took over.
        Official = "official",
        /// In another way.
        Other = "other",
    }
}

words! {
    /// Why a guard or manager closed a call.
    CloseReason, unknown: Other, {
        /// It was seen to.
        Handled = "handled",
        /// There was nothing.
        FalseAlarm = "false_alarm",
        /// Another call is about the same.
        Duplicate = "duplicate",
        /// A resident tried it out.
        Test = "test",
        /// The caller could not be reached.
        Unreachable = "unreachable",
        /// Another reason.
        Other = "other",
    }
}

words! {
    /// Why a house takes its accept back.
    WithdrawReason, unknown: Cannot, {
        /// It was never meant. Only shortly after the accept: see [`crate::fold`].
        Undo = "undo",
        /// The helper cannot come.
        Cannot = "cannot",
        /// The helper was there and has gone.
        Left = "left",
    }
}

words! {
    /// What an escalation waited for.
    Track, unknown: Other, {
        /// That a house accepts.
        Unanswered = "unanswered",
        /// That a house that accepted arrives.
        Unarrived = "unarrived",
        /// Something that this version does not know.
        Other = "other",
    }
}

/// Up to where the sender of an accept or a life event had read the line's partition of `an-life` when they pressed. Written as the
/// last offset, `-1` for nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The first offset that was not read.
    end: u64,
}

impl Seen {
    /// The sender knew of no life event.
    pub const NOTHING: Self = Self { end: 0 };

    /// The sender had read the record at `offset`. Kafka's offsets end far below where this would.
    pub fn up_to(offset: u64) -> Self {
        Self {
            end: offset.saturating_add(1),
        }
    }

    /// Had the sender read the record at `offset`?
    pub fn covers(self, offset: u64) -> bool {
        offset < self.end
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end.checked_sub(1) {
            Some(last) => last.fmt(f),
            None => f.write_str("-1"),
        }
    }
}

/// The string is no offset, and not `-1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no offset and not -1")]
pub struct SeenError(String);

impl FromStr for Seen {
    type Err = SeenError;

    fn from_str(text: &str) -> Result<Self, SeenError> {
        if text == "-1" {
            return Ok(Self::NOTHING);
        }
        // An offset is a Kafka `int64`: a larger number would have seen everything, and doubt must not.
        let offset = text
            .parse::<u64>()
            .ok()
            .filter(|offset| i64::try_from(*offset).is_ok());
        offset
            .map(Self::up_to)
            .ok_or_else(|| SeenError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_the_last_offset_or_minus_one() {
        for (text, covered, not_covered) in
            [("-1", None, 0), ("0", Some(0), 1), ("41", Some(41), 42)]
        {
            let seen: Seen = text.parse().unwrap();
            assert_eq!(seen.to_string(), text);
            assert!(covered.is_none_or(|offset| seen.covers(offset)), "{text}");
            assert!(!seen.covers(not_covered), "{text}");
        }
        for bad in ["", "-2", "1.0", "x", "9223372036854775808"] {
            assert!(bad.parse::<Seen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_word_has_one_name() {
        let names = |words: Vec<&'static str>| {
            let distinct: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(distinct.len(), words.len(), "{words:?}");
        };
        names(Role::ALL.iter().map(|word| word.as_str()).collect());
        names(Resolution::ALL.iter().map(|word| word.as_str()).collect());
        names(CloseReason::ALL.iter().map(|word| word.as_str()).collect());
        names(
            WithdrawReason::ALL
                .iter()
                .map(|word| word.as_str())
                .collect(),
        );
        names(Track::ALL.iter().map(|word| word.as_str()).collect());
        assert_eq!(Role::from_name("guard"), Some(Role::Guard));
        assert_eq!(Role::from_name("Guard"), None);
    }
}
