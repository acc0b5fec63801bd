//! A record on its way to the log.

use event_model::{EncodedRecord, EventTime, Tag, Topic};

/// A record of either origin: a call that just came in, or one that waited.
#[derive(Debug, Clone)]
pub(crate) struct RecordToSend<'a> {
    pub(crate) topic: Topic,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) timestamp: EventTime,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
}

impl<'a> From<&'a EncodedRecord> for RecordToSend<'a> {
    fn from(record: &'a EncodedRecord) -> Self {
        Self {
            topic: record.topic,
            key: &record.key,
            value: &record.value,
            timestamp: record.timestamp,
            headers: record
                .headers
                .iter()
                .map(|(name, value)| (*name, value.as_slice()))
                .collect(),
        }
    }
}

/// The tag in a header of that name.
pub(crate) fn tag(headers: &[(&str, &[u8])], name: &str) -> Option<Tag> {
    let (_, value) = headers.iter().find(|(known, _)| *known == name)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
