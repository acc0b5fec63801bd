//! `log-core topics | groups | records | nodes`: the tools for a log that runs.

use std::io::{BufWriter, stdout};

use service_kit::Failure;

use crate::tools::{self, Command};

/// Asks the log and prints its answer.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut out = BufWriter::new(stdout().lock());
    match runtime.block_on(tools::run(command, None, &mut out)) {
        Err(error) if error.is_closed_pipe() => Ok(()),
        done => Ok(done?),
    }
}
