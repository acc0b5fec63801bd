//! How a shard names its connections.

/// A connection of the shard. Never used for two connections, so what is meant for one that is gone reaches no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionKey {
    /// Where it stands in the shard.
    pub(super) slot: usize,
    /// How many connections were there before it.
    pub(super) number: u64,
}
