//! The command line of `log-core`: what can be asked, and how an error becomes an exit code. Its `main` calls [`run`] and
//! nothing else.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line or a configuration file is wrong. `verify` has its own.

mod backup;
mod dump;
mod resting;
mod restore;
mod running;
mod serve;
mod settings;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A node of the replicated log that speaks the Kafka protocol, and tools for those who run it.
#[derive(Parser)]
#[command(
    name = "log-core",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node until SIGINT or SIGTERM.
    Serve(Box<serve::Arguments>),
    #[command(flatten)]
    Running(crate::tools::Command),
    /// Check the files of a stopped log; changes nothing.
    Verify(verify::Arguments),
    /// Show what a stopped log has written.
    Dump(dump::Arguments),
    /// Copy a node's log to another folder, whether the node runs or not.
    Backup(backup::Arguments),
    /// Make a cluster of one from a backup, which clients of the old cluster accept.
    Restore(restore::Arguments),
}

/// Reads the command line and does what it says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Running(command) => running::run(command),
        Command::Verify(arguments) => return verify::run(&arguments),
        Command::Dump(arguments) => dump::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// One sentence, with its causes after colons.
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("log-core: {error:#}");
    let misused = error.downcast_ref::<settings::SettingsError>().is_some();
    ExitCode::from(if misused { 2 } else { 1 })
}
