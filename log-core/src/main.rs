//! `log-core`: a node of the replicated log, and the tools of the person who runs it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
