//! Rereads the log and writes the report, once.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use analytics_batch::{Config, Progress};
use anyhow::Context;
use service_kit::Failure;
use tokio_util::sync::CancellationToken;

use crate::cli::Report;
use crate::data_folder::DataFolder;

/// What opens a page in the person's browser.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// Writes the report and says where it is.
pub(crate) async fn report(args: &Report, folder: &DataFolder) -> Result<(), Failure> {
    let output = args.output.clone().unwrap_or_else(|| folder.reports());
    let progress = if std::io::stderr().is_terminal() {
        Progress::Bar
    } else {
        Progress::Silent
    };
    let config = Config {
        progress,
        ..Config::new(folder.log_address(args.log.as_deref()), output)
    };
    let stop = CancellationToken::new();
    let written = tokio::select! {
        written = analytics_batch::report(&config, stop.clone()) => written?,
        pressed = tokio::signal::ctrl_c() => { pressed.context("Ctrl-C cannot be heard")?; return Ok(()) }
    };
    println!("{}", written.report.display());
    if args.open {
        open(&written.report)?;
    }
    Ok(())
}

fn open(page: &Path) -> Result<(), Failure> {
    let opened = Command::new(OPENER)
        .arg(page)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let opened = opened.with_context(|| {
        format!("{OPENER} is not there to open the report: open the file by hand")
    })?;
    if opened.success() {
        return Ok(());
    }
    Err(format!("{OPENER} could not open the report: open the file by hand").into())
}
