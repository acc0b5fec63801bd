//! Reading spans of partitions to their ends.

use std::time::Duration;

use rdkafka::{
    Message,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tracing::debug;

use crate::span::{Position, Span, assign, number_of, offset, positions};

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
/// See [`ReadUntilError`]. Then the consumer is of no more use: two assignments in a row, the first of which it had not begun
/// to read, end the process (an assertion of librdkafka 2.12 in `rd_kafka_assignment_partition_stopped`).
pub fn read_until<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    spans: &[Span],
    patience: Duration,
    keep_reading: impl Fn() -> bool,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), ReadUntilError> {
    let mut unread = Unread::new(spans);
    if unread.is_empty() {
        return Ok(());
    }
    assign(consumer, spans.iter().map(|span| (span, span.start)))?;
    poll_until_read(
        consumer,
        &mut unread,
        patience,
        keep_reading,
        |message, is_of_span| {
            if is_of_span {
                take(message);
            }
        },
    )?;
    Ok(consumer.unassign()?)
}

/// Reads to the spans' ends as [`read_until`], with a consumer that has been assigned their partitions before, stands at their
/// starts, and stays assigned. `take` also gets the records that come meanwhile and stand behind the spans. Blocks.
///
/// # Errors
///
/// See [`ReadUntilError`].
pub fn read_on<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    spans: &[Span],
    patience: Duration,
    keep_reading: impl Fn() -> bool,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), ReadUntilError> {
    let mut unread = Unread::new(spans);
    poll_until_read(
        consumer,
        &mut unread,
        patience,
        keep_reading,
        |message, _| take(message),
    )
}

/// `take` is told whether the record is of a span.
fn poll_until_read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    unread: &mut Unread<'_>,
    patience: Duration,
    keep_reading: impl Fn() -> bool,
    mut take: impl FnMut(&BorrowedMessage<'_>, bool),
) -> Result<(), ReadUntilError> {
    let mut waited = Duration::ZERO;
    while !unread.is_empty() {
        if !keep_reading() {
            return Err(ReadUntilError::Stopped);
        }
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                waited = Duration::ZERO;
                let (partition, at) = (number_of(message.partition()), offset(message.offset()));
                let is_of_span = unread.note_record(message.topic(), partition, at);
                take(&message, is_of_span);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => unread.drop_read(&positions(consumer)?),
            Some(Err(error)) if is_final(&error) => return Err(error.into()),
            // librdkafka tries again by itself.
            Some(Err(error)) => debug!(
                error = &error as &dyn std::error::Error,
                "trouble while reading the log"
            ),
            None => {
                waited += POLL_TIMEOUT;
                if patience <= waited {
                    return Err(ReadUntilError::Stalled { waited });
                }
            }
        }
    }
    Ok(())
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
struct Unread<'a>(Vec<&'a Span>);

impl<'a> Unread<'a> {
    fn new(spans: &'a [Span]) -> Self {
        Self(spans.iter().filter(|span| span.start < span.end).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the record is of a span.
    fn note_record(&mut self, topic: &str, partition: u32, at: u64) -> bool {
        let is_its = |span: &&Span| span.partition == partition && span.topic == topic;
        let Some(index) = self.0.iter().position(is_its) else {
            return false;
        };
        let end = self.0[index].end;
        if end <= at + 1 {
            self.0.swap_remove(index);
        }
        at < end
    }

    /// A span may end in a transaction's marker: no consumer is handed it, and the position is behind it all the same.
    fn drop_read(&mut self, positions: &[Position]) {
        self.0.retain(|span| {
            let is_read = |position: &Position| position.is_behind(span);
            !positions.iter().any(is_read)
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
    fn a_span_that_ends_in_markers_is_read_when_the_consumer_stands_behind_them() {
        let spans = [span("a", 0, 0, 5), span("b", 0, 0, 5)];
        let position = |topic: &str, next: u64| Position {
            topic: topic.to_owned(),
            partition: 0,
            next,
        };
        let mut unread = Unread::new(&spans);

        unread.drop_read(&[position("a", 5), position("b", 4)]);
        assert!(!unread.note_record("a", 0, 4), "it was read");
        assert!(
            unread.note_record("b", 0, 3),
            "another topic's end is not its own"
        );

        unread.drop_read(&[position("a", 9), position("b", 5)]);
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
