//! What librdkafka is set to.

// librdkafka waits by a clock that nobody sets.
use librdkafka_clock as _;
use rdkafka::ClientConfig;

/// How many nodes the log has, as far as who starts a client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogNodes {
    /// More than one, or unknown: another node may lead at any moment, so clients ask often which one does.
    #[default]
    Several,
    /// One for as long as the client lives, as in a `mayday` without peers: nothing is to be found out, so its clients rest.
    One,
}

impl LogNodes {
    /// Sets how often a client asks which node leads. Call it on what [`settings`] or [`reader_settings`] returned.
    pub fn apply(self, config: &mut ClientConfig) {
        if self == Self::One {
            // librdkafka's own default.
            config.set("topic.metadata.refresh.interval.ms", "300000");
        }
    }
}

/// Of every client of the log. `name` is what an operator sees of it. A lost leader must cost one refresh, not a
/// back-off meant for data centres.
pub fn settings(address: &str, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        .set("client.id", name)
        .set("socket.connection.setup.timeout.ms", "1000")
        .set("socket.nagle.disable", "true")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("retry.backoff.ms", "50")
        .set("retry.backoff.max.ms", "250")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        // Asked right after its death, the others still name the leader that was: unless the client asks again before
        // it does so by itself, librdkafka waits a second.
        .set("topic.metadata.refresh.interval.ms", "250")
        // By default three refreshes: an election must not make it forget the topics.
        .set("metadata.max.age.ms", "900000")
        .set("log.connection.close", "false");
    config
}

/// Of a client that reads partitions which it assigns to itself, and commits nothing.
pub fn reader_settings(address: &str, name: &str) -> ClientConfig {
    let mut config = settings(address, name);
    config
        // The client wants the name of a group even where it never joins one.
        .set("group.id", name)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // `read_until` needs them.
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        // No program of ours writes transactions; one of another client must not keep a call unread until it ends.
        .set("isolation.level", "read_uncommitted")
        .set("fetch.error.backoff.ms", "50")
        // Both what one partition may bring at once and what is read ahead: a few calls a second need no more, and a
        // large answer would stand in the way of an alert on the log's sockets and disk.
        .set("fetch.message.max.bytes", "1048576")
        .set("queued.max.messages.kbytes", "4096");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn librdkafka_knows_every_setting() {
        let mut configs = [
            settings("127.0.0.1:9", "test"),
            reader_settings("127.0.0.1:9", "test"),
        ];
        LogNodes::One.apply(&mut configs[0]);
        for config in configs {
            config
                .create_native_config()
                .expect("each name and value is one of librdkafka's");
        }
    }
}
