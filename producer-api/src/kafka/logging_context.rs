//! What librdkafka says besides its answers. Its lines repeat by the hundred while a broker is away, so they are
//! debug lines; that the log is gone, and why calls do not get through, is said once, by `health_check`.

use rdkafka::{ClientContext, config::RDKafkaLogLevel, error::KafkaError};
use service_kit::error_value;
use tracing::{debug, warn};

/// The context of clients that only ask and read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoggingContext;

impl ClientContext for LoggingContext {
    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }
}

/// librdkafka tries again by itself; whether that helped is what the reports and the watch say.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    debug!(error = error_value(error), reason, "trouble with the log");
}

pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        // It is about to give up on itself.
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert => {
            warn!(facility, message, "from librdkafka");
        }
        RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => debug!(facility, message, "from librdkafka"),
    }
}
