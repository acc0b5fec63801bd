//! The memory that requests may take: a share per connection and a pool for all (Kafka's `queued.max.request.bytes`).
//!
//! The pool is taken as bytes arrive, not as a length claims, so no client can hold memory that it did not send. The
//! first [`FREE_BYTES`] of a frame are not counted: small requests never wait for large ones, and `max.connections`
//! bounds their sum.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a frame may take outside the pool.
pub(super) const FREE_BYTES: usize = 64 * 1024;

/// Bytes shared by all connections.
#[derive(Clone)]
pub(super) struct RequestMemory {
    pool: Arc<Semaphore>,
}

impl RequestMemory {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            pool: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// A connection's account.
    pub(super) fn share(&self, bytes_max: usize) -> ConnectionMemory {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX).max(1);
        let own = Arc::new(Semaphore::new(bytes_max as usize));
        ConnectionMemory {
            pool: Arc::clone(&self.pool),
            own,
            bytes_max,
        }
    }
}

/// What one connection may take.
pub(super) struct ConnectionMemory {
    pool: Arc<Semaphore>,
    own: Arc<Semaphore>,
    bytes_max: u32,
}

/// What one request holds; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    _own: Option<OwnedSemaphorePermit>,
    pool: Option<OwnedSemaphorePermit>,
}

impl ConnectionMemory {
    /// Waits until the requests before leave room for one of that length in the connection's share. One that is
    /// larger than the share waits to be alone.
    pub(super) async fn admit(&self, length: usize) -> Held {
        let bytes = u32::try_from(length)
            .unwrap_or(u32::MAX)
            .min(self.bytes_max);
        let own = Arc::clone(&self.own).acquire_many_owned(bytes).await;
        Held {
            _own: own.ok(),
            pool: None,
        }
    }

    /// Waits until the pool has that much more for a request that is being read.
    pub(super) async fn grow(&self, held: &mut Held, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(more) = Arc::clone(&self.pool).acquire_many_owned(bytes).await else {
            return;
        };
        match &mut held.pool {
            Some(pool) => pool.merge(more),
            none => *none = Some(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_request_waits_for_the_ones_before_on_its_connection() {
        let memory = RequestMemory::new(1 << 20).share(100);
        let first = memory.admit(60).await;
        assert!(timeout(SHORT, memory.admit(60)).await.is_err());
        drop(first);
        assert!(timeout(SHORT, memory.admit(60)).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_larger_than_the_share_is_let_in_alone() {
        let memory = RequestMemory::new(1 << 20).share(100);
        let large = memory.admit(1_000_000).await;
        assert!(timeout(SHORT, memory.admit(1)).await.is_err());
        drop(large);
        assert!(timeout(SHORT, memory.admit(1)).await.is_ok());
    }

    #[tokio::test]
    async fn what_one_connection_has_read_is_missing_to_the_others_until_it_is_answered() {
        let all = RequestMemory::new(100);
        let (ours, theirs) = (all.share(1_000), all.share(1_000));
        let mut held = ours.admit(500).await;
        ours.grow(&mut held, 50).await;
        ours.grow(&mut held, 50).await;
        let mut other = theirs.admit(500).await;
        assert!(timeout(SHORT, theirs.grow(&mut other, 1)).await.is_err());
        drop(held);
        assert!(timeout(SHORT, theirs.grow(&mut other, 100)).await.is_ok());
    }
}
