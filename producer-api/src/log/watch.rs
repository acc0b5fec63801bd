//! Whether the log is there: its topics made, its leader answering.
//!
//! One task asks the leader for the end of a partition now and then, which also opens the connections that the first
//! record needs. The log counts as gone only after it has been silent for longer than an election takes: until then
//! calls wait for it, after that they are refused at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use event_model::{PARTITIONS, Topic};
use rdkafka::{producer::Producer, types::RDKafkaErrorCode};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, info, warn};

use super::{AppendError, Log, TopicSettings, lane::LaneProducer, topics};

/// Between two looks while all is well: a call between them finds out by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks while the log is silent.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_millis(250);
/// How long one look waits.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1000);
/// So many looks in a row without an answer, and the log counts as gone: above 2.5 s, where an election takes 0.5 s.
const SILENT_LOOKS_MAX: u32 = 2;

/// What is known about the log. Shared by all who append.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    silent_looks: Arc<AtomicU32>,
    standing: watch::Sender<Standing>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    /// Nothing is sent before the topics are there: some logs would make them by themselves, with settings that
    /// forget calls.
    topics_are_there: bool,
    /// Silent for longer than an election takes.
    gone: bool,
}

impl Standing {
    fn is_good(self) -> bool {
        self.topics_are_there && !self.gone
    }
}

impl Reach {
    /// Someone just heard from the log.
    pub(super) fn seen(&self) {
        if SILENT_LOOKS_MAX < self.silent_looks.swap(0, Ordering::Relaxed) {
            info!("the log is back");
            self.set_gone(false);
        }
    }

    pub(super) fn silent(&self) {
        if self.silent_looks.fetch_add(1, Ordering::Relaxed) == SILENT_LOOKS_MAX {
            warn!("the log does not answer: nothing is sent until it does");
            self.set_gone(true);
        }
    }

    fn set_gone(&self, gone: bool) {
        self.standing.send_modify(|standing| standing.gone = gone);
        metrics::gauge!("producer_api_log_reachable").set(if gone { 0.0 } else { 1.0 });
    }

    pub(super) fn topics_are_there(&self) {
        self.standing
            .send_modify(|standing| standing.topics_are_there = true);
        metrics::gauge!("producer_api_log_reachable").set(1.0);
    }

    /// Known to be gone: waiting would not help.
    pub(crate) fn is_gone(&self) -> bool {
        self.standing.borrow().gone
    }

    /// The topics are there, and the log answers.
    pub(crate) fn is_good(&self) -> bool {
        self.standing.borrow().is_good()
    }

    /// Resolves once calls come through.
    pub(super) async fn wait_until_good(&self) {
        let mut standing = self.standing.subscribe();
        let good = standing
            .wait_for(|standing| standing.is_good())
            .await
            .map(|_| ());
        good.expect("the sender is in self");
    }

    pub(super) async fn wait_for_topics(&self, deadline: Instant) -> Result<(), AppendError> {
        let standing = *self.standing.borrow();
        match standing {
            Standing { gone: true, .. } => Err(AppendError::Unavailable),
            Standing {
                topics_are_there: true,
                ..
            } => Ok(()),
            Standing { .. } => timeout_at(deadline, self.wait_until_good())
                .await
                .map_err(|_| AppendError::Unavailable),
        }
    }
}

/// Makes the topics, then looks after the log until it is dropped.
pub(crate) async fn watch_log(log: Arc<Log>, settings: TopicSettings) {
    let found = make_topics(&log, &settings).await;
    log.reach.topics_are_there();
    info!("the log is there");
    tokio::join!(found.inspect(), keep_looking(&log));
}

async fn make_topics(log: &Log, settings: &TopicSettings) -> topics::Found {
    let mut tries = 0u64;
    loop {
        match topics::ensure(settings).await {
            Ok(found) => return found,
            // Once is enough for a person to look; the reason may change all the same.
            Err(error) if tries == 0 => warn!(
                error = &error as &dyn std::error::Error,
                "the topics are not there yet"
            ),
            Err(error) => debug!(
                tries,
                error = &error as &dyn std::error::Error,
                "the topics are still not there"
            ),
        }
        tries += 1;
        log.reach.silent();
        sleep(LOOK_AGAIN_INTERVAL).await;
    }
}

async fn keep_looking(log: &Arc<Log>) {
    loop {
        let pause = if look(log).await {
            LOOK_INTERVAL
        } else {
            LOOK_AGAIN_INTERVAL
        };
        sleep(pause).await;
    }
}

async fn look(log: &Arc<Log>) -> bool {
    let on_duty = Arc::clone(log);
    let answered = tokio::task::spawn_blocking(move || {
        on_duty.alerts.revive();
        on_duty.accepts.revive();
        // Through both lanes: a look keeps its lane's connection to the leader open.
        answers(&on_duty.alerts.producer(), Topic::Alert)
            && answers(&on_duty.accepts.producer(), Topic::Accept)
    })
    .await
    .unwrap_or(false);
    if answered {
        log.reach.seen()
    } else {
        log.reach.silent()
    }
    answered
}

/// The leader of each partition says where it ends, which it may only while it leads.
fn answers(producer: &LaneProducer, topic: Topic) -> bool {
    let partitions = i32::try_from(PARTITIONS.get()).expect("there are a few partitions");
    (0..partitions).all(|partition| {
        match producer
            .client()
            .fetch_watermarks(topic.name(), partition, LOOK_TIMEOUT)
        {
            Ok(_) => true,
            // A log whose topics were made with fewer partitions has answered, too.
            Err(error) => error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition),
        }
    })
}
