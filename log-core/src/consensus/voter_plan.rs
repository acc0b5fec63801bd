//! What is still to be done until a replica votes, and whether a member may leave. Decided from who the members are and
//! how far they are; the handlers act on it one step at a time, so that asking again goes on from where it was left
//! (rule 15).

use super::Membership;
use super::quorum::{Quorum, QuorumMember};
use crate::ids::{EntryIndex, ReplicaId};

/// A learner so many entries behind may prove that it has caught up; one farther behind need not try.
const NEAR_ENTRIES: u64 = 1_024;

/// The members, and how far they are.
pub(crate) struct Members<'a> {
    pub(crate) membership: &'a Membership,
    pub(crate) quorum: &'a Quorum,
}

/// The next step until a replica votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// None: it votes.
    Done,
    /// The one whose place it takes is still heard of, and two must not go by one number: it has to be stopped.
    WaitForSilence,
    /// The one whose place it takes never came to vote: it goes first.
    Dismiss(ReplicaId),
    /// It is no member yet: it is to receive entries.
    Admit,
    /// It receives entries, and is not near enough to vote.
    CatchUp {
        /// How many entries it lacks; none when it was not heard of at all.
        behind: Option<u64>,
    },
    /// It is near: it is to vote, once it and a majority of those who vote then have stored an entry of that moment (the
    /// last round of the Raft thesis, section 4.2.1).
    Promote {
        /// Instead of whom, if that one still votes.
        instead_of: Option<ReplicaId>,
    },
    /// It votes as soon as the joint change has ended, which it does by itself.
    EndJoint,
}

/// What it takes for a member to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It leads: another has to first.
    HandOver {
        /// The best of the others.
        to: ReplicaId,
    },
    /// It can go.
    Remove,
}

/// Why a member must not leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RemovalRefused {
    /// It is none.
    #[error("it is no member")]
    NoMember,
    /// Nobody would be left.
    #[error("it is the last voter: without it there is no log")]
    LastVoter,
    /// Those left could not decide anything.
    #[error(
        "without it {answering} of {voters} voters answer, and {} are needed: bring one back or replace it first",
        voters / 2 + 1
    )]
    NoMajority {
        /// Voters that would be left and are heard of.
        answering: usize,
        /// Voters that would be left.
        voters: usize,
    },
    /// It leads, and nobody else is near enough to.
    #[error("it leads, and no other voter is in sync: wait until one is")]
    NobodyElse,
    /// Another change of members is under way.
    #[error("another change of members is under way: try again in a few seconds")]
    Changing,
}

/// What is next until `replica` votes, perhaps in the place of another.
pub(crate) fn admission(
    members: &Members<'_>,
    replica: ReplicaId,
    instead_of: Option<ReplicaId>,
) -> Admission {
    let Members { membership, .. } = members;
    if membership.is_joint() {
        return Admission::EndJoint;
    }
    if membership.voters.contains(&replica) {
        return Admission::Done;
    }
    let replaced = instead_of.filter(|other| membership.has(*other));
    if replaced.is_some_and(|other| members.is_heard_of(other)) {
        return Admission::WaitForSilence;
    }
    if let Some(learner) = replaced.filter(|other| !membership.is_voter(*other)) {
        return Admission::Dismiss(learner);
    }
    if !membership.has(replica) {
        return Admission::Admit;
    }
    match members.lag_of(replica) {
        Some(..=NEAR_ENTRIES) => Admission::Promote {
            instead_of: replaced,
        },
        behind => Admission::CatchUp { behind },
    }
}

/// What it takes for `replica` to leave, asked on `leader`.
pub(crate) fn removal(
    members: &Members<'_>,
    replica: ReplicaId,
    leader: ReplicaId,
) -> Result<Removal, RemovalRefused> {
    let Members { membership, .. } = members;
    if membership.is_joint() {
        return Err(RemovalRefused::Changing);
    }
    if !membership.has(replica) {
        return Err(RemovalRefused::NoMember);
    }
    if !membership.is_voter(replica) {
        return Ok(Removal::Remove);
    }
    members.survive_without(replica)?;
    if replica != leader {
        return Ok(Removal::Remove);
    }
    let to = members
        .best_besides(leader)
        .ok_or(RemovalRefused::NobodyElse)?;
    Ok(Removal::HandOver { to })
}

/// Those who vote once `replica` does, perhaps in the place of another.
pub(crate) fn voters_with(
    membership: &Membership,
    replica: ReplicaId,
    instead_of: Option<ReplicaId>,
) -> Vec<ReplicaId> {
    let others = membership.voters.iter().copied();
    let others = others.filter(|voter| *voter != replica && Some(*voter) != instead_of);
    others.chain([replica]).collect()
}

