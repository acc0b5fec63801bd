//! What other threads watch of a node.

use std::sync::Arc;

use super::view::Leadership;
use crate::consensus::{Membership, Quorum};
use crate::ids::{EntryIndex, LeaderEpoch};

/// What has changed since it was published last.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The members as of the last applied entry.
    pub(crate) membership: Option<Membership>,
    /// Who decides and how far they are, from the leader.
    pub(crate) quorum: Option<Arc<Quorum>>,
    /// What this node is to its clients.
    pub(crate) leadership: Option<Leadership>,
    /// The last applied entry and its epoch.
    pub(crate) applied: Option<(EntryIndex, LeaderEpoch)>,
}

/// What was published, and what is to be published next.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    leadership: Option<Leadership>,
    applied: (EntryIndex, LeaderEpoch),
    quorum: Arc<Quorum>,
    news: Published,
}

impl Publisher {
    /// Of a replica whose members and applied entry its driver knows.
    pub(super) fn after(applied: (EntryIndex, LeaderEpoch)) -> Self {
        Self {
            applied,
            ..Self::default()
        }
    }

    /// The quorum that was shown last.
    pub(super) fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    pub(super) fn membership(&mut self, members: Membership) {
        self.news.membership = Some(members);
    }

    pub(super) fn publish_quorum(&mut self, quorum: Quorum) {
        if *self.quorum != quorum {
            self.quorum = Arc::new(quorum);
            self.news.quorum = Some(Arc::clone(&self.quorum));
        }
    }

    /// Whether this is not what clients were told last.
    pub(super) fn is_new(&self, leadership: Leadership) -> bool {
        self.leadership != Some(leadership)
    }

    pub(super) fn leadership(&mut self, leadership: Leadership) {
        if self.leadership.replace(leadership) != Some(leadership) {
            self.news.leadership = Some(leadership);
        }
    }

    pub(super) fn applied(&mut self, applied: (EntryIndex, LeaderEpoch)) {
        if std::mem::replace(&mut self.applied, applied) != applied {
            self.news.applied = Some(applied);
        }
    }

    /// What has changed, if anything has.
    pub(super) fn take(&mut self) -> Option<Published> {
        let news = std::mem::take(&mut self.news);
        (news != Published::default()).then_some(news)
    }
}
