//! What a topic's settings must leave possible: that records can be stored in it.
//!
//! Asked by the leader before it proposes, never when a command is applied: the journals of earlier versions hold other
//! values, and every replica must read them alike. Where such a value is used it is brought within these bounds.

use super::config_minimums::{TIMESTAMP_MS_MIN, message_bytes_min};
use super::topic_config::{InvalidConfig, TopicConfig};

impl TopicConfig {
    /// Whether so many voters can store records under these settings. What stays as it was `before` is not judged again:
    /// it was taken once, and must not stand in the way of another change.
    ///
    /// # Errors
    /// [`InvalidConfig`] for the first setting that makes it impossible.
    pub fn check_storable(
        &self,
        before: Option<&Self>,
        voters: usize,
    ) -> Result<(), InvalidConfig> {
        let changes = |key: &str| before.is_none_or(|before| before.value(key) != self.value(key));
        let refuse = |key: &str, needed: String| {
            Err(InvalidConfig {
                key: key.to_owned(),
                value: self.value(key).unwrap_or_default().to_owned(),
                needed,
            })
        };
        let settings = self.settings();
        let in_sync = "min.insync.replicas";
        if changes(in_sync) && voters < settings.min_insync_replicas as usize {
            return refuse(in_sync, format!("at most the number of voters, {voters}"));
        }
        let (size, acks) = ("max.message.bytes", "mayday.acks.min");
        let least = message_bytes_min(settings.acks_min);
        if (changes(size) || changes(acks)) && self.number(size) < least as i64 {
            return refuse(
                size,
                format!(
                    "at least {least} for a topic with {acks}={}",
                    self.value(acks).unwrap_or_default()
                ),
            );
        }
        for key in [
            "message.timestamp.before.max.ms",
            "message.timestamp.after.max.ms",
        ] {
            if changes(key) && self.number(key) < TIMESTAMP_MS_MIN {
                return refuse(key, format!("at least {TIMESTAMP_MS_MIN}"));
            }
        }
        Ok(())
    }

    /// A numeric setting as it is set, whatever it is brought to where it is used.
    fn number(&self, key: &str) -> i64 {
        let value = self.value(key).and_then(|value| value.trim().parse().ok());
        value.expect("values are checked against their row")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::BatchLimits;

    fn config(pairs: &[(&str, &str)]) -> TopicConfig {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let overrides: BTreeMap<_, _> = pairs.iter().map(owned).collect();
        TopicConfig::new(overrides).expect("a journal may hold it")
    }

    fn refused_key(pairs: &[(&str, &str)], voters: usize) -> Option<String> {
        let checked = config(pairs).check_storable(None, voters);
        checked.err().map(|invalid| invalid.key)
    }

    #[test]
    fn a_setting_under_which_no_record_could_be_stored_is_refused() {
        for (key, value) in [
            ("min.insync.replicas", "99"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "0"),
            ("max.message.bytes", "67"),
            ("message.timestamp.before.max.ms", "0"),
            ("message.timestamp.after.max.ms", "999"),
        ] {
            assert_eq!(
                refused_key(&[(key, value)], 1).as_deref(),
                Some(key),
                "{value}"
            );
        }
        assert_eq!(refused_key(&[], 1), None, "the defaults");
        assert_eq!(refused_key(&[("min.insync.replicas", "3")], 3), None);
        assert_eq!(refused_key(&[("max.message.bytes", "68")], 1), None);
    }

    #[test]
    fn a_topic_of_calls_takes_what_a_producer_puts_into_one_batch() {
        let strict = ("mayday.acks.min", "all");
        let small = ("max.message.bytes", "1048587");
        assert_eq!(
            refused_key(&[strict, small], 1).as_deref(),
            Some("max.message.bytes")
        );
        assert_eq!(refused_key(&[strict], 1), None);

        let before = config(&[small]);
        let stricter = config(&[strict, small]).check_storable(Some(&before), 1);
        assert!(
            stricter.is_err(),
            "becoming such a topic with a bound that is too low"
        );
    }

    #[test]
    fn what_a_topic_was_given_before_does_not_stand_in_the_way_of_another_change() {
        let before = config(&[("min.insync.replicas", "99"), ("max.message.bytes", "0")]);
        let mut overrides = before.overrides().clone();
        overrides.insert("retention.ms".to_owned(), "5".to_owned());
        let after = TopicConfig::new(overrides).expect("valid");
        assert_eq!(after.check_storable(Some(&before), 1), Ok(()));
    }

    #[test]
    fn a_bound_from_an_old_journal_that_would_refuse_every_record_is_raised_where_it_is_used() {
        let strict = config(&[("mayday.acks.min", "all"), ("max.message.bytes", "0")]);
        assert_eq!(
            strict.settings().max_message_bytes,
            BatchLimits::BATCH_BYTES_MAX
        );
        assert_eq!(
            strict.value("max.message.bytes"),
            Some("0"),
            "shown as it was set"
        );
        let plain = config(&[
            ("max.message.bytes", "0"),
            ("message.timestamp.before.max.ms", "0"),
        ]);
        assert_eq!(plain.settings().max_message_bytes, 68);
        assert_eq!(plain.settings().timestamp_before_max_ms, 1_000);
    }
}
