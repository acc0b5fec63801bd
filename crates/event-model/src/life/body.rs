//! The keys of each kind of life event in a JSON object, written to records and read from records and requests. Every value is a text.

use serde_json::{Map, Value};

use super::{
    ACCEPT_IDS_MAX, CloseReason, Correction, Escalation, LifeKind, Point, Resolution, Seen, Track,
    WithdrawReason,
};
use crate::json::scalar_text;
use crate::position::{read_accuracy, read_floor, read_point};
use crate::record::put;
use crate::{EventId, Text, Warning};

impl LifeKind {
    /// Reads what an object says beside the keys that all kinds have. `name` is one of [`LifeKind::TYPES`], else there is no such
    /// kind. What is missing or cannot be read is taken in the way that says least.
    pub fn read(
        name: &str,
        object: &Map<String, Value>,
        warnings: &mut Vec<Warning>,
    ) -> Option<Self> {
        let mut body = Body { object, warnings };
        Some(match name {
            "cancelled" => Self::Cancelled,
            "resolved" => Self::Resolved {
                how: body.word("how", Resolution::from_name, Resolution::UNKNOWN),
            },
            "closed" => Self::Closed {
                reason: body.word("reason", CloseReason::from_name, CloseReason::UNKNOWN),
            },
            "reopened" => Self::Reopened,
            "corrected" => Self::Corrected(body.correction()),
            "withdrawn" => Self::Withdrawn {
                why: body.word("why", WithdrawReason::from_name, WithdrawReason::UNKNOWN),
                accept_ids: body.accept_ids(),
            },
            "departed" => Self::Departed {
                accept_id: body.accept_id(),
            },
            "arrived" => Self::Arrived {
                accept_id: body.accept_id(),
            },
            "escalated" => Self::Escalated(body.escalation()),
            _ => return None,
        })
    }

    /// Adds what this kind says beside the keys that all kinds have.
    pub(crate) fn put(&self, object: &mut Map<String, Value>) {
        match self {
            Self::Cancelled | Self::Reopened => {}
            Self::Resolved { how } => put(object, "how", how.as_str()),
            Self::Closed { reason } => put(object, "reason", reason.as_str()),
            Self::Corrected(correction) => put_correction(object, correction),
            Self::Withdrawn { why, accept_ids } => {
                put(object, "why", why.as_str());
                if !accept_ids.is_empty() {
                    let ids: Vec<String> = accept_ids.iter().map(EventId::to_string).collect();
                    put(object, "acceptIds", &ids.join(" "));
                }
            }
            Self::Departed { accept_id } | Self::Arrived { accept_id } => {
                if let Some(accept_id) = accept_id {
                    put(object, "acceptId", &accept_id.to_string());
                }
            }
            Self::Escalated(escalation) => put_escalation(object, escalation),
        }
    }
}

/// What `note` says, if it says anything.
pub(crate) fn read_note(object: &Map<String, Value>, warnings: &mut Vec<Warning>) -> Option<Text> {
    Body { object, warnings }.text("note")
}

/// What `seen` says. One that cannot be read is as good as none: the sender may not have known.
pub(crate) fn read_seen(object: &Map<String, Value>) -> Option<Seen> {
    scalar_text(object.get("seen")?)?.parse().ok()
}

fn put_correction(object: &mut Map<String, Value>, correction: &Correction) {
    if let Some(text) = &correction.text {
        put(object, "text", text.as_str());
    }
    if let Some(point) = &correction.point {
        put(object, "lat", point.lat.as_str());
        put(object, "lng", point.lng.as_str());
    }
    if let Some(accuracy) = &correction.accuracy {
        put(object, "accuracy", accuracy.as_str());
    }
    if let Some(floor) = &correction.floor {
        put(object, "floor", floor);
    }
}

