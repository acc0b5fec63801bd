//! How many sockets are open, and the limit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts sockets up to a limit. Cloned, it is the same count.
#[derive(Debug, Clone)]
pub(crate) struct SocketCount {
    open: Arc<AtomicUsize>,
    max: usize,
}

/// One socket that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct SocketPermit(Arc<AtomicUsize>);

impl SocketCount {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: Arc::default(),
            max,
        }
    }

    /// One more, if there is room.
    pub(crate) fn admit(&self) -> Option<SocketPermit> {
        let admitted = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < self.max).then_some(open + 1)
            });
        admitted
            .is_ok()
            .then(|| SocketPermit(Arc::clone(&self.open)))
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_sockets_than_the_limit_and_a_closed_one_makes_room() {
        let count = SocketCount::new(2);
        let (first, _second) = (count.admit().unwrap(), count.admit().unwrap());
        assert!(count.admit().is_none());

        drop(first);

        let _third = count.admit().unwrap();
        assert!(count.admit().is_none());
    }
}
