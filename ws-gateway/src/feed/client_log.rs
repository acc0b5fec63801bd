//! What librdkafka says. While a broker is away it says the same by the hundred: the lines are there at debug, and an
//! operator is told once in a while what they mean.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    client::ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use service_kit::clock::Clock;
use tracing::{debug, error, warn};

/// How often an operator is told at most.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// No line was written yet.
const NEVER: u64 = u64::MAX;

/// Hears both clients of the log. Cloned, it is the same.
#[derive(Debug, Clone)]
pub(crate) struct ClientLog {
    clock: Clock,
    told: Arc<LogThrottle>,
}

#[derive(Debug)]
struct LogThrottle {
    at_ms: AtomicU64,
    unsaid: AtomicU64,
}

impl ClientLog {
    pub(super) fn new(clock: Clock) -> Self {
        let told = Arc::new(LogThrottle {
            at_ms: AtomicU64::new(NEVER),
            unsaid: AtomicU64::new(0),
        });
        Self { clock, told }
    }

    /// How many lines were left unsaid since the last one; `None`: this one is left unsaid too.
    fn turn(&self) -> Option<u64> {
        let now = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(NEVER - 1);
        let every = u64::try_from(TELL_EVERY.as_millis()).unwrap_or(0);
        let taken = self
            .told
            .at_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (last == NEVER || last + every <= now).then_some(now)
            });
        if taken.is_err() {
            self.told.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.told.unsaid.swap(0, Ordering::Relaxed))
    }

    fn trouble(&self, reason: &str) {
        if let Some(unsaid) = self.turn() {
            warn!(
                reason,
                unsaid, "the connection to the log is in trouble; its client goes on trying"
            );
        }
    }
}

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        debug!(target: "librdkafka", ?level, facility, line, "librdkafka");
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => self.trouble(line),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            error!(reason, "the log's client has failed for good");
            return;
        }
        debug!(target: "librdkafka", %error, reason, "librdkafka");
        self.trouble(reason);
    }
}

impl ConsumerContext for ClientLog {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_lines_an_operator_is_told_one_and_how_many_were_left_out() {
        let log = ClientLog::new(Clock::start());
        assert_eq!(log.turn(), Some(0));
        assert!((0..100).all(|_| log.turn().is_none()));

        log.told.at_ms.store(NEVER, Ordering::Relaxed);

        assert_eq!(log.turn(), Some(100));
    }
}
