//! Parts of partitions, and what the log says of them.

use std::{collections::BTreeSet, time::Duration};

use event_model::EventTime;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    topic_partition_list::TopicPartitionListElem,
    types::RDKafkaErrorCode,
};

/// A half-open range of offsets of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: u32,
    /// The first offset.
    pub start: u64,
    /// The one after the last.
    pub end: u64,
}

/// How far a consumer has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: u32,
    /// The offset behind the last record that was handed over, or behind the transactions' markers that follow it.
    pub next: u64,
}

impl Span {
    /// What is left of it, given what of its partition has been read and where a consumer stands there.
    fn unread(mut self, read: &[Self], positions: &[Position]) -> Self {
        let is_its = |topic: &str, partition| (topic, partition) == (&*self.topic, self.partition);
        let read = read.iter().find(|read| is_its(&read.topic, read.partition));
        let at = positions.iter().find(|at| is_its(&at.topic, at.partition));
        let read_to = read
            .map_or(0, |read| read.end)
            .max(at.map_or(0, |at| at.next));
        self.start = self.start.max(read_to);
        self.end = self.end.max(self.start);
        self
    }
}

impl Position {
    /// Whether all of the span was passed.
    pub(crate) fn is_behind(&self, span: &Span) -> bool {
        span.end <= self.next && span.partition == self.partition && span.topic == self.topic
    }
}

/// Where the consumer stands in the partitions that are assigned to it, less those of which nothing came yet. To be asked
/// at a partition's end ([`KafkaError::PartitionEOF`]): behind the last record there may be what no consumer is handed.
///
/// # Errors
///
/// The client is closing.
pub fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
) -> Result<Vec<Position>, KafkaError> {
    let position = |element: TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(next) => Some(Position {
            topic: element.topic().to_owned(),
            partition: number_of(element.partition()),
            next: offset(next),
        }),
        _ => None,
    };
    let known = consumer.position()?;
    Ok(known.elements().into_iter().filter_map(position).collect())
}

/// Every partition of a topic, from its first offset to its end now. Empty: the log has no such topic.
///
/// # Errors
///
/// The log did not answer a question within `timeout`.
pub fn spans<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<Span>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let known = metadata
        .topics()
        .iter()
        .filter(|known| known.name() == topic && known.error().is_none());
    let mut partitions: Vec<i32> = known
        .flat_map(|topic| topic.partitions())
        .map(|partition| partition.id())
        .collect();
    partitions.sort_unstable();
    let span = |partition: i32| {
        let (start, end) = consumer.fetch_watermarks(topic, partition, timeout)?;
        Ok(Span {
            topic: topic.to_owned(),
            partition: number_of(partition),
            start: offset(start),
            end: offset(end),
        })
    };
    partitions.into_iter().map(span).collect()
}

/// What of the topics of these spans has not been read: every partition, from the span's end or from where the consumer
/// stands, if that is later, to its end now.
///
/// # Errors
///
/// The log did not answer a question within `timeout`.
pub fn unread<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    read: &[Span],
    timeout: Duration,
) -> Result<Vec<Span>, KafkaError> {
    let topics: BTreeSet<&str> = read.iter().map(|span| span.topic.as_str()).collect();
    let mut now = Vec::new();
    for topic in topics {
        now.extend(spans(consumer, topic, timeout)?);
    }
    let positions = positions(consumer)?;
    Ok(now
        .into_iter()
        .map(|span| span.unread(read, &positions))
        .collect())
}

/// The first offset of the span's partition whose record has this time or a later one. `None`: no record is that young.
///
/// # Errors
///
/// The log did not answer within `timeout`.
pub fn offset_since<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    span: &Span,
    time: EventTime,
    timeout: Duration,
) -> Result<Option<u64>, KafkaError> {
    let mut times = TopicPartitionList::new();
    let millis = Offset::Offset(time.as_millis().max(0));
    times.add_partition_offset(&span.topic, number(span.partition), millis)?;
    let answered = consumer.offsets_for_times(times, timeout)?;
    Ok(
        match answered.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(found)) => Some(offset(found)),
            _ => None,
        },
    )
}

/// Where these partitions end now, in their order: each leader is asked once for all of its own.
///
/// # Errors
///
/// A leader did not answer within `timeout`, or does not know a partition.
pub fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, u32)],
    timeout: Duration,
) -> Result<Vec<u64>, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for (topic, partition) in partitions {
        asked.add_partition_offset(topic, number(*partition), Offset::End)?;
    }
    let answered = consumer.offsets_for_times(asked, timeout)?;
    let end = |(topic, partition): &(&str, u32)| {
        let element = answered.find_partition(topic, number(*partition));
        let element = element.expect("each partition that was asked for is in the answer");
        element.error()?;
        match element.offset() {
            Offset::Offset(end) => Ok(offset(end)),
            _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
        }
    };
    partitions.iter().map(end).collect()
}

/// Assigns partitions, each from an offset on, instead of those that were assigned before.
///
/// # Errors
///
/// The client is closing.
pub fn assign<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = (&'a Span, u64)>,
) -> Result<(), KafkaError> {
    let mut assignment = TopicPartitionList::new();
    for (span, from) in partitions {
        let from = Offset::Offset(i64::try_from(from).expect("an offset came from an i64"));
        assignment.add_partition_offset(&span.topic, number(span.partition), from)?;
    }
    consumer.assign(&assignment)
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("it came from an i32")
}

pub(crate) fn number_of(raw: i32) -> u32 {
    u32::try_from(raw).expect("partitions count from 0")
}

/// Kafka's offsets are signed, and negative only where they stand for "none".
pub(crate) fn offset(raw: i64) -> u64 {
    u64::try_from(raw).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(partition: u32, start: u64, end: u64) -> Span {
        Span {
            topic: "an-alert".to_owned(),
            partition,
            start,
            end,
        }
    }

    #[test]
    fn what_was_read_or_passed_is_not_read_again_and_a_partition_that_is_new_is_read_whole() {
        let read = [span(0, 10, 20), span(1, 0, 5)];
        let passed = Position {
            topic: "an-alert".to_owned(),
            partition: 1,
            next: 8,
        };
        let positions = [passed];
        let left = |now: Span| now.unread(&read, &positions);
        assert_eq!(left(span(0, 10, 30)), span(0, 20, 30));
        assert_eq!(left(span(1, 0, 12)), span(1, 8, 12));
        assert_eq!(left(span(1, 0, 6)), span(1, 8, 8));
        assert_eq!(left(span(0, 25, 30)), span(0, 25, 30));
        assert_eq!(left(span(2, 0, 3)), span(2, 0, 3));
    }
}
