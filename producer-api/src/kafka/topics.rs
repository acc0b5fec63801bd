//! The topics: made where they are missing, looked at where they are not, never changed.

use std::{sync::Arc, time::Duration};

use event_model::{ACKS_MIN, ExpectedTopic, Topic, expected_topics};
use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, NewTopic,
        ResourceSpecifier, TopicReplication,
    },
    error::KafkaError,
    metadata::Metadata,
    types::RDKafkaErrorCode,
};
use service_kit::error_value;
use tracing::{info, warn};

use super::{logging_context::LoggingContext, settings::LogSettings};

type Admin = AdminClient<LoggingContext>;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the topics should be like.
#[derive(Debug, Clone)]
pub(crate) struct TopicSettings {
    pub(crate) log: LogSettings,
    pub(crate) retention: Duration,
}

/// Why the topics are not known to be there.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopicsError {
    #[error("ask the log for its topics")]
    Ask(#[source] KafkaError),
    #[error("the log has no broker")]
    NoBroker,
    #[error("create topic {topic}: {code}")]
    Create {
        topic: String,
        code: RDKafkaErrorCode,
    },
}

/// Makes the topics that are missing, and returns those that were there.
pub(super) async fn create_missing(
    settings: &TopicSettings,
) -> Result<ExistingTopics, TopicsError> {
    let admin = settings.log.client().create_with_context(LoggingContext);
    let admin: Arc<Admin> = Arc::new(admin.map_err(TopicsError::Ask)?);
    let metadata = metadata_of(&admin).await?;
    let brokers = u32::try_from(metadata.brokers().len()).unwrap_or(u32::MAX);
    if brokers == 0 {
        return Err(TopicsError::NoBroker);
    }
    let mut found = Vec::new();
    for topic in expected_topics(brokers, settings.retention) {
        match partitions_of(&metadata, topic.name) {
            None => create(&admin, &topic).await?,
            Some(partitions) => found.push((topic, partitions)),
        }
    }
    Ok(ExistingTopics {
        admin,
        topics: found,
    })
}

/// Topics that were made before, with their partitions.
pub(super) struct ExistingTopics {
    admin: Arc<Admin>,
    topics: Vec<(ExpectedTopic, usize)>,
}

/// What a later look at the topics found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TopicsState {
    Missing,
    There(Option<Misconfiguration>),
}

/// A topic is set so that none of our records is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misconfiguration {
    #[error("topic {topic}: min.insync.replicas is {required}, in-sync replicas are {in_sync}")]
    NotEnoughReplicas {
        topic: &'static str,
        required: usize,
        in_sync: usize,
    },
    #[error("topic {topic}: max.message.bytes is {bytes_max}, calls need {RECORD_BYTES}")]
    RecordsTooLarge {
        topic: &'static str,
        bytes_max: usize,
    },
}

/// As large as a record of ours gets: names, a text of 2 KiB, each character escaped at worst, headers.
const RECORD_BYTES: usize = 24 * 1024;

impl ExistingTopics {
    /// Looks again whether the topics are there, and whether their settings let a record in.
    pub(super) async fn state(&self) -> Result<TopicsState, TopicsError> {
        let metadata = metadata_of(&self.admin).await?;
        let mut expected = expected_topics(1, Duration::ZERO).into_iter();
        if expected.any(|topic| partitions_of(&metadata, topic.name).is_none()) {
            return Ok(TopicsState::Missing);
        }
        let names = Topic::ALL.map(|topic| ResourceSpecifier::Topic(topic.name()));
        let Ok(described) = self.admin.describe_configs(&names, &options()).await else {
            // Some logs do not let us read settings. What they mean shows with the next record.
            return Ok(TopicsState::There(None));
        };
        let misconfiguration =
            Topic::ALL
                .into_iter()
                .zip(&described)
                .find_map(|(topic, settings)| {
                    misconfiguration(topic, settings.as_ref().ok()?, &metadata)
                });
        Ok(TopicsState::There(misconfiguration))
    }

    /// Says what differs. An operator may have meant it, and a call into a topic with the wrong settings is still
    /// better than no call.
    pub(super) async fn inspect(&self) {
        for (topic, partitions) in &self.topics {
            let (partitions, expected) = (*partitions, topic.partitions.get());
            if partitions != expected as usize {
                warn!(
                    topic = topic.name,
                    partitions, expected, "a topic's partitions differ from what lines need"
                );
            }
        }
        let names: Vec<_> = self
            .topics
            .iter()
            .map(|(topic, _)| ResourceSpecifier::Topic(topic.name))
            .collect();
        if names.is_empty() {
            return;
        }
        match self.admin.describe_configs(&names, &options()).await {
            Ok(described) => self.compare(&described),
            Err(error) => warn!(
                error = error_value(&error),
                "the topics' settings cannot be read"
            ),
        }
    }

