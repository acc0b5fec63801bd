//! Which transactions are open in the cluster, and since when by the world's time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::view::View;
use super::Violation;
use crate::ids::{EntryIndex, ProducerEpoch, ProducerId, TimestampMs, TransactionalId};

/// A wall clock may be trimmed by so much without a word (10 s), and a command may be under way for a while before it is
/// seen here.
const SLACK: Duration = Duration::from_secs(16);

/// Tells one transaction of an id from the next one.
type Name = (ProducerId, ProducerEpoch, TimestampMs);

#[derive(Default)]
pub(super) struct OpenTransactions {
    furthest: EntryIndex,
    open: BTreeMap<TransactionalId, Open>,
}

struct Open {
    name: Name,
    seen: Duration,
    timeout: Duration,
    /// Whether jumps of the clock were noted when it began: what began before counts them.
    notes_jumps: bool,
}

impl OpenTransactions {
    /// A node has applied more.
    pub(super) fn observe(&mut self, view: &View<'_>, now: Duration) {
        if view.applied <= self.furthest {
            return;
        }
        self.furthest = view.applied;
        for (id, transaction) in view.state.transactions() {
            let Some(open) = transaction.open() else {
                continue;
            };
            let name = (transaction.producer(), transaction.epoch(), open.started_at);
            let timeout = Duration::from_millis(transaction.timeout_ms().into());
            let known = self.open.get(id).is_some_and(|known| known.name == name);
            if !known {
                let seen = now;
                self.open.insert(
                    id.clone(),
                    Open {
                        name,
                        seen,
                        timeout,
                        notes_jumps: view.state.notes_jumps(),
                    },
                );
            }
        }
    }

    /// Its transaction was aborted for being open for too long.
    pub(super) fn overdue(&self, id: &TransactionalId, now: Duration) -> Result<(), Violation> {
        let Some(known) = self.open.get(id).filter(|known| known.notes_jumps) else {
            return Ok(());
        };
        let open = now.saturating_sub(known.seen);
        if open + SLACK < known.timeout {
            let id = id.as_str().to_owned();
            return Err(Violation::AbortedEarly { id, open });
        }
        Ok(())
    }
}
