//! Whether the log is there, and whether it would take a call: its topics made, its leader answering, nothing in the way.
//!
//! One task asks the leader for the end of a partition now and then, which also opens the connections that the first
//! record needs. The log counts as gone only after it has been silent for longer than an election takes: until then
//! calls wait for it, after that they are refused at once. A topic that was deleted is made again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
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

use super::{
    AppendError, Log, TopicSettings,
    lane::LaneProducer,
    topics::{self, Obstacle},
};

/// Between two looks while all is well: a call between them finds out by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks while the log is silent.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_millis(250);
/// How long one look waits.
const LOOK_TIMEOUT: Duration = Duration::from_millis(1000);
/// So many looks in a row without an answer, and the log counts as gone: above 2.5 s, where an election takes 0.5 s.
const SILENT_LOOKS_MAX: u32 = 2;
/// Every so many looks, the topics and what they are set to are looked at too.
const LOOKS_PER_INSPECTION: u32 = 5;
/// So many looks after a record was refused or not reported in time, that says nothing about the next one any more.
pub(super) const LOOKS_PER_FAILURE: u32 = 15;

/// What is known about the log. Shared by all who append.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    silent_looks: Arc<AtomicU32>,
    topics_made: Arc<AtomicU64>,
    standing: watch::Sender<Standing>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Standing {
    /// Nothing is sent before the topics are there: some logs would make them by themselves, with settings that
    /// forget calls.
    topics_are_there: bool,
    /// Silent for longer than an election takes.
    gone: bool,
    /// The last record that was reported on was not stored, for so many looks from now.
    failure: Option<Failure>,
    /// The topics are set so that no call is taken.
    obstacle: Option<Obstacle>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    reason: String,
    looks_left: u32,
}

impl Standing {
    fn is_good(&self) -> bool {
        self.topics_are_there && !self.gone
    }

    fn trouble(&self) -> Option<String> {
        if self.gone {
            return Some("the log does not answer".to_owned());
        }
        if !self.topics_are_there {
            return Some("the log's topics are not there".to_owned());
        }
        if let Some(obstacle) = &self.obstacle {
            return Some(obstacle.to_string());
        }
        let failure = self.failure.as_ref()?;
        Some(format!(
            "the last record was not stored: {}",
            failure.reason
        ))
    }
}

impl Reach {
    /// A look was answered, or a record was stored.
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

    /// A record's report came.
    pub(super) fn heard(&self, outcome: Result<(), &AppendError>) {
        let failure = match outcome {
            Ok(()) => {
                self.seen();
                None
            }
            Err(error) => Some(Failure {
                reason: reason_of(error),
                looks_left: LOOKS_PER_FAILURE,
            }),
        };
        let begins = |standing: &Standing| standing.failure.is_none() != failure.is_none();
        let mut begun = false;
        self.standing.send_if_modified(|standing| {
            begun = begins(standing);
            let changed = standing.failure != failure;
            standing.failure.clone_from(&failure);
            changed
        });
        match &failure {
            Some(Failure { reason, .. }) if begun => {
                warn!(
                    reason,
                    "the log does not store records: calls wait, or are refused"
                );
            }
            None if begun => info!("the log stores records again"),
            Some(_) | None => {}
        }
    }

    /// One more look has passed since a record failed.
    pub(super) fn age_failure(&self) {
        self.standing.send_if_modified(|standing| {
            let Some(failure) = &mut standing.failure else {
                return false;
            };
            failure.looks_left = failure.looks_left.saturating_sub(1);
            if failure.looks_left == 0 {
                standing.failure = None;
            }
            true
        });
    }

    fn set_obstacle(&self, obstacle: Option<Obstacle>) {
        let changed = self.standing.send_if_modified(|standing| {
            let changed = standing.obstacle != obstacle;
            standing.obstacle.clone_from(&obstacle);
            changed
        });
        match obstacle {
            Some(obstacle) if changed => {
                warn!(%obstacle, "the topics are set so that no call can be stored")
            }
            None if changed => info!("the topics are set so that calls can be stored"),
            Some(_) | None => {}
        }
    }

    pub(super) fn topics_are_there(&self) {
        self.topics_made.fetch_add(1, Ordering::Relaxed);
        self.standing
            .send_modify(|standing| standing.topics_are_there = true);
        metrics::gauge!("producer_api_log_reachable").set(1.0);
    }

    fn topics_are_lost(&self) {
        self.standing
            .send_modify(|standing| standing.topics_are_there = false);
    }

    /// Grows each time the topics were found or made: what was read before may stand elsewhere now.
    pub(super) fn topics_made(&self) -> u64 {
        self.topics_made.load(Ordering::Relaxed)
    }

