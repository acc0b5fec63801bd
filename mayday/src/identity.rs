//! Tokens for houses: ready ones, or made with the data folder's secret.

use std::time::Duration;

use anyhow::Context;
use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use resident_token::{Grant, Secret};
use service_kit::{Failure, clock};

use crate::cli::{Identity, Token};
use crate::data_folder::DataFolder;

/// How long a token is good for that a command makes for itself.
const COMMAND_LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Prints a token.
pub(crate) fn token(args: &Token, folder: &DataFolder) -> Result<(), Failure> {
    println!(
        "{}",
        issue(&folder.secret()?, &args.line, &args.house, args.expires_in)?
    );
    Ok(())
}

/// The token that was given, else one made for `house`.
pub(crate) fn token_for(
    identity: &Identity,
    house: &str,
    folder: &DataFolder,
) -> Result<String, Failure> {
    if let Some(token) = &identity.token {
        return Ok(token.clone());
    }
    issue(&folder.secret()?, &identity.line, house, COMMAND_LASTS)
}

/// A token that lets `house` of `line` post and listen.
pub(crate) fn issue(
    secret: &Secret,
    line: &str,
    house: &str,
    lasts: Duration,
) -> Result<String, Failure> {
    let line = Line::new(line).with_context(|| format!("line {line:?}"))?;
    let house = House::new(house).with_context(|| format!("house {house:?}"))?;
    let lasts = SignedDuration::try_from(lasts).context("--expires-in is too long")?;
    let expires_at = now()
        .checked_add(lasts)
        .context("--expires-in is too long")?;
    let subject = format!("{line}/{house}");
    Ok(secret.issue(&Grant {
        line: Some(line),
        house: Some(house),
        ..Grant::new(subject, expires_at)
    }))
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(clock::wall_ms()).unwrap_or(Timestamp::MAX)
}
