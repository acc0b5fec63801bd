//! Tokens of the residents that the bench plays.

use anyhow::{Context, Result};
use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use resident_token::{Grant, Secret};
use service_kit::clock;

/// Signs the tokens of a run: the services are started with it and gone afterwards.
pub(crate) const SECRET: &str = "the bench's own secret, of no use to anybody";

/// A token for one house, for a day.
pub(crate) fn token(line: &Line, house: &str) -> Result<String> {
    let now =
        Timestamp::from_millisecond(clock::wall_ms()).context("the wall clock is out of range")?;
    let secret = Secret::new(SECRET).context("the bench's secret")?;
    let grant = Grant {
        line: Some(line.clone()),
        house: Some(House::new(house).context("a house of the bench")?),
        ..Grant::new(house, now + SignedDuration::from_hours(24))
    };
    Ok(secret.issue(&grant))
}

/// The line of a number.
pub(crate) fn line(number: usize) -> Result<Line> {
    Line::new(&format!("bench-{number}")).context("a line of the bench")
}
