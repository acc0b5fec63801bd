//! What our programs share around their services. It holds no domain word and decides nothing about a call; it stands
//! below the services and the broker and leans on nothing of ours.
//!
//! | Module | Holds |
//! | --- | --- |
//! | [`bounds`] | the limits of the process divided among its listeners, places by address |
//! | [`admin`] | the operators' listener: metrics, health, readiness |
//! | [`clock`] | the one clock |
//! | `settings`, `settings_file` | layers of settings, every mistake at once; small files |
//! | `log_lines`, `stop_signals`, `exit` | log lines, signals, exit codes |
//!
//! The last two rows are for programs (feature `program`): a log that is embedded pulls in none of them.
//!
//! ```
//! use service_kit::bounds::{FileLimit, Memory, Row, Shares};
//!
//! let files = FileLimit::of(1_024)?;
//! let all = Shares::divide(files, Memory::of(8 << 30), &Row::ALL.map(|row| (row, None)))?;
//! assert_eq!(all.of(Row::PartitionFiles), 115);
//! assert_eq!(all.of(Row::Sockets), 424);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod admin;
pub mod bounds;
pub mod clock;
mod error_chain;
#[cfg(feature = "program")]
pub mod exit;
#[cfg(feature = "program")]
pub mod log_lines;
#[cfg(feature = "program")]
pub mod settings;
#[cfg(feature = "program")]
pub mod settings_file;
#[cfg(feature = "program")]
pub mod stop_signals;

pub use error_chain::error_value;
#[cfg(feature = "program")]
pub use exit::{Failure, main};
