//! Where the caller is, as precisely as the phone said it and no more.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::json::scalar_text;
use crate::{EventTime, Warning};

/// A decimal number kept as it was written, so that no digit is added or lost on the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Decimal(String);

impl Decimal {
    /// The most characters of a number; longer ones are written anew from their value.
    const CHARACTERS_MAX: usize = 32;

    /// Reads a finite number between `min` and `max`.
    pub fn read(raw: &str, min: f64, max: f64) -> Option<Self> {
        let raw = raw.trim();
        let number: f64 = raw.parse().ok()?;
        if !(min..=max).contains(&number) {
            return None;
        }
        let kept = is_plain(raw) && raw.len() <= Self::CHARACTERS_MAX;
        // Rust writes a float in full, without an exponent, and adds 0.0 so that -0 has no sign.
        Some(Self(if kept {
            raw.to_owned()
        } else {
            (number + 0.0).to_string()
        }))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest floating point number.
    pub fn to_f64(&self) -> f64 {
        self.0
            .parse()
            .expect("a decimal was read as a number when it was made")
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `-?digits[.digits]`: what every JSON, CSV and map reader understands.
fn is_plain(raw: &str) -> bool {
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// A point on earth (WGS 84), with what the phone knows about it. Personal: never in logs, metrics or traces, and so
/// without a `Display` and with a `Debug` that shows nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub lat: Decimal,
    /// Degrees east, -180 to 180.
    pub lng: Decimal,
    /// Radius in metres that holds the caller in 95 of 100 cases.
    pub accuracy: Option<Decimal>,
    /// As people say it: `3`, `B1`, `옥상`.
    pub floor: Option<String>,
    /// When the phone measured it, which may be long before the call.
    pub located_at: Option<EventTime>,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Position(..)")
    }
}

/// The most characters of a floor.
const FLOOR_CHARACTERS_MAX: usize = 16;

/// The largest radius in metres that still says something: half the way round the earth.
const ACCURACY_MAX: f64 = 20_037_509.0;

impl Position {
    /// Reads `lat`, `lng`, `accuracy`, `floor` and `locatedAt` of a call's or a record's JSON object. Both coordinates or
    /// none: half a position is dropped, with a warning, like one that is out of range.
    pub fn read(object: &Map<String, Value>, warnings: &mut Vec<Warning>) -> Option<Self> {
        let (lat, lng) = read_point(object, warnings)?;
        let accuracy = read_accuracy(object, warnings);
        let floor = read_floor(object, warnings);
        let located_at = read_optional(
            object,
            "locatedAt",
            warnings,
            Warning::LocatedAtDropped,
            |value| value.as_str()?.parse().ok(),
        );
        Some(Self {
            lat,
            lng,
            accuracy,
            floor,
            located_at,
        })
    }

    /// Exactly (0, 0): in the sea off Ghana, and the mark of a phone that did not know where it was.
    pub fn is_null_island(&self) -> bool {
        self.lat.to_f64() == 0.0 && self.lng.to_f64() == 0.0
    }
}

/// Both coordinates or none.
pub(crate) fn read_point(
    object: &Map<String, Value>,
    warnings: &mut Vec<Warning>,
) -> Option<(Decimal, Decimal)> {
    let (lat, lng) = (said(object, "lat"), said(object, "lng"));
    if lat.is_none() && lng.is_none() {
        return None;
    }
    let point = decimal(lat, -90.0, 90.0).zip(decimal(lng, -180.0, 180.0));
    if point.is_none() {
        warnings.push(Warning::PositionDropped);
    }
    point
}

pub(crate) fn read_accuracy(
    object: &Map<String, Value>,
    warnings: &mut Vec<Warning>,
) -> Option<Decimal> {
    read_optional(
        object,
        "accuracy",
        warnings,
        Warning::AccuracyDropped,
        |value| decimal(Some(value), 0.0, ACCURACY_MAX),
    )
}

pub(crate) fn read_floor(
    object: &Map<String, Value>,
    warnings: &mut Vec<Warning>,
) -> Option<String> {
    read_optional(object, "floor", warnings, Warning::FloorDropped, floor)
}

fn read_optional<T>(
    object: &Map<String, Value>,
    name: &str,
    warnings: &mut Vec<Warning>,
    dropped: Warning,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let value = read(said(object, name)?);
    if value.is_none() {
        warnings.push(dropped);
    }
    value
}

/// The value under `name`, unless it is null or the empty text, which old clients send for "none".
fn said<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let value = object.get(name)?;
    let empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
    (!empty).then_some(value)
}

fn decimal(value: Option<&Value>, min: f64, max: f64) -> Option<Decimal> {
    let value = value?;
    if value.is_boolean() {
        return None;
    }
    Decimal::read(&scalar_text(value)?, min, max)
}

fn floor(value: &Value) -> Option<String> {
    let (text, _) = crate::Text::new(scalar_text(value)?.trim());
    let floor = text.as_str().replace(['\n', '\t'], " ");
    (floor.chars().count() <= FLOOR_CHARACTERS_MAX).then_some(floor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> (Option<Position>, Vec<Warning>) {
        let mut warnings = Vec::new();
        let position = Position::read(object.as_object().unwrap(), &mut warnings);
        (position, warnings)
    }

    fn point(object: Value) -> Option<(String, String)> {
        read(object)
            .0
            .map(|position| (position.lat.to_string(), position.lng.to_string()))
    }

    #[test]
    fn digits_are_kept_as_they_were_written() {
        let expected = Some(("37.50".to_owned(), "-127.0276000".to_owned()));
        assert_eq!(
            point(json!({"lat": "37.50", "lng": " -127.0276000 "})),
            expected
        );
        assert_eq!(
            point(json!({"lat": 37.5, "lng": 127})),
            Some(("37.5".to_owned(), "127".to_owned()))
        );
        assert_eq!(
            point(json!({"lat": "3e1", "lng": "+1e-7"})),
            Some(("30".to_owned(), "0.0000001".to_owned()))
        );
    }

    #[test]
    fn half_a_position_or_one_off_the_earth_is_dropped() {
        let bad = [
            json!({"lat": "37.5"}),
            json!({"lng": 127.0, "lat": null}),
            json!({"lat": "90.01", "lng": "0"}),
            json!({"lat": 0, "lng": -180.5}),
            json!({"lat": "NaN", "lng": "inf"}),
            json!({"lat": true, "lng": [1]}),
            json!({"lat": "37,5", "lng": "127"}),
        ];
        for object in bad {
            assert_eq!(
                read(object.clone()),
                (None, vec![Warning::PositionDropped]),
                "{object}"
            );
        }
    }

    #[test]
    fn no_position_is_no_mistake() {
        for object in [
            json!({}),
            json!({"lat": "", "lng": ""}),
            json!({"lat": null, "lng": " "}),
        ] {
            assert_eq!(read(object), (None, vec![]));
        }
    }

    #[test]
    fn what_more_is_said_is_kept_or_dropped_by_itself() {
        let (position, warnings) = read(json!({
            "lat": "37.5", "lng": "127", "accuracy": 12.5, "floor": 3, "locatedAt": "2026-11-20T15:00:00+09:00"
        }));
        let position = position.unwrap();
        assert_eq!(position.accuracy.unwrap().as_str(), "12.5");
        assert_eq!(position.floor.as_deref(), Some("3"));
        assert_eq!(
            position.located_at.unwrap().to_string(),
            "2026-11-20T06:00:00.000Z"
        );
        assert_eq!(warnings, []);

        let (position, warnings) = read(json!({
            "lat": "37.5", "lng": "127", "accuracy": -1, "floor": "a very long floor name", "locatedAt": "yesterday"
        }));
        assert!(position.is_some());
        assert_eq!(
            warnings,
            [
                Warning::AccuracyDropped,
                Warning::FloorDropped,
                Warning::LocatedAtDropped
            ]
        );
    }

    #[test]
    fn the_mark_of_a_phone_that_did_not_know_is_seen() {
        let null_island = |lat: &str, lng: &str| {
            read(json!({"lat": lat, "lng": lng}))
                .0
                .unwrap()
                .is_null_island()
        };
        assert!(null_island("0.0", "-0"));
        assert!(!null_island("0.0", "0.1"));
    }

    #[test]
    fn a_position_does_not_leak_through_debug() {
        let position = read(json!({"lat": "37.123456", "lng": "127"})).0.unwrap();
        assert!(!format!("{position:?}").contains("37"));
    }
}
