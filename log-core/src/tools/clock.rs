//! `clock`: list, time-passed, was-wrong. What the log knows of jumps of its command time, and an operator's word on them.

use std::io::Write;

use clap::{Args, Subcommand};
use kafka_protocol::messages::UpdateFeaturesRequest;
use serde::Serialize;

use super::client::{CHANGE_WITHIN_MS, Client};
use super::error::{ToolError, check};
use super::options::Options;
use super::output::{Done, Output, Printable, table_or};
use super::position::time;
use super::quorum;
use crate::ids::TimestampMs;
use crate::wire::extension::{ClockReport, ClockVerdict, ReportedJump};

/// `clock`
#[derive(Args, Debug)]
pub struct Clock {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Time that the log's clock ran ahead without a leader living through it. Nothing is deleted or expires for it.
    List,
    /// The log stood still for so long: count that time. What it makes too old is deleted, for good.
    TimePassed,
    /// A clock was wrong: never count that time, and say no more of it.
    WasWrong,
}

/// What `clock list` shows.
#[derive(Serialize)]
struct Shown {
    command_time: String,
    wall: String,
    jumps: Vec<Jump>,
}

#[derive(Serialize)]
struct Jump {
    until: String,
    seconds: u64,
    judged: &'static str,
}

impl Clock {
    pub(super) async fn run(
        self,
        client: &mut Client,
        out: &mut Output<'_, impl Write>,
    ) -> Result<(), ToolError> {
        let report = quorum::clock(client).await?;
        match self.action {
            Action::List => out.answer(&Shown::of(&report)),
            Action::TimePassed => out.answer(&judge(client, &report, true).await?),
            Action::WasWrong => out.answer(&judge(client, &report, false).await?),
        }
    }
}

/// Judges what was shown just now, and nothing that came since.
async fn judge(
    client: &mut Client,
    report: &ClockReport,
    time_passed: bool,
) -> Result<Done, ToolError> {
    let open = report.jumps.iter().filter(|jump| !jump.dismissed).count();
    let verdict = ClockVerdict {
        until_ms: report.now_ms,
        time_passed,
    };
    let request = UpdateFeaturesRequest::default()
        .with_timeout_ms(CHANGE_WITHIN_MS)
        .with_unknown_tagged_fields(verdict.tagged());
    let answer = client.ask_controller(1, request).await?;
    check(
        "the clock",
        answer.error_code,
        answer.error_message.as_deref(),
    )?;
    let what = match time_passed {
        true => {
            "that time counts now: what it makes too old is deleted with the next check of retention"
        }
        false => "that time never counts",
    };
    Ok(Done {
        done: format!("{open} jumps of the clock judged: {what}"),
    })
}

impl Shown {
    fn of(report: &ClockReport) -> Self {
        let jump = |jump: &ReportedJump| Jump {
            until: time(TimestampMs(jump.at_ms)),
            seconds: jump.unwitnessed_ms / 1_000,
            judged: if jump.dismissed { "was-wrong" } else { "-" },
        };
        Self {
            command_time: time(TimestampMs(report.now_ms)),
            wall: time(TimestampMs(report.wall_ms)),
            jumps: report.jumps.iter().map(jump).collect(),
        }
    }
}

impl Printable for Shown {
    fn text(&self) -> String {
        let row = |jump: &Jump| {
            [
                jump.until.clone(),
                jump.seconds.to_string(),
                jump.judged.to_owned(),
            ]
        };
        let jumps = table_or(
            "no jumps of the clock wait for a word",
            ["UNTIL", "SECONDS", "JUDGED"],
            &["SECONDS"],
            self.jumps.iter().map(row),
        );
        format!(
            "command time {}, wall clock {}\n{jumps}",
            self.command_time, self.wall
        )
    }
}