/// Those who vote once `replica` has left.
pub(crate) fn voters_without(membership: &Membership, replica: ReplicaId) -> Vec<ReplicaId> {
    let voters = membership.voters.iter().copied();
    voters.filter(|voter| *voter != replica).collect()
}

/// Whether a majority of `voters` has the entry on its disks. To have been heard of lately proves nothing: it may be two
/// seconds old, and a change that leaves no majority cannot be taken back.
pub(crate) fn is_on_a_majority(quorum: &Quorum, voters: &[ReplicaId], entry: EntryIndex) -> bool {
    let has = voters.iter().filter(|voter| is_on(quorum, **voter, entry));
    voters.len() / 2 < has.count()
}

/// Whether the replica has the entry on its disk.
pub(crate) fn is_on(quorum: &Quorum, replica: ReplicaId, entry: EntryIndex) -> bool {
    let member = quorum.member(replica);
    member.is_some_and(|member| entry <= member.matched)
}

impl Members<'_> {
    fn survive_without(&self, replica: ReplicaId) -> Result<(), RemovalRefused> {
        let left = voters_without(self.membership, replica);
        let voters = left.len();
        let answering = left.iter().filter(|it| self.is_heard_of(**it)).count();
        match voters {
            0 => Err(RemovalRefused::LastVoter),
            _ if answering <= voters / 2 => Err(RemovalRefused::NoMajority { answering, voters }),
            _ => Ok(()),
        }
    }

    fn best_besides(&self, leader: ReplicaId) -> Option<ReplicaId> {
        let others = self.quorum.in_sync().filter(|it| it.replica != leader);
        others.max_by_key(|it| it.matched).map(|it| it.replica)
    }

    fn is_heard_of(&self, replica: ReplicaId) -> bool {
        self.quorum.member(replica).is_some_and(|it| it.active)
    }

    fn lag_of(&self, replica: ReplicaId) -> Option<u64> {
        let lag = |it: &QuorumMember| self.quorum.last.0.saturating_sub(it.matched.0);
        let member = self.quorum.member(replica).filter(|it| it.active);
        member.map(lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LeaderEpoch;

    const LAST: u64 = 10_000;

    /// Replica 1 leads.
    struct House {
        membership: Membership,
        quorum: Quorum,
    }

    impl House {
        fn of_voters(numbers: &[u64]) -> Self {
            let voters = numbers.iter().copied().map(ReplicaId);
            let mut house = Self {
                membership: Membership::of_voters(voters),
                quorum: Quorum {
                    leader: Some(ReplicaId(1)),
                    epoch: LeaderEpoch(1),
                    last: EntryIndex(LAST),
                    members: Vec::new(),
                },
            };
            for number in numbers {
                house.is_at(*number, LAST, true);
            }
            house
        }

        fn is_at(&mut self, number: u64, matched: u64, active: bool) {
            let replica = ReplicaId(number);
            self.quorum.members.retain(|it| it.replica != replica);
            let voter = self.membership.voters.contains(&replica);
            self.quorum.members.push(QuorumMember::seen(
                replica,
                voter,
                EntryIndex(matched),
                active,
                EntryIndex(LAST),
            ));
        }

        fn learns(&mut self, number: u64, matched: u64) {
            self.membership.learners.push(ReplicaId(number));
            self.is_at(number, matched, true);
        }

        fn is_silent(&mut self, number: u64) {
            self.is_at(number, LAST - 1, false);
        }

        fn members(&self) -> Members<'_> {
            Members {
                membership: &self.membership,
                quorum: &self.quorum,
            }
        }

        fn to_add(&self, number: u64, instead_of: Option<u64>) -> Admission {
            let (replica, instead_of) = (ReplicaId(number), instead_of.map(ReplicaId));
            admission(&self.members(), replica, instead_of)
        }

        fn to_remove(&self, number: u64) -> Result<Removal, RemovalRefused> {
            removal(&self.members(), ReplicaId(number), ReplicaId(1))
        }
    }

    #[test]
    fn a_replica_learns_catches_up_and_votes() {
        let mut house = House::of_voters(&[1, 2, 3]);
        assert_eq!(house.to_add(4, None), Admission::Admit);

        house.learns(4, LAST - NEAR_ENTRIES - 1);
        let behind = Some(NEAR_ENTRIES + 1);
        assert_eq!(house.to_add(4, None), Admission::CatchUp { behind });
        house.is_at(4, LAST, false);
        let silent = Admission::CatchUp { behind: None };
        assert_eq!(house.to_add(4, None), silent, "silent, however near");

        house.is_at(4, LAST - NEAR_ENTRIES, true);
        let alone = Admission::Promote { instead_of: None };
        assert_eq!(house.to_add(4, None), alone);
        assert_eq!(House::of_voters(&[1, 4]).to_add(4, None), Admission::Done);
    }

    #[test]
    fn a_replica_takes_anothers_place_once_that_one_is_silent() {
        let mut house = House::of_voters(&[1, 2, 3]);
        assert_eq!(house.to_add(4, Some(3)), Admission::WaitForSilence);
        assert_eq!(house.to_add(4, Some(1)), Admission::WaitForSilence);

        house.is_silent(3);
        assert_eq!(house.to_add(4, Some(3)), Admission::Admit);
        house.learns(4, LAST);
        let instead_of = Some(ReplicaId(3));
        assert_eq!(house.to_add(4, Some(3)), Admission::Promote { instead_of });
    }

    #[test]
    fn whose_place_is_empty_already_needs_nobody_to_go() {
        let mut house = House::of_voters(&[1, 2, 3]);
        house.learns(4, LAST);
        let alone = Admission::Promote { instead_of: None };
        assert_eq!(house.to_add(4, Some(9)), alone);

        house.learns(5, LAST);
        house.is_silent(5);
        assert_eq!(house.to_add(4, Some(5)), Admission::Dismiss(ReplicaId(5)));
    }

    #[test]
    fn nothing_is_begun_in_the_middle_of_a_joint_change() {
        let mut house = House::of_voters(&[1, 2, 4]);
        house.membership.voters_outgoing = [1, 2, 3].map(ReplicaId).to_vec();
        assert_eq!(house.to_add(4, Some(3)), Admission::EndJoint);
        assert_eq!(house.to_remove(2), Err(RemovalRefused::Changing));
    }

    #[test]
    fn a_member_leaves_only_while_a_majority_of_those_left_answers() {
        let mut house = House::of_voters(&[1, 2, 3]);
        assert_eq!(house.to_remove(2), Ok(Removal::Remove));
        assert_eq!(house.to_remove(9), Err(RemovalRefused::NoMember));

        house.is_silent(3);
        assert_eq!(house.to_remove(3), Ok(Removal::Remove), "the dead one may");
        let none = RemovalRefused::NoMajority {
            answering: 1,
            voters: 2,
        };
        assert_eq!(house.to_remove(2), Err(none));
        assert_eq!(
            House::of_voters(&[1]).to_remove(1),
            Err(RemovalRefused::LastVoter)
        );
    }

    #[test]
    fn a_change_needs_a_majority_of_those_who_vote_then_to_have_a_fresh_entry() {
        let mut house = House::of_voters(&[1, 2, 3]);
        house.learns(4, LAST);
        house.is_at(3, LAST - 1, true);
        let is_proved =
            |voters: &[ReplicaId]| is_on_a_majority(&house.quorum, voters, EntryIndex(LAST));
        let membership = &house.membership;
        assert!(
            is_proved(&voters_with(membership, ReplicaId(4), None)),
            "1, 2 and 4 of 4"
        );
        assert!(
            !is_proved(&voters_without(membership, ReplicaId(2))),
            "1 of 2"
        );
        assert!(
            is_proved(&voters_without(membership, ReplicaId(3))),
            "1 and 2"
        );
        let replaced = voters_with(membership, ReplicaId(4), Some(ReplicaId(3)));
        assert_eq!(replaced, [1, 2, 4].map(ReplicaId));
    }

    #[test]
    fn a_learner_leaves_whatever_the_voters_do() {
        let mut house = House::of_voters(&[1, 2, 3]);
        house.is_silent(2);
        house.is_silent(3);
        house.learns(4, 0);
        assert_eq!(house.to_remove(4), Ok(Removal::Remove));
    }

    #[test]
    fn a_leader_hands_over_to_the_nearest_before_it_leaves() {
        let mut house = House::of_voters(&[1, 2, 3]);
        house.is_at(2, LAST - 7, true);
        let to = ReplicaId(3);
        assert_eq!(house.to_remove(1), Ok(Removal::HandOver { to }));

        house.is_at(2, 0, true);
        house.is_at(3, 0, true);
        assert_eq!(house.to_remove(1), Err(RemovalRefused::NobodyElse));
    }
}
