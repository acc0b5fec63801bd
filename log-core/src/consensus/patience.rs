//! How long a replica waits for disks in an election, in ticks. An election time-out says how long a leader may be silent;
//! it says nothing of how long a sync takes, and the vote of another replica is a sync.
//!
//! Nothing here is on the wire: a replica judges by its own disk, and where the others' are slower, by elections that failed.

/// No disk is waited for longer than so many ticks at once: 4 s.
pub(super) const TICKS_MAX: usize = 160;

/// See the module. On quick disks it asks for no tick.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Ticks that the last sync took, or half of what was known before where that is more.
    sync_ticks: usize,
    /// Ticks that the sync under way has taken so far.
    under_way: Option<usize>,
    /// Ticks left in which another, who was granted a pre-vote, may sync its own vote and ask for ours.
    hold: usize,
    /// The latest term that was held for: a candidate that hears no answers asks again and again.
    held_for: u64,
    /// Elections in which this replica stood and time ran out, since it last knew a leader.
    pub(super) elections_failed: u32,
}

impl Patience {
    pub(super) fn tick(&mut self) {
        if let Some(ticks) = &mut self.under_way {
            *ticks = TICKS_MAX.min(*ticks + 1);
        }
        self.hold = self.hold.saturating_sub(1);
    }

    /// Whether another may be about to win.
    pub(super) fn holds(&self) -> bool {
        self.hold != 0
    }

    /// A step goes to disk.
    pub(super) fn writes(&mut self) {
        self.under_way.get_or_insert(0);
    }

    /// A sync has ended; whether the next one begins.
    pub(super) fn synced(&mut self, goes_on: bool) {
        let took = self.under_way.unwrap_or_default();
        self.sync_ticks = took.max(self.sync_ticks / 2);
        self.under_way = goes_on.then_some(0);
    }

    /// Another was granted a pre-vote for this term: it stands once its own vote is on its disk.
    pub(super) fn let_stand(&mut self, term: u64) {
        if self.held_for < term {
            self.held_for = term;
            self.hold = self.two_syncs();
        }
    }

    /// There is a leader.
    pub(super) fn led(&mut self) {
        self.hold = 0;
        self.elections_failed = 0;
    }

    /// How much longer than an election time-out a candidate waits for votes once its own is on its disk: a voter may have
    /// just begun another sync. Twice as long after each election that failed, from the third on: one may have split the
    /// votes.
    pub(super) fn for_votes(&self, election_min: usize) -> usize {
        let doubled = match self.elections_failed {
            0 | 1 => 0,
            failed => election_min << failed.min(6),
        };
        self.two_syncs().max(doubled).min(TICKS_MAX)
    }

    fn two_syncs(&self) -> usize {
        let longest = self.sync_ticks.max(self.under_way.unwrap_or_default());
        // One tick is what a quick sync may seem to take.
        2 * longest.saturating_sub(1)
    }
}