    fn compare(&self, described: &[ConfigResourceResult]) {
        for ((topic, _), described) in self.topics.iter().zip(described) {
            match described {
                Ok(found) => warn_of_differences(topic, found),
                Err(code) => warn!(topic = topic.name, %code, "a topic's settings cannot be read"),
            }
        }
    }
}

fn misconfiguration(
    topic: Topic,
    settings: &ConfigResource,
    metadata: &Metadata,
) -> Option<Misconfiguration> {
    let number = |setting: &str| settings.get(setting)?.value.as_deref()?.parse().ok();
    let known = metadata
        .topics()
        .iter()
        .find(|known| known.name() == topic.name())?;
    let in_sync = known
        .partitions()
        .iter()
        .map(|partition| partition.isr().len())
        .min()?;
    misconfiguration_of(topic.name(), in_sync, number)
}

fn misconfiguration_of(
    topic: &'static str,
    in_sync: usize,
    number: impl Fn(&str) -> Option<usize>,
) -> Option<Misconfiguration> {
    if let Some(required) = number("min.insync.replicas").filter(|required| in_sync < *required) {
        return Some(Misconfiguration::NotEnoughReplicas {
            topic,
            required,
            in_sync,
        });
    }
    number("max.message.bytes")
        .filter(|bytes_max| *bytes_max < RECORD_BYTES)
        .map(|bytes_max| Misconfiguration::RecordsTooLarge { topic, bytes_max })
}

/// librdkafka blocks for this one, so it is asked off the async threads.
async fn metadata_of(admin: &Arc<Admin>) -> Result<Metadata, TopicsError> {
    let admin = Arc::clone(admin);
    let asked = tokio::task::spawn_blocking(move || {
        admin.inner().fetch_metadata(None, Duration::from_secs(2))
    });
    asked
        .await
        .map_err(|_| TopicsError::NoBroker)?
        .map_err(TopicsError::Ask)
}

fn partitions_of(metadata: &Metadata, topic: &str) -> Option<usize> {
    let topic = metadata
        .topics()
        .iter()
        .find(|known| known.name() == topic)?;
    topic.error().is_none().then(|| topic.partitions().len())
}

async fn create(admin: &Admin, topic: &ExpectedTopic) -> Result<(), TopicsError> {
    match try_create(admin, topic, |_| true).await? {
        Err(RDKafkaErrorCode::InvalidConfig) => {
            // Apache Kafka does not know log-core's own setting. There, the topic's other settings keep the promise
            // as long as all producers ask for `acks=all`, as these do.
            let created = try_create(admin, topic, |setting| setting != ACKS_MIN).await?;
            warn!(
                topic = topic.name,
                setting = ACKS_MIN,
                "the log does not know a setting, the topic goes without"
            );
            created
        }
        created => created,
    }
    .map_err(|code| TopicsError::Create {
        topic: topic.name.to_owned(),
        code,
    })?;
    info!(topic = topic.name, "topic created");
    Ok(())
}

async fn try_create(
    admin: &Admin,
    topic: &ExpectedTopic,
    keep: impl Fn(&str) -> bool,
) -> Result<Result<(), RDKafkaErrorCode>, TopicsError> {
    let partitions = i32::try_from(topic.partitions.get()).expect("there are a few partitions");
    let replicas =
        i32::try_from(topic.replication_factor).expect("there are at most three replicas");
    let mut new = NewTopic::new(topic.name, partitions, TopicReplication::Fixed(replicas));
    for (name, value) in topic.settings.iter().filter(|(name, _)| keep(name)) {
        new = new.set(name, value);
    }
    let results = admin
        .create_topics([&new], &options())
        .await
        .map_err(TopicsError::Ask)?;
    Ok(match results.into_iter().next() {
        // Another instance was faster, with the same settings.
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(code),
    })
}

fn warn_of_differences(topic: &ExpectedTopic, found: &ConfigResource) {
    for (setting, expected) in &topic.settings {
        let found = found.get(setting).and_then(|entry| entry.value.as_deref());
        if found != Some(expected) {
            warn!(
                topic = topic.name,
                setting, expected, found, "a topic's setting differs from what calls need"
            );
        }
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_TIMEOUT))
        .operation_timeout(Some(ADMIN_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_stops_every_call_is_an_obstacle_before_any_call_meets_it() {
        let with = |required: usize, bytes_max: usize| {
            misconfiguration_of("an-alert", 1, |setting| match setting {
                "min.insync.replicas" => Some(required),
                "max.message.bytes" => Some(bytes_max),
                _ => None,
            })
        };

        assert_eq!(with(1, 1 << 20), None);
        let replicas = with(99, 1 << 20).unwrap().to_string();
        assert_eq!(
            replicas,
            "topic an-alert: min.insync.replicas is 99, in-sync replicas are 1"
        );
        assert!(matches!(
            with(1, 0),
            Some(Misconfiguration::RecordsTooLarge { bytes_max: 0, .. })
        ));
        assert_eq!(
            misconfiguration_of("an-alert", 1, |_| None),
            None,
            "a log that tells nothing"
        );
    }
}
