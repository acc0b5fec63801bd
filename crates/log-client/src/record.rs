//! Records on their way to the log, and as they come from it.

use event_model::{EncodedRecord, EventTime, RecordPosition, RecordView, Topic};
use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::BaseRecord,
    util::IntoOpaque,
};

/// A record of either origin: of an event that was just encoded, or of one that was written down.
#[derive(Debug, Clone)]
pub struct RecordToSend<'a> {
    /// Its topic; the partition follows from the key.
    pub topic: Topic,
    /// The line's name.
    pub key: &'a [u8],
    /// The event as JSON.
    pub value: &'a [u8],
    /// When the event happened.
    pub timestamp: EventTime,
    /// Names and values, in this order.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl RecordToSend<'_> {
    /// As librdkafka takes it. `opaque` comes back with the delivery report.
    pub fn with_opaque<O: IntoOpaque>(&self, opaque: O) -> BaseRecord<'_, [u8], [u8], O> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (*name, Some(*value)));
        BaseRecord::with_opaque_to(self.topic.name(), opaque)
            .key(self.key)
            .payload(self.value)
            .timestamp(self.timestamp.as_millis())
            .headers(owned_headers(headers))
    }
}

impl<'a> From<&'a EncodedRecord> for RecordToSend<'a> {
    fn from(record: &'a EncodedRecord) -> Self {
        let headers = record.headers.iter();
        Self {
            topic: record.topic,
            key: &record.key,
            value: &record.value,
            timestamp: record.timestamp,
            headers: headers
                .map(|(name, value)| (*name, value.as_slice()))
                .collect(),
        }
    }
}

/// Headers as librdkafka takes them.
pub fn owned_headers<'a>(
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> OwnedHeaders {
    let headers = headers.into_iter();
    headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value })
    })
}

/// The headers of a message, in their order. One without a value has an empty one.
pub fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Vec<(&'m str, &'m [u8])> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    headers
        .map(|header| (header.key, header.value.unwrap_or_default()))
        .collect()
}

/// The message as event-model decodes it. `None`: it is of another topic than those of calls.
pub fn record_view<'m>(
    message: &'m BorrowedMessage<'_>,
    headers: &'m [(&'m str, &'m [u8])],
) -> Option<RecordView<'m>> {
    Some(RecordView {
        place: RecordPosition {
            topic: Topic::from_name(message.topic())?,
            partition: u32::try_from(message.partition()).ok()?,
            offset: u64::try_from(message.offset()).ok()?,
        },
        time: EventTime::from_millis(message.timestamp().to_millis().unwrap_or(0)),
        headers,
        value: message.payload(),
    })
}
