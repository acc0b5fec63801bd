//! Tokens for houses: ready ones, or made with the data folder's secret.

use std::time::Duration;

use anyhow::Context;
use event_model::{House, Line};
use jiff::{SignedDuration, Timestamp};
use resident_token::{Grant, Role, Secret};
use service_kit::{Failure, clock};

use crate::cli::{DEMO_CALLER, DEMO_LINE, Identity, Token};
use crate::data_folder::DataFolder;

/// How long a token is good for that a command makes for itself.
const COMMAND_LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a token is good for that names a role: a guard's or a manager's pass.
const ROLE_LASTS: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Prints a token.
pub(crate) fn token(args: &Token, folder: &DataFolder) -> Result<(), Failure> {
    let role = args.role.unwrap_or(Role::Resident);
    let line = args.line.as_deref();
    let line = line.or((!role.may_lack_line()).then_some(DEMO_LINE));
    let house = args.house.as_deref();
    let house = house.or((!role.may_lack_house()).then_some(DEMO_CALLER));
    let lasts = match args.role {
        Some(_) => ROLE_LASTS,
        None => COMMAND_LASTS,
    };
    let lasts = args.expires_in.unwrap_or(lasts);
    println!(
        "{}",
        issue_as(&folder.secret()?, args.role, line, house, lasts)?
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
    issue_as(secret, None, Some(line), Some(house), lasts)
}

fn issue_as(
    secret: &Secret,
    role: Option<Role>,
    line: Option<&str>,
    house: Option<&str>,
    lasts: Duration,
) -> Result<String, Failure> {
    // Names that the system keeps to itself are for its canaries alone.
    let is_canary = role == Some(Role::Canary);
    let line_of = if is_canary {
        Line::even_reserved
    } else {
        Line::new
    };
    let house_of = if is_canary {
        House::even_reserved
    } else {
        House::new
    };
    let line = line.map(|name| line_of(name).with_context(|| format!("line {name:?}")));
    let line = line.transpose()?;
    let house = house.map(|name| house_of(name).with_context(|| format!("house {name:?}")));
    let house = house.transpose()?;
    let lasts = SignedDuration::try_from(lasts).context("--expires-in is too long")?;
    let expires_at = now()
        .checked_add(lasts)
        .context("--expires-in is too long")?;
    let named = [
        line.as_ref().map(Line::as_str),
        house.as_ref().map(House::as_str),
        role.map(Role::as_str),
    ];
    let subject = named.into_iter().flatten().collect::<Vec<_>>().join("/");
    Ok(secret.issue(&Grant {
        line,
        house,
        roles: role.into_iter().collect(),
        ..Grant::new(subject, expires_at)
    }))
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(clock::wall_ms()).unwrap_or(Timestamp::MAX)
}