    /// Known to be gone: waiting would not help.
    pub(crate) fn is_gone(&self) -> bool {
        self.standing.borrow().gone
    }

    /// The topics are there, and the log answers.
    pub(crate) fn is_good(&self) -> bool {
        self.standing.borrow().is_good()
    }

    /// Why the log would not store a call now, as far as is known.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.standing.borrow().trouble()
    }

    /// Resolves once calls come through.
    pub(crate) async fn wait_until_good(&self) {
        let mut standing = self.standing.subscribe();
        let good = standing.wait_for(Standing::is_good).await.map(|_| ());
        good.expect("the sender is in self");
    }

    pub(super) async fn wait_for_topics(&self, deadline: Instant) -> Result<(), AppendError> {
        let (gone, topics_are_there) = {
            let standing = self.standing.borrow();
            (standing.gone, standing.topics_are_there)
        };
        match (gone, topics_are_there) {
            (true, _) => Err(AppendError::Unavailable),
            (false, true) => Ok(()),
            (false, false) => timeout_at(deadline, self.wait_until_good())
                .await
                .map_err(|_| AppendError::Unavailable),
        }
    }
}

/// The innermost cause, for an operator's eyes.
fn reason_of(error: &AppendError) -> String {
    match error {
        AppendError::NotNow(cause)
        | AppendError::Refused(cause)
        | AppendError::OutcomeUnknown(Some(cause)) => cause
            .rdkafka_error_code()
            .map_or_else(|| cause.to_string(), |code| code.to_string()),
        AppendError::Unavailable | AppendError::LaneFull | AppendError::OutcomeUnknown(None) => {
            error.to_string()
        }
    }
}

/// Makes the topics, looks after the log, and makes them again should they be deleted, until it is dropped.
pub(crate) async fn watch_log(log: Arc<Log>, settings: TopicSettings) {
    loop {
        let found = make_topics(&log, &settings).await;
        log.reach.topics_are_there();
        info!("the log is there");
        tokio::select! {
            () = found.inspect() => keep_looking(&log, &found).await,
            () = keep_looking(&log, &found) => {}
        }
        log.reach.topics_are_lost();
        warn!("a topic of the calls is gone: it is made again");
    }
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

/// Returns when a topic is gone.
async fn keep_looking(log: &Arc<Log>, topics: &topics::Found) {
    let mut looks = 0u32;
    loop {
        let seen = look(log).await;
        log.reach.age_failure();
        let due = looks.is_multiple_of(LOOKS_PER_INSPECTION);
        if seen == Look::TopicUnknown || (seen == Look::Answered && due) {
            match topics.state().await {
                Ok(topics::State::Missing) => return,
                Ok(topics::State::There(obstacle)) => log.reach.set_obstacle(obstacle),
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "the topics could not be looked at"
                ),
            }
        }
        looks = looks.wrapping_add(1);
        sleep(match seen {
            Look::Answered => LOOK_INTERVAL,
            Look::TopicUnknown | Look::Silent => LOOK_AGAIN_INTERVAL,
        })
        .await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Answered,
    /// The log is there, and says that a topic is not.
    TopicUnknown,
    Silent,
}

async fn look(log: &Arc<Log>) -> Look {
    let on_duty = Arc::clone(log);
    let seen = tokio::task::spawn_blocking(move || {
        on_duty.alerts.revive();
        on_duty.accepts.revive();
        // Through both lanes: a look keeps its lane's connection to the leader open.
        match look_at(&on_duty.alerts.producer(), Topic::Alert) {
            Look::Silent => Look::Silent,
            alerts => alerts.max(look_at(&on_duty.accepts.producer(), Topic::Accept)),
        }
    })
    .await
    .unwrap_or(Look::Silent);
    match seen {
        Look::Answered | Look::TopicUnknown => log.reach.seen(),
        Look::Silent => log.reach.silent(),
    }
    seen
}

/// The leader of each partition says where it ends, which it may only while it leads.
fn look_at(producer: &LaneProducer, topic: Topic) -> Look {
    let partitions = i32::try_from(PARTITIONS.get()).expect("there are a few partitions");
    let mut seen = Look::Answered;
    for partition in 0..partitions {
        let answered = producer
            .client()
            .fetch_watermarks(topic.name(), partition, LOOK_TIMEOUT);
        match answered.map_err(|error| error.rdkafka_error_code()) {
            Ok(_) => {}
            // A log whose topics were made with fewer partitions has answered, too.
            Err(Some(
                RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            )) => seen = Look::TopicUnknown,
            Err(_) => return Look::Silent,
        }
    }
    seen
}
