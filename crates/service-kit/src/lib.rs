//! What our programs share around their listeners. It holds no domain word and decides nothing about a call; it stands
//! below the services and the broker and leans on nothing of ours.
//!
//! ```
//! use service_kit::bounds::{FileLimit, Memory, Row, Shares};
//!
//! let files = FileLimit::of(1_024)?;
//! let house = Shares::divide(files, Memory::of(8 << 30), &Row::HOUSE.map(|row| (row, None)))?;
//! assert_eq!(house.of(Row::PartitionFiles), 115);
//! assert_eq!(house.of(Row::Sockets), 424);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bounds;
pub mod clock;
pub mod settings_file;
