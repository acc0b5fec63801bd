//! How far a client has come: an opaque token in every MESSAGE, which any gateway can go on from.
//!
//! A line has one partition, the same in both topics. The token names the last record of that partition that was
//! read from each topic when the frame was sent, with 32 bits of a hash of that record's event id, so that a
//! topic made anew under the same name is noticed. It is no capability: a client that shows it is checked as ever.

use std::{fmt, str::FromStr};

use event_model::{EventId, Topic};

/// The token's form. Another one gets another number.
const VERSION: &str = "1";
/// Stands for a topic of which nothing was read.
const NOTHING: &str = "n";

/// The last record of a topic's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) hash: u32,
}

impl Mark {
    pub(crate) fn new(offset: u64, id: EventId) -> Self {
        Self {
            offset,
            hash: fnv1a(id.to_string().as_bytes()),
        }
    }
}

/// The last records of a partition of both topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) partition: u32,
    pub(crate) alert: Option<Mark>,
    pub(crate) accept: Option<Mark>,
}

impl Position {
    /// Before the first record.
    pub(crate) fn start(partition: u32) -> Self {
        Self {
            partition,
            alert: None,
            accept: None,
        }
    }

    pub(crate) fn mark(&self, topic: Topic) -> Option<Mark> {
        match topic {
            Topic::Alert => self.alert,
            Topic::Accept => self.accept,
            Topic::Life => None,
        }
    }

    /// One record further.
    #[must_use]
    pub(crate) fn with(mut self, topic: Topic, mark: Mark) -> Self {
        match topic {
            Topic::Alert => self.alert = Some(mark),
            Topic::Accept => self.accept = Some(mark),
            Topic::Life => {}
        }
        self
    }

    /// Of each topic the later record of the two.
    #[must_use]
    pub(crate) fn furthest(mut self, other: &Self) -> Self {
        for (mark, other) in [
            (&mut self.alert, other.alert),
            (&mut self.accept, other.accept),
        ] {
            let is_behind = |other: &Mark| mark.is_none_or(|mark| mark.offset < other.offset);
            *mark = other.filter(is_behind).or(*mark);
        }
        self
    }

    /// Whether a client that stands here has the record at `offset`.
    pub(crate) fn covers(&self, topic: Topic, offset: u64) -> bool {
        self.mark(topic).is_some_and(|mark| offset <= mark.offset)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}", self.partition)?;
        for mark in [self.alert, self.accept] {
            match mark {
                Some(mark) => write!(f, ".{}-{:08x}", mark.offset, mark.hash)?,
                None => write!(f, ".{NOTHING}")?,
            }
        }
        Ok(())
    }
}

/// The text is no position of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position")]
pub(crate) struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(InvalidPosition);
        if next()? != VERSION {
            return Err(InvalidPosition);
        }
        let partition = next()?.parse().map_err(|_| InvalidPosition)?;
        let (alert, accept) = (mark(next()?)?, mark(next()?)?);
        if parts.next().is_some() {
            return Err(InvalidPosition);
        }
        Ok(Self {
            partition,
            alert,
            accept,
        })
    }
}

fn mark(text: &str) -> Result<Option<Mark>, InvalidPosition> {
    if text == NOTHING {
        return Ok(None);
    }
    let (offset, hash) = text.split_once('-').ok_or(InvalidPosition)?;
    let offset = offset.parse().map_err(|_| InvalidPosition)?;
    let hash = u32::from_str_radix(hash, 16).map_err(|_| InvalidPosition)?;
    Ok(Some(Mark { offset, hash }))
}

/// FNV-1a, 32 bits: the same on every gateway of every version.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks() -> impl Strategy<Value = Option<Mark>> {
        proptest::option::of(
            (any::<u64>(), any::<u32>()).prop_map(|(offset, hash)| Mark { offset, hash }),
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(partition in any::<u32>(), alert in marks(), accept in marks()) {
            let position = Position { partition, alert, accept };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let parsed: Result<Position, InvalidPosition> = text.parse();
            prop_assert!(parsed.is_err() || text.starts_with(VERSION));
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "1",
            "2.0.n.n",
            "1.0.n",
            "1.0.n.n.n",
            "1.0.5.n",
            "1.x.n.n",
            "1.0.5-xyz.n",
            "1.0.-1-0.n",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text:?}");
        }
    }

    #[test]
    fn a_position_is_safe_in_any_header_of_any_client() {
        let position = Position {
            partition: 1,
            alert: Some(Mark {
                offset: 41,
                hash: 0xabc,
            }),
            accept: None,
        };
        assert_eq!(position.to_string(), "1.1.41-00000abc.n");
    }
}
