//! A call as it waits: the record that goes to the log, and its owner.

use event_model::{EncodedRecord, EventId, EventTime, Line, RecordPosition, Topic, header};
use log_client::RecordToSend;

use crate::{kafka::tag, owner::Owner, recent_calls::RecentCall};

/// A call that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueuedCall {
    pub(crate) id: EventId,
    pub(crate) at: EventTime,
    pub(crate) line: Line,
    pub(crate) owner: Owner,
    pub(crate) topic: Topic,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) value: Vec<u8>,
}

impl QueuedCall {
    pub(crate) fn new(id: EventId, line: Line, owner: Owner, record: EncodedRecord) -> Self {
        let headers = record
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            id,
            at: record.timestamp,
            line,
            owner,
            topic: record.topic,
            headers,
            value: record.value,
        }
    }

    /// How it stands among the recent calls once it is in the log. Whose house called, the log's tail will say.
    pub(crate) fn recent_call(&self, place: Option<RecordPosition>) -> RecentCall {
        let record = self.record();
        RecentCall {
            id: self.id,
            topic: self.topic,
            at: self.at,
            place,
            caller: Some(self.owner.tag(self.id)),
            key: tag(&record.headers, header::IDEMPOTENCY_KEY),
            house: None,
        }
    }

    /// The record to send.
    pub(crate) fn record(&self) -> RecordToSend<'_> {
        RecordToSend {
            topic: self.topic,
            key: self.line.as_str().as_bytes(),
            value: &self.value,
            timestamp: self.at,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()))
                .collect(),
        }
    }

    /// About what it takes in memory and on the disk.
    pub(crate) fn bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        256 + self.value.len() + headers + self.owner.issuer.len() + self.owner.subject.len()
    }
}
