//! Reading spans of partitions to their ends.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tracing::debug;

use crate::span::{Span, assign, number_of, offset};

/// How soon `keep_reading` is asked again.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Why the spans were not read to their ends. What was handed over was read all the same.
#[derive(Debug, thiserror::Error)]
pub enum ReadUntilError {
    /// `keep_reading` said no.
    #[error("the reading was stopped")]
    Stopped,
    /// Records are left, and for `patience` none came.
    #[error("no record within {waited:.1?}")]
    Stalled {
        /// How long none came.
        waited: Duration,
    },
    /// What librdkafka does not mend by itself.
    #[error(transparent)]
    Client(#[from] KafkaError),
}

/// Hands every record of the spans to `take`, those of a partition in their order. The consumer has
/// [`reader_settings`](crate::reader_settings); it is assigned the spans' partitions, and none afterwards. Blocks.
///
/// # Errors
///
/// See [`ReadUntilError`].
pub fn read_until<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    spans: &[Span],
    patience: Duration,
    keep_reading: impl Fn() -> bool,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), ReadUntilError> {
    let mut unread = Unread::new(spans);
    assign(consumer, spans.iter().map(|span| (span, span.start)))?;
    let mut waited = Duration::ZERO;
    while !unread.is_empty() {
        if !keep_reading() {
            return Err(ReadUntilError::Stopped);
        }
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                waited = Duration::ZERO;
                let (partition, at) = (number_of(message.partition()), offset(message.offset()));
                if unread.note_record(message.topic(), partition, at) {
                    take(&message);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => unread.note_end(number_of(partition)),
            Some(Err(error)) if is_final(&error) => return Err(error.into()),
            // librdkafka tries again by itself.
            Some(Err(error)) => debug!(
                error = &error as &dyn std::error::Error,
                "trouble while reading the log"
            ),
            None => {
                waited += POLL_TIMEOUT;
                unread.drop_ended();
                if patience <= waited && !unread.is_empty() {
                    return Err(ReadUntilError::Stalled { waited });
                }
            }
        }
    }
    Ok(consumer.unassign()?)
}

fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
        )
    )
}

/// The spans that have not been read to their ends. Decides only.
struct Unread<'a> {
    spans: Vec<&'a Span>,
    /// How many spans are of a partition of this number, and how often one met its end. rust-rdkafka does not say of
    /// which topic.
    ends: BTreeMap<u32, (usize, usize)>,
}

impl<'a> Unread<'a> {
    fn new(spans: &'a [Span]) -> Self {
        let mut ends = BTreeMap::new();
        for span in spans {
            ends.entry(span.partition).or_insert((0, 0)).0 += 1;
        }
        let spans = spans.iter().filter(|span| span.start < span.end).collect();
        Self { spans, ends }
    }

    fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Whether the record is of a span.
    fn note_record(&mut self, topic: &str, partition: u32, at: u64) -> bool {
        let is_its = |span: &&Span| span.partition == partition && span.topic == topic;
        let Some(index) = self.spans.iter().position(is_its) else {
            return false;
        };
        let end = self.spans[index].end;
        if end <= at + 1 {
            self.spans.swap_remove(index);
        }
        at < end
    }

    fn note_end(&mut self, partition: u32) {
        if let Some((_, met)) = self.ends.get_mut(&partition) {
            *met += 1;
        }
    }

    /// A span may end in a transaction's marker, which no consumer is handed: then the partition's end is met and
    /// nothing more comes.
    fn drop_ended(&mut self) {
        let ends = &self.ends;
        self.spans.retain(|span| {
            let (spans, met) = ends[&span.partition];
            met < spans
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(topic: &str, partition: u32, start: u64, end: u64) -> Span {
        Span {
            topic: topic.to_owned(),
            partition,
            start,
            end,
        }
    }

    #[test]
    fn a_span_is_read_with_its_last_record_and_what_stands_behind_is_not_of_it() {
        let spans = [span("a", 0, 3, 5), span("a", 1, 7, 8), span("b", 0, 4, 4)];
        let mut unread = Unread::new(&spans);

        assert!(unread.note_record("a", 0, 3));
        assert!(unread.note_record("a", 1, 7));
        assert!(!unread.note_record("a", 1, 8), "written later");
        assert!(!unread.note_record("b", 0, 4), "it was empty");
        assert!(!unread.is_empty());
        assert!(unread.note_record("a", 0, 4));
        assert!(unread.is_empty());
    }

    #[test]
    fn a_span_that_ends_in_markers_is_read_when_all_partitions_of_its_number_met_their_ends() {
        let spans = [span("a", 0, 0, 5), span("b", 0, 0, 5), span("b", 1, 0, 5)];
        let mut unread = Unread::new(&spans);
        unread.note_end(0);
        unread.note_end(1);
        unread.drop_ended();
        assert!(!unread.note_record("b", 1, 4), "it has ended");
        assert!(
            unread.note_record("a", 0, 3),
            "the end may have been the other topic's"
        );

        unread.note_end(0);
        unread.drop_ended();

        assert!(unread.is_empty());
    }

    #[test]
    fn the_end_may_lie_inside_a_gap_of_offsets() {
        let spans = [span("a", 0, 0, 5)];
        let mut unread = Unread::new(&spans);

        assert!(!unread.note_record("a", 0, 9));
        assert!(unread.is_empty());
    }
}
