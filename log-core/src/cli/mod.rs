//! The command line of `log-core`: what can be asked, and how an error becomes an exit code. Its `main` calls [`run`] and
//! nothing else.
//!
//! Exit codes: 0 done, 1 it failed, 2 the command line or a configuration file is wrong. `verify` has its own.

mod backup;
mod dump;
mod offline;
mod online;
mod restore;
mod serve;
mod settings;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::settings::CommandLine;

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
    let line = CommandLine::<Arguments>::parse();
    service_kit::main("log-core", || match line.arguments.command {
        Command::Serve(ref arguments) => serve::run(&line, arguments),
        Command::Running(command) => online::run(command),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Dump(arguments) => Ok(dump::run(&arguments)?),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
    })
}
