//! From the bytes of a body to an event. Pure: the caller, the time and the id are arguments.
//!
//! `/alert` fails open: whatever can be attributed is taken, each repair with a warning, and of what is no JSON what can
//! be made out. `/accept` is strict about what
//! it needs, because an accept of the wrong alert sends no help to the house that waits for it.

use event_model::{
    AlertAccepted, AlertRaised, EventId, EventTime, House, Line, Position, Status, Text, Warning,
    json::{self, scalar_text},
};
use serde_json::{Map, Value};

use crate::{
    api_error::{ApiError, FieldError},
    caller::{Caller, CallerKind},
};

/// How much of a body there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Its end is missing, or not read.
    Beginning,
}

/// Reads the body of `POST /alert`.
///
/// # Errors
///
/// Only that it names another line or house than its token.
pub(crate) fn read_alert(
    body: &[u8],
    extent: Extent,
    caller: &Caller,
    id: EventId,
    at: EventTime,
) -> Result<AlertRaised, ApiError> {
    let mut call = CallBody::parse_leniently(body, extent);
    call.attribute(
        "line",
        &caller.line,
        Line::even_reserved,
        Warning::LineFromToken,
        ApiError::LineMismatch,
    )?;
    call.attribute(
        "house",
        &caller.house,
        House::even_reserved,
        Warning::HouseFromToken,
        ApiError::HouseMismatch,
    )?;
    let text = call.text();
    let position = Position::read(&call.object, &mut call.warnings);
    let status = call.status(caller.kind);
    let CallBody { mut warnings, .. } = call;
    warnings.sort_unstable();
    warnings.dedup();
    let (line, house) = (caller.line.clone(), caller.house.clone());
    Ok(AlertRaised {
        id,
        line,
        house,
        text,
        position,
        at,
        status,
        warnings,
    })
}

/// Reads the body of `POST /accept`.
pub(crate) fn read_accept(
    body: &[u8],
    caller: &Caller,
    id: EventId,
    at: EventTime,
) -> Result<AlertAccepted, ApiError> {
    let mut call = CallBody::parse(body)?;
    let mut errors = Vec::new();
    let line = call.name("line", "/line", Line::even_reserved, &mut errors);
    let responder = call.name(
        "acceptHouse",
        "/acceptHouse",
        House::even_reserved,
        &mut errors,
    );
    let target = call.name(
        "targetHouse",
        "/targetHouse",
        House::even_reserved,
        &mut errors,
    );
    let alert_id = call.alert_id();
    let (Some(line), Some(responder), Some(target)) = (line, responder, target) else {
        return Err(ApiError::Validation(errors));
    };
    if line != caller.line {
        return Err(ApiError::LineMismatch);
    }
    if responder != caller.house {
        return Err(ApiError::HouseMismatch);
    }
    if target == responder {
        return Err(ApiError::Validation(vec![error(
            "/targetHouse",
            "a house cannot accept its own alert",
        )]));
    }
    // The alert's own status counts wherever the two are read together; an accept claims none.
    let status = if caller.kind == CallerKind::Canary {
        Status::Test
    } else {
        Status::Actual
    };
    Ok(AlertAccepted {
        seen: None,
        id,
        line,
        responder,
        target,
        alert_id,
        at,
        status,
        warnings: call.warnings,
    })
}

/// A body that is a JSON object, and what had to be repaired so far.
struct CallBody {
    object: Map<String, Value>,
    warnings: Vec<Warning>,
}

impl CallBody {
    fn parse_leniently(body: &[u8], extent: Extent) -> Self {
        match Self::parse(body) {
            Ok(call) if extent == Extent::Whole => call,
            Ok(_) | Err(_) => Self {
                object: json::salvage(body),
                warnings: vec![Warning::BodyUnreadable],
            },
        }
    }

    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let parsed = json::parse(body).map_err(|error| ApiError::InvalidJson {
            detail: error.to_string(),
        })?;
        let Value::Object(object) = parsed.value else {
            return Err(ApiError::InvalidJson {
                detail: format!("it is {}", kind(&parsed.value)),
            });
        };
        let warnings = if parsed.repaired {
            vec![Warning::CharacterReplaced]
        } else {
            Vec::new()
        };
        Ok(Self { object, warnings })
    }

    /// A name that the token knows better: it may be missing or unreadable, but it may not be another one.
    fn attribute<N: PartialEq, E>(
        &mut self,
        field: &str,
        known: &N,
        read: impl Fn(&str) -> Result<N, E>,
        from_token: Warning,
        mismatch: ApiError,
    ) -> Result<(), ApiError> {
        let said = self.object.get(field);
        let name = said.and_then(scalar_text).and_then(|text| read(&text).ok());
        match name {
            Some(name) if name != *known => return Err(mismatch),
            Some(_) => self.note_if_read_as_text(field),
            None => self.warnings.push(from_token),
        }
        Ok(())
    }

    fn note_if_read_as_text(&mut self, field: &str) {
        if !self.object.get(field).is_some_and(Value::is_string) {
            self.warnings.push(Warning::ReadAsText);
        }
    }

    fn text(&mut self) -> Text {
        let raw = match self.object.get("text") {
            None | Some(Value::Null) => return Text::new("").0,
            Some(said) => scalar_text(said).map(|text| text.into_owned()),
        };
        let Some(raw) = raw else {
            self.warnings.push(Warning::TextDropped);
            return Text::new("").0;
        };
        self.note_if_read_as_text("text");
        let (text, cut) = Text::new(&raw);
        self.warnings.extend(cut);
        text
    }

    /// A resident may call a drill. Only a canary may call a test: a resident who writes that may need help all the same.
    fn status(&mut self, caller: CallerKind) -> Status {
        if caller == CallerKind::Canary {
            return Status::Test;
        }
        let said = match self.object.get("status") {
            None | Some(Value::Null) => return Status::Actual,
            Some(said) => said.as_str().and_then(Status::from_name),
        };
        match said {
            Some(status @ (Status::Actual | Status::Exercise)) => status,
            Some(Status::Test) | None => {
                self.warnings.push(Warning::StatusUnknown);
                Status::Actual
            }
        }
    }

    fn name<N, E: std::fmt::Display>(
        &mut self,
        field: &str,
        pointer: &'static str,
        read: impl Fn(&str) -> Result<N, E>,
        errors: &mut Vec<FieldError>,
    ) -> Option<N> {
        let Some(text) = self.object.get(field).and_then(scalar_text) else {
            errors.push(error(pointer, "is missing or not a string"));
            return None;
        };
        match read(&text) {
            Ok(name) => Some(name),
            Err(refused) => {
                errors.push(error(pointer, &refused.to_string()));
                None
            }
        }
    }

    fn alert_id(&mut self) -> Option<EventId> {
        let said = self
            .object
            .get("alertId")
            .filter(|said| !said.is_null() && *said != "")?;
        let alert_id = said.as_str().and_then(|text| text.parse().ok());
        if alert_id.is_none() {
            self.warnings.push(Warning::AlertIdDropped);
        }
        alert_id
    }
}

fn error(pointer: &'static str, detail: &str) -> FieldError {
    FieldError {
        pointer,
        detail: detail.to_owned(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
