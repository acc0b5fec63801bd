//! The log's tail, read back at the start and followed from then on: what earlier runs and other instances stored.
//!
//! Read uncommitted, since an aborted call that is known is better than a stored one that is not.

use std::{sync::Arc, time::Duration};

use event_model::{
    Decoded, Event, PARTITIONS, RecordView, Tag, Topic, decode, fold::ID_MEMORY, header,
};
use log_client::{
    ReadUntilError, Span, assign, headers, offset_since, read_on, record_view, spans, unread,
};
use rdkafka::{
    consumer::{BaseConsumer, ConsumerContext},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use service_kit::error_value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{log_producer::LogProducer, logging_context::LoggingContext, settings::LogSettings};
use crate::{
    clock,
    recent_calls::{RecentCall, RecentCalls},
};

/// How long one request to the log may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// After the log did not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// How soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(250);
/// How long no record may come before the reading begins again.
const PATIENCE: Duration = Duration::from_secs(10);

type TailConsumer = BaseConsumer<LoggingContext>;

impl ConsumerContext for LoggingContext {}

/// Reads until `stop`. Blocks; what the log does not answer is asked again.
pub(crate) fn follow_tail(
    log: &Arc<LogProducer>,
    settings: &LogSettings,
    calls: &RecentCalls,
    stop: &CancellationToken,
) {
    let mut warned = false;
    while !stop.is_cancelled() {
        if !log.health().is_available() {
            std::thread::sleep(POLL_TIMEOUT);
            continue;
        }
        match read_tail(log, settings, calls, stop) {
            Ok(()) | Err(ReadUntilError::Stopped) => continue,
            Err(error) if !warned => {
                warned = true;
                warn!(
                    error = error_value(&error),
                    "the log's tail cannot be read: keys that were used before this start are not known yet"
                );
            }
            Err(error) => debug!(
                error = error_value(&error),
                "the log's tail still cannot be read"
            ),
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
}

/// Reads what the log holds, then what comes, until it is stopped or the topics are found or made anew.
fn read_tail(
    log: &LogProducer,
    settings: &LogSettings,
    calls: &RecentCalls,
    stop: &CancellationToken,
) -> Result<(), ReadUntilError> {
    let generation = log.health().topics_generation();
    let keep_reading = || !stop.is_cancelled() && log.health().topics_generation() == generation;
    let wanted = calls.unread_end();
    let consumer: TailConsumer = settings.tail_reader().create_with_context(LoggingContext)?;
    let mut tail = Vec::new();
    for topic in Topic::ALL {
        tail.extend(tail_of(&consumer, topic, calls.calls_max() as u64)?);
    }
    // Once for this consumer's life: librdkafka does not bear one assignment soon after another.
    assign(&consumer, tail.iter().map(|span| (span, span.start)))?;
    let mut found = Vec::new();
    read_on(&consumer, &tail, PATIENCE, keep_reading, |message| {
        found.extend(recent_call(message));
        calls.note_record_read();
    })?;
    info!(calls = found.len(), "the log's tail is read");
    calls.add_tail(found, clock::wall(), clock::steady());
    // Also where this reading began anew: then what is wanted since is read with it.
    if let Some(wanted) = wanted {
        calls.end_was_read(wanted);
    }
    let take = |message: &BorrowedMessage<'_>| {
        if let Some(call) = recent_call(message) {
            calls.add(call, clock::steady());
        }
        calls.note_record_read();
    };
    while keep_reading() {
        if let Some(wanted) = calls.unread_end() {
            tail = unread(&consumer, &tail, REQUEST_TIMEOUT)?;
            read_on(&consumer, &tail, PATIENCE, keep_reading, take)?;
            calls.end_was_read(wanted);
        }
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => take(&message),
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => debug!(error = error_value(&error), "trouble with the log's tail"),
        }
    }
    Ok(())
}

/// The ends of a topic's partitions: [`ID_MEMORY`] back, and bounded by number from both sides.
fn tail_of(consumer: &TailConsumer, topic: Topic, calls_max: u64) -> Result<Vec<Span>, KafkaError> {
    let mut spans = spans(consumer, topic.name(), REQUEST_TIMEOUT)?;
    if spans.is_empty() {
        let code = RDKafkaErrorCode::UnknownTopicOrPartition;
        return Err(KafkaError::MetadataFetch(code));
    }
    let since = clock::wall().minus(ID_MEMORY);
    for span in &mut spans {
        let by_time = offset_since(consumer, span, since, REQUEST_TIMEOUT)?;
        span.start = tail_start(span, by_time, calls_max);
    }
    Ok(spans)
}

/// A clock that is ahead hides no call that the table has room for where all partitions are equally busy.
fn tail_start(span: &Span, by_time: Option<u64>, calls_max: u64) -> u64 {
    let partitions = Topic::ALL.len() as u64 * u64::from(PARTITIONS.get());
    by_time
        .unwrap_or(span.end)
        .min(span.end.saturating_sub(calls_max / partitions))
        .max(span.end.saturating_sub(calls_max))
        .max(span.start)
}

/// What the record says of its call. `None`: it is not one of a call, so no client asks for it here.
fn recent_call(message: &BorrowedMessage<'_>) -> Option<RecentCall> {
    let headers = headers(message);
    let record: RecordView<'_> = record_view(message, &headers)?;
    let Ok(Decoded::Event(recorded)) = decode(&record) else {
        return None;
    };
    let house = match &recorded.event {
        Event::Raised(alert) => Some((alert.line.clone(), alert.house.clone())),
        Event::Accepted(_) | Event::Life(_) => None,
    };
    Some(RecentCall {
        id: recorded.event.id(),
        topic: record.place.topic,
        at: recorded.event.at(),
        place: Some(record.place),
        caller: tag(&headers, header::CALLER),
        key: tag(&headers, header::IDEMPOTENCY_KEY),
        house,
    })
}

/// The tag in a header of that name.
pub(crate) fn tag(headers: &[(&str, &[u8])], name: &str) -> Option<Tag> {
    let (_, value) = headers.iter().find(|(known, _)| *known == name)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_years_ahead_hides_no_call_that_an_earlier_run_may_have_stored() {
        let span = Span {
            topic: Topic::Alert.name().to_owned(),
            partition: 0,
            start: 100,
            end: 100_000,
        };
        assert_eq!(tail_start(&span, None, 40_000), 90_000);
        assert_eq!(tail_start(&span, Some(95_000), 40_000), 90_000);
        assert_eq!(tail_start(&span, Some(80_000), 40_000), 80_000);
        assert_eq!(tail_start(&span, Some(100), 40_000), 60_000, "no more");
        assert_eq!(tail_start(&span, None, 1_000_000), 100, "no less");
    }
}
