//! What the fuzzer drives: the reading of bodies, with a caller of its own.

use event_model::{Event, EventId, EventTime, House, Line, SpringTypes, encode};

use crate::{
    api_error::ApiError,
    call_body::{Extent, read_accept, read_alert},
    caller::{Caller, CallerKind},
    owner::Owner,
};

/// Reads the bytes as an alert and as an accept, and writes the record of whatever comes of it.
///
/// # Panics
///
/// If an event is attributed to anybody but its caller, or a call for help refused for how it comes.
pub fn read_bodies(body: &[u8]) {
    let caller = Caller {
        line: Line::new("dong-101").expect("it is a name"),
        house: House::new("1502").expect("it is a name"),
        owner: Owner {
            issuer: String::new(),
            subject: "fuzzer".to_owned(),
        },
        kind: CallerKind::Person,
    };
    let id = EventId::new(EventTime::MIN, [7; 10]);
    let alert = read_alert(body, Extent::Whole, &caller, id, EventTime::MIN).map(Event::Raised);
    if let Err(error) = &alert {
        let names_another = matches!(error, ApiError::LineMismatch | ApiError::HouseMismatch);
        assert!(names_another, "a call for help was refused: {error}");
    }
    let accept = read_accept(body, &caller, id, EventTime::MIN).map(Event::Accepted);
    for event in [alert, accept].into_iter().flatten() {
        assert_eq!(*event.line(), caller.line);
        assert_eq!(*event.house(), caller.house);
        assert!(encode(&event, SpringTypes::Written, None).value.len() <= RECORD_BYTES_MAX);
    }
}

/// Names of 256 and 128 bytes, a text of 2 KiB, each escaped sixfold at worst, and what we add.
const RECORD_BYTES_MAX: usize = 6 * (256 + 2 * 128 + 2048) + 2048;
