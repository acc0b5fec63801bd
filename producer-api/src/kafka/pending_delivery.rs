//! A record that librdkafka has, until its delivery report comes.

use event_model::{RecordPosition, Topic};
use rdkafka::error::KafkaError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{append_error::AppendError, error_class::append_error_of, health::LogHealth};

/// What a delivery report says.
pub(super) type DeliveryReport = Result<ReportedPosition, KafkaError>;

/// The record is in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportedPosition {
    pub(super) partition: i32,
    /// Negative if the log did not say: librdkafka concluded from a later answer that the record is there ("implicitly
    /// acknowledged"), or the log said that it has it already.
    pub(super) offset: i64,
}

/// A record that librdkafka has: its report comes, within librdkafka's own time limit. Dropped, it may be stored all
/// the same.
pub(crate) struct PendingDelivery {
    pub(super) topic: Topic,
    pub(super) report: oneshot::Receiver<DeliveryReport>,
    pub(super) health: LogHealth,
    /// Held until the report has come, or is not waited for.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl PendingDelivery {
    /// Waits for the report. `Ok`: the record is in the log, for good; at which place the report may not say.
    ///
    /// # Cancel safety
    ///
    /// May be called again after it was dropped unfinished, and not after it has returned.
    pub(crate) async fn delivered(&mut self) -> Result<Option<RecordPosition>, AppendError> {
        // The sender of the report is dropped only with the producer itself.
        let report = (&mut self.report)
            .await
            .map_err(|_| AppendError::OutcomeUnknown(None))?;
        let outcome = report.map_err(append_error_of);
        self.health.record_report(outcome.as_ref().map(|_| ()));
        Ok(place_of(self.topic, outcome?))
    }

    /// One whose report a test has in hand.
    #[cfg(test)]
    pub(crate) fn reported(topic: Topic, partition: i32, offset: i64) -> Self {
        let (sender, report) = oneshot::channel();
        let report_sent = Ok(ReportedPosition { partition, offset });
        sender.send(report_sent).expect("the receiver is there");
        let permit = std::sync::Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned();
        Self {
            topic,
            report,
            health: LogHealth::default(),
            _permit: permit.expect("there is one"),
        }
    }
}

fn place_of(topic: Topic, reported: ReportedPosition) -> Option<RecordPosition> {
    let partition = u32::try_from(reported.partition).ok()?;
    let offset = u64::try_from(reported.offset).ok()?;
    Some(RecordPosition {
        topic,
        partition,
        offset,
    })
}
