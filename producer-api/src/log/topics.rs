//! The topics: made where they are missing, looked at where they are not, never changed.

use std::time::Duration;

use event_model::{ACKS_MIN, ExpectedTopic, expected_topics};
use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, NewTopic,
        ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    error::KafkaError,
    metadata::Metadata,
    types::RDKafkaErrorCode,
};
use tracing::{info, warn};

use super::{LogSettings, client_config, with_properties};

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
pub(super) async fn ensure(settings: &TopicSettings) -> Result<Found, TopicsError> {
    let config = with_properties(client_config(&settings.log), &settings.log);
    let admin: AdminClient<DefaultClientContext> = config.create().map_err(TopicsError::Ask)?;
    let (admin, metadata) = metadata_of(admin).await?;
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
    Ok(Found {
        admin,
        topics: found,
    })
}

/// Topics that somebody made before, with their partitions.
pub(super) struct Found {
    admin: AdminClient<DefaultClientContext>,
    topics: Vec<(ExpectedTopic, usize)>,
}

impl Found {
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
                error = &error as &dyn std::error::Error,
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

/// librdkafka blocks for this one, so it is asked off the async threads.
async fn metadata_of(
    admin: AdminClient<DefaultClientContext>,
) -> Result<(AdminClient<DefaultClientContext>, Metadata), TopicsError> {
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(2));
        metadata.map(|metadata| (admin, metadata))
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

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &ExpectedTopic,
) -> Result<(), TopicsError> {
    match try_create(admin, topic, |_| true).await? {
        Err(RDKafkaErrorCode::InvalidConfig) => {
            // Apache Kafka does not know log-core's own setting. There, the topic's other settings keep the promise
            // as long as all who produce ask for `acks=all`, as we do.
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
    admin: &AdminClient<DefaultClientContext>,
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
