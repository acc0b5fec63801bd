//! Changes to a topic's settings, as AlterConfigs and IncrementalAlterConfigs (KIP-339) ask for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config_key::{ConfigType, list_items};
use super::topic_config::{InvalidConfig, TopicConfig, topic_key};

/// What changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigChange {
    /// These and no others are set from now on.
    Replace(BTreeMap<String, String>),
    /// One after the other; the rest stays.
    Incremental(Vec<ConfigOp>),
}

/// What happens to one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigOp {
    /// Which.
    pub key: String,
    /// What happens to it.
    pub action: ConfigAction,
}

/// What can happen to a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigAction {
    /// It becomes this.
    Set(String),
    /// It goes back to its default.
    Delete,
    /// These words are added to a list.
    Append(String),
    /// These words are taken from a list.
    Subtract(String),
}

impl ConfigChange {
    /// The settings after the change.
    pub(super) fn applied_to(&self, config: &TopicConfig) -> Result<TopicConfig, InvalidConfig> {
        match self {
            Self::Replace(configs) => TopicConfig::new(configs.clone()),
            Self::Incremental(ops) => {
                let mut changed = config.clone();
                for op in ops {
                    changed = op.applied_to(&changed)?;
                }
                Ok(changed)
            }
        }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            Self::Replace(configs) => configs
                .iter()
                .map(|(key, value)| key.len() + value.len() + 10)
                .sum(),
            Self::Incremental(ops) => ops
                .iter()
                .map(|op| op.key.len() + op.action.text().len() + 11)
                .sum(),
        }
    }
}

impl ConfigOp {
    fn applied_to(&self, config: &TopicConfig) -> Result<TopicConfig, InvalidConfig> {
        let mut overrides = config.overrides().clone();
        match &self.action {
            ConfigAction::Set(value) => overrides.insert(self.key.clone(), value.clone()),
            ConfigAction::Delete => overrides.remove(&self.key),
            ConfigAction::Append(words) => {
                let mut list = self.list(config, words)?;
                let new: Vec<_> = list_items(words)
                    .filter(|word| !list.contains(word))
                    .collect();
                list.extend(new);
                overrides.insert(self.key.clone(), list.join(","))
            }
            ConfigAction::Subtract(words) => {
                let mut list = self.list(config, words)?;
                list.retain(|word| !list_items(words).any(|gone| gone == *word));
                overrides.insert(self.key.clone(), list.join(","))
            }
        };
        TopicConfig::new(overrides)
    }

    /// The words of a list that something is added to or taken from.
    fn list<'a>(
        &self,
        config: &'a TopicConfig,
        words: &str,
    ) -> Result<Vec<&'a str>, InvalidConfig> {
        let is_list = topic_key(&self.key).is_some_and(|key| key.config_type() == ConfigType::List);
        match config.value(&self.key) {
            Some(value) if is_list => Ok(list_items(value).collect()),
            _ => Err(InvalidConfig {
                key: self.key.clone(),
                value: words.to_owned(),
                needed: "a list to append to or subtract from".to_owned(),
            }),
        }
    }
}

impl ConfigAction {
    fn text(&self) -> &str {
        match self {
            Self::Set(text) | Self::Append(text) | Self::Subtract(text) => text,
            Self::Delete => "",
        }
    }
}
