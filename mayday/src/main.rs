//! Everything in one process, and the person's tools.

mod addresses;
mod advice;
mod api_client;
mod cli;
mod cluster_args;
mod data_folder;
mod disk_probe;
mod dlt;
mod identity;
mod log_supervisor;
mod outcome;
mod readiness;
mod report;
mod start;
mod watch;
mod welcome;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use service_kit::Failure;
use service_kit::log_lines::{self, LogFormat};

use crate::cli::{Cli, Command};
use crate::data_folder::DataFolder;

/// How long the end of the process waits for threads that nothing else waits for.
const HUNG_THREADS_WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A newcomer's terminal shows the welcome and what goes wrong; RUST_LOG=info shows the rest. That the log is away is
    // said once by this program, and by the hundred by its Kafka client.
    log_lines::write("warn,librdkafka=off,rdkafka=off", LogFormat::Text);
    service_kit::main("mayday", || run(cli))
}

fn run(cli: Cli) -> Result<(), Failure> {
    let folder = DataFolder::at(cli.data, cli.jwt_secret)?;
    match cli.command {
        None => {
            // Data is its owner's alone, whichever part writes it: folders 0700, files 0600.
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
            let runtime = runtime()?;
            let ended = runtime.block_on(start::start(&cli.start, &folder));
            // Everything has ended in order by now, but for what a disk that hangs may hold for ever.
            runtime.shutdown_timeout(HUNG_THREADS_WAIT);
            ended
        }
        Some(Command::Token(args)) => identity::token(&args, &folder),
        Some(Command::Send(args)) => api_client::send(&args, &folder),
        Some(Command::Accept(args)) => api_client::accept(&args, &folder),
        Some(Command::Watch(args)) => runtime()?.block_on(watch::watch(&args, &folder)),
        Some(Command::Log(command)) => runtime()?.block_on(ask_log(command, &folder)),
        Some(Command::Dlt(command)) => runtime()?.block_on(dlt::dlt(&command, &folder)),
        Some(Command::Report(args)) => runtime()?.block_on(report::report(&args, &folder)),
    }
}

async fn ask_log(command: log_core::tools::Command, folder: &DataFolder) -> Result<(), Failure> {
    let server = folder.log_address(None);
    match log_core::tools::run(command, Some(server), &mut std::io::stdout()).await {
        Err(error) if error.is_unreachable() => Err(outcome::not_now(error.to_string())),
        asked => Ok(asked?),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