fn put_escalation(object: &mut Map<String, Value>, escalation: &Escalation) {
    if let Some(cycle) = escalation.cycle {
        put(object, "cycle", &cycle.to_string());
    }
    put(object, "track", escalation.track.as_str());
    put(object, "step", &escalation.step_ms.to_string());
    put(object, "turn", &escalation.turn.to_string());
    if let Some(due) = escalation.due {
        put(object, "due", &due.to_string());
    }
    if let Some(does) = &escalation.does {
        put(object, "does", does.as_str());
    }
    put(
        object,
        "late",
        if escalation.late { "true" } else { "false" },
    );
    if let Some(policy) = &escalation.policy {
        put(object, "policy", policy.as_str());
    }
}

/// An object on its way to becoming a kind.
struct Body<'a> {
    object: &'a Map<String, Value>,
    warnings: &'a mut Vec<Warning>,
}

impl Body<'_> {
    fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The value under `name`, unless it says nothing.
    fn said(&self, name: &str) -> Option<&Value> {
        let value = self.object.get(name)?;
        (!value.is_null() && *value != "").then_some(value)
    }

    fn word<W>(&mut self, name: &str, read: impl Fn(&str) -> Option<W>, unknown: W) -> W {
        let Some(said) = self.said(name) else {
            return unknown;
        };
        match scalar_text(said).and_then(|word| read(&word)) {
            Some(word) => word,
            None => {
                self.warn(Warning::WordUnknown);
                unknown
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<Text> {
        let Some(raw) = scalar_text(self.said(name)?).map(std::borrow::Cow::into_owned) else {
            self.warn(Warning::TextDropped);
            return None;
        };
        let (text, cut) = Text::new(&raw);
        if let Some(cut) = cut {
            self.warn(cut);
        }
        Some(text)
    }

    fn accept_id(&mut self) -> Option<EventId> {
        let said = self.said("acceptId")?;
        let accept_id = scalar_text(said).and_then(|id| id.parse().ok());
        if accept_id.is_none() {
            self.warn(Warning::AcceptIdDropped);
        }
        accept_id
    }

    /// The first of each id, in their order.
    fn accept_ids(&mut self) -> Vec<EventId> {
        let Some(said) = self.said("acceptIds") else {
            return vec![];
        };
        let listed = scalar_text(said).unwrap_or_default().into_owned();
        let words: Vec<&str> = listed.split_ascii_whitespace().collect();
        let mut ids: Vec<EventId> = Vec::new();
        if words.len() <= ACCEPT_IDS_MAX {
            for id in words.iter().filter_map(|word| word.parse().ok()) {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        if ids.is_empty() || words.iter().any(|word| word.parse::<EventId>().is_err()) {
            self.warn(Warning::AcceptIdDropped);
        }
        ids
    }

    fn correction(&mut self) -> Correction {
        let text = self.text("text");
        let mut warnings = Vec::new();
        let correction = Correction {
            text,
            point: read_point(self.object, &mut warnings).map(|(lat, lng)| Point { lat, lng }),
            accuracy: read_accuracy(self.object, &mut warnings),
            floor: read_floor(self.object, &mut warnings),
        };
        for warning in warnings {
            self.warn(warning);
        }
        correction
    }

    fn escalation(&mut self) -> Escalation {
        let number = |name| scalar_text(self.object.get(name)?)?.parse::<u64>().ok();
        let (step_ms, turn) = (number("step"), number("turn"));
        Escalation {
            cycle: self.string("cycle").and_then(|id| id.parse().ok()),
            track: self.word("track", Track::from_name, Track::UNKNOWN),
            step_ms: step_ms.unwrap_or_default(),
            turn: turn
                .and_then(|turn| turn.try_into().ok())
                .unwrap_or_default(),
            due: self.string("due").and_then(|due| due.parse().ok()),
            does: self.text("does"),
            late: self.string("late") == Some("true"),
            policy: self.text("policy"),
        }
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.object.get(name)?.as_str()
    }
}
