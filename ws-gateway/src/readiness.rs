//! Whether sockets may come: told by the feed, asked by the doors.

use tokio::sync::watch;

/// Not ready until the log was read, and then for good. Cloned, it is the same.
#[derive(Debug, Clone)]
pub(crate) struct Readiness(watch::Sender<bool>);

impl Readiness {
    /// Not ready.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// From now on it is.
    pub(crate) fn caught_up(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is ready. Cancel safe.
    pub(crate) async fn wait(&self) {
        let mut changes = self.0.subscribe();
        changes
            .wait_for(|ready| *ready)
            .await
            .expect("the sender is held by self");
    }
}
