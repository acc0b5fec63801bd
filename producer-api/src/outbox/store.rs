//! The outbox's journal: what was taken, and what became of it. Reads it back after a start.
//!
//! One journal record is a version byte and one [`Entry`] in postcard. A call is live from its `Taken` to its `Ended`;
//! the journal is trimmed up to the oldest live one.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use event_model::{EventId, EventTime, Line, Place, Topic};
use log_core::{Journal, JournalConfig, JournalError, JournalPosition, disk::Disk};
use serde::{Deserialize, Serialize};

use super::{Fate, Owner, QueuedCall, writer::Write};

const VERSION: u8 = 1;

/// A body is at most 16 KiB, and its record little more. Small segments, as each is written full of zeros when made.
pub(super) const SIZES: JournalConfig = JournalConfig {
    segment_bytes: 4 << 20,
    record_bytes_max: 256 << 10,
};

/// Why the outbox's journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record was written by a version of this program that this one does not know.
    #[error("the record at {position} is of version {found}, this program reads {VERSION}")]
    Version {
        /// Where it is.
        position: u64,
        /// What it says.
        found: u8,
    },
    /// A whole record says nothing that can be read.
    #[error("the record at {position} cannot be read")]
    Entry {
        /// Where it is.
        position: u64,
        /// What is wrong with it.
        #[source]
        source: postcard::Error,
    },
}

#[derive(Serialize, Deserialize)]
enum Entry<'a> {
    Taken {
        number: u64,
        id: EventId,
        at: EventTime,
        line: Line,
        owner: Owner,
        topic: TopicName,
        #[serde(borrow)]
        headers: Vec<(&'a str, &'a [u8])>,
        #[serde(borrow)]
        value: &'a [u8],
    },
    Ended {
        number: u64,
        end: End,
    },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum TopicName {
    Alert,
    Accept,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum End {
    Stored {
        topic: TopicName,
        partition: u32,
        offset: u64,
    },
    Dead,
}

pub(super) struct Store {
    journal: Journal,
    live: BTreeMap<u64, JournalPosition>,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order they were taken.
    pub(super) waiting: BTreeMap<u64, Arc<QueuedCall>>,
    /// As far as the journal still has them.
    pub(super) ended: Vec<(u64, Arc<QueuedCall>, Fate)>,
}

impl Store {
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        sizes: JournalConfig,
    ) -> Result<(Self, Found), StoreError> {
        let (journal, recovered) = Journal::open(disk, folder, sizes)?;
        let (mut found, mut live) = (Found::default(), BTreeMap::new());
        for (position, record) in &recovered.records {
            match read(*position, record)? {
                Read::Taken(number, call) => {
                    live.insert(number, *position);
                    found.waiting.insert(number, Arc::new(call));
                }
                Read::Ended(number, fate) => {
                    live.remove(&number);
                    // Its `Taken` may have been trimmed away.
                    found.ended.extend(
                        found
                            .waiting
                            .remove(&number)
                            .map(|call| (number, call, fate)),
                    );
                }
            }
        }
        Ok((Self { journal, live }, found))
    }

    /// Writes all of them with one sync: they are on the disk when this returns.
    pub(super) fn write(&mut self, writes: &[&Write]) -> Result<(), StoreError> {
        let records: Vec<Vec<u8>> = writes.iter().map(|write| encode(write)).collect();
        let positions = self.journal.append(&records)?;
        for (write, position) in writes.iter().zip(positions) {
            match write {
                Write::Taken { number, .. } => self.live.insert(*number, position),
                Write::Ended { number, .. } => self.live.remove(number),
            };
        }
        let oldest = self.live.values().next().copied();
        self.journal
            .trim_before(oldest.unwrap_or(self.journal.end()))?;
        Ok(())
    }
}

fn encode(write: &Write) -> Vec<u8> {
    let entry = match write {
        Write::Taken { number, call } => Entry::Taken {
            number: *number,
            id: call.id,
            at: call.at,
            line: call.line.clone(),
            owner: call.owner.clone(),
            topic: call.topic.into(),
            headers: call
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()))
                .collect(),
            value: &call.value,
        },
        Write::Ended { number, fate } => Entry::Ended {
            number: *number,
            end: end_of(fate),
        },
    };
    postcard::to_extend(&entry, vec![VERSION]).expect("memory takes what postcard writes")
}

fn end_of(fate: &Fate) -> End {
    match fate {
        Fate::Stored(Place {
            topic,
            partition,
            offset,
        }) => End::Stored {
            topic: (*topic).into(),
            partition: *partition,
            offset: *offset,
        },
        Fate::Dead => End::Dead,
        Fate::Queued => unreachable!("a call that waits has not ended"),
    }
}

enum Read {
    Taken(u64, QueuedCall),
    Ended(u64, Fate),
}

fn read(position: JournalPosition, record: &[u8]) -> Result<Read, StoreError> {
    let JournalPosition(position) = position;
    let (version, entry) = record
        .split_first()
        .map_or((0, record), |(version, entry)| (*version, entry));
    if version != VERSION {
        return Err(StoreError::Version {
            position,
            found: version,
        });
    }
    let entry =
        postcard::from_bytes(entry).map_err(|source| StoreError::Entry { position, source })?;
    Ok(match entry {
        Entry::Taken {
            number,
            id,
            at,
            line,
            owner,
            topic,
            headers,
            value,
        } => {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let topic = topic.into();
            Read::Taken(
                number,
                QueuedCall {
                    id,
                    at,
                    line,
                    owner,
                    topic,
                    headers,
                    value: value.to_owned(),
                },
            )
        }
        Entry::Ended {
            number,
            end:
                End::Stored {
                    topic,
                    partition,
                    offset,
                },
        } => Read::Ended(
            number,
            Fate::Stored(Place {
                topic: topic.into(),
                partition,
                offset,
            }),
        ),
        Entry::Ended {
            number,
            end: End::Dead,
        } => Read::Ended(number, Fate::Dead),
    })
}

impl From<Topic> for TopicName {
    fn from(topic: Topic) -> Self {
        match topic {
            Topic::Alert => TopicName::Alert,
            Topic::Accept => TopicName::Accept,
        }
    }
}

impl From<TopicName> for Topic {
    fn from(name: TopicName) -> Self {
        match name {
            TopicName::Alert => Topic::Alert,
            TopicName::Accept => Topic::Accept,
        }
    }
}
