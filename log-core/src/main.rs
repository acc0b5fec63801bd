//! `log-core`: a node of the replicated log, and the tools of the person who runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    log_core::cli::run()
}
