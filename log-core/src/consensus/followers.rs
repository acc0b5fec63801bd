//! What a leader remembers of the others, in ticks: when each was last heard of, and when it last fetched a part of a
//! snapshot. Decides who counts as there, and who gave up.

use std::collections::BTreeMap;

use super::quorum::QuorumMember;
use super::{FollowerProgress, Membership};
use crate::ids::{EntryIndex, ReplicaId};

/// Silent for longer, a member no longer counts as there: 2 s.
const SILENT_TICKS_MAX: u64 = 80;
/// A follower that fetches no part of its snapshot for longer has given up: 5 s.
const FETCH_TICKS_MAX: u64 = 200;
/// The files of a snapshot stay for so long after the last one who fetched: another may ask, 10 s.
const HELD_TICKS_MIN: u64 = 400;

/// A moment, counted in ticks of 25 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    /// How many ticks ago that was.
    pub(crate) fn since(self, earlier: Tick) -> u64 {
        self.0 - earlier.0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    now: Tick,
    /// Leading since.
    began: Tick,
    heard: BTreeMap<ReplicaId, Tick>,
    /// When a part of a snapshot was last fetched, or the follower was told to.
    fetched: BTreeMap<ReplicaId, Tick>,
    /// When files were held, or a follower was last seen to fetch them.
    held: Tick,
}

impl Followers {
    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    pub(crate) fn tick(&mut self) {
        self.now.0 += 1;
    }

    /// This replica leads from now on: everybody may be there until the silence says otherwise.
    pub(crate) fn begin(&mut self) {
        self.began = self.now;
        self.fetched.clear();
    }

    /// A message came.
    pub(crate) fn heard(&mut self, from: ReplicaId) {
        self.heard.insert(from, self.now);
    }

    /// Files are held from now on: a follower that needs them is told with its next heart-beat.
    pub(crate) fn hold(&mut self) {
        self.held = self.now;
    }

    /// A part of a snapshot was fetched.
    pub(crate) fn served(&mut self, to: ReplicaId) {
        self.fetched.insert(to, self.now);
        self.held = self.now;
    }

    fn is_active(&self, replica: ReplicaId) -> bool {
        let heard = self.heard.get(&replica).copied().unwrap_or_default();
        self.now.since(heard.max(self.began)) <= SILENT_TICKS_MAX
    }

    /// The members as they count now.
    pub(crate) fn seen(
        &self,
        me: ReplicaId,
        membership: &Membership,
        last: EntryIndex,
        followers: &[FollowerProgress],
    ) -> Vec<QuorumMember> {
        let see = |known: &FollowerProgress| {
            let replica = known.replica;
            let active = replica == me || self.is_active(replica);
            // What the leader itself has not synced yet is on its way: it is never behind itself.
            let last = if replica == me { known.matched } else { last };
            let voter = membership.is_voter(replica);
            QuorumMember::seen(replica, voter, known.matched, active, last)
        };
        followers.iter().map(see).collect()
    }

    /// Where the slowest of those that are there has come to, if there are others.
    pub(crate) fn slowest(
        &self,
        me: ReplicaId,
        followers: &[FollowerProgress],
    ) -> Option<EntryIndex> {
        let others = followers
            .iter()
            .filter(|known| known.replica != me && self.is_active(known.replica));
        others.map(|known| known.matched).min()
    }

    /// Those that were told to fetch a snapshot and do not, or no longer. Each is named once until it is told again.
    pub(crate) fn given_up(&mut self, followers: &[FollowerProgress]) -> Vec<ReplicaId> {
        self.fetched.retain(|replica, _| {
            let still = |known: &&FollowerProgress| known.replica == *replica;
            followers
                .iter()
                .find(still)
                .is_some_and(|known| known.installing.is_some())
        });
        let mut given_up = Vec::new();
        for known in followers.iter().filter(|known| known.installing.is_some()) {
            self.held = self.now;
            let last = *self.fetched.entry(known.replica).or_insert(self.now);
            if FETCH_TICKS_MAX < self.now.since(last) {
                self.fetched.remove(&known.replica);
                given_up.push(known.replica);
            }
        }
        given_up
    }

    /// Whether the files of a snapshot have been of use to no follower for a while.
    pub(crate) fn nobody_fetches(&self, followers: &[FollowerProgress]) -> bool {
        let fetches = followers.iter().any(|known| known.installing.is_some());
        !fetches && HELD_TICKS_MIN < self.now.since(self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ReplicaId = ReplicaId(1);
    const OTHER: ReplicaId = ReplicaId(2);

    fn after(followers: &mut Followers, ticks: u64) {
        (0..ticks).for_each(|_| followers.tick());
    }

    fn at(matched: u64, installing: Option<u64>) -> [FollowerProgress; 2] {
        let me = FollowerProgress {
            replica: ME,
            matched: EntryIndex(100),
            installing: None,
        };
        let other = FollowerProgress {
            replica: OTHER,
            matched: EntryIndex(matched),
            installing: installing.map(EntryIndex),
        };
        [me, other]
    }

    #[test]
    fn a_silent_member_stops_counting_and_a_word_brings_it_back() {
        let mut followers = Followers::default();
        followers.begin();
        let membership = Membership::of_voters([ME, OTHER]);
        let in_sync = |followers: &Followers| {
            let seen = followers.seen(ME, &membership, EntryIndex(100), &at(100, None));
            seen.iter().filter(|member| member.in_sync).count()
        };
        after(&mut followers, SILENT_TICKS_MAX);
        assert_eq!(in_sync(&followers), 2);

        after(&mut followers, 1);
        assert_eq!(in_sync(&followers), 1);
        assert_eq!(followers.slowest(ME, &at(3, None)), None);

        followers.heard(OTHER);
        assert_eq!(in_sync(&followers), 2);
        assert_eq!(followers.slowest(ME, &at(3, None)), Some(EntryIndex(3)));
    }

    #[test]
    fn a_follower_that_stops_fetching_is_given_up_once_and_one_that_goes_on_is_not() {
        let mut followers = Followers::default();
        followers.begin();
        assert_eq!(followers.given_up(&at(3, Some(50))), []);

        for _ in 0..10 {
            after(&mut followers, FETCH_TICKS_MAX);
            followers.served(OTHER);
            assert_eq!(followers.given_up(&at(3, Some(50))), []);
        }

        after(&mut followers, FETCH_TICKS_MAX + 1);
        assert_eq!(followers.given_up(&at(3, Some(50))), [OTHER]);
        assert_eq!(followers.given_up(&at(3, Some(50))), []);
    }

    #[test]
    fn files_are_held_while_somebody_fetches_and_a_while_longer() {
        let mut followers = Followers::default();
        after(&mut followers, HELD_TICKS_MIN + 1);
        followers.hold();
        assert!(!followers.nobody_fetches(&at(3, None)));
        after(&mut followers, HELD_TICKS_MIN + 1);
        assert!(!followers.nobody_fetches(&at(3, Some(50))));
        assert!(followers.nobody_fetches(&at(60, None)));

        followers.served(OTHER);
        assert!(!followers.nobody_fetches(&at(60, None)));
    }
}
