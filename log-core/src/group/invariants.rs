//! What is true of a group after every input, or the broker stops: going on could give a partition two owners.

use super::Group;
use super::member::OpenRequest;
use super::phase::Phase;
use crate::ids::MemberId;

impl Group {
    pub(super) fn assert_invariants(&self) {
        let nobody = self.members.is_empty();
        let settled = matches!(
            self.phase,
            Phase::CompletingRebalance { .. } | Phase::Stable { .. }
        );
        assert_eq!(
            nobody,
            matches!(self.phase, Phase::Empty { .. } | Phase::Dead),
            "{} has {} members",
            self.phase.name(),
            self.members.len()
        );
        assert!(
            self.leader
                .as_ref()
                .is_none_or(|leader| self.members.contains_key(leader)),
            "the leader is no member"
        );
        assert!(
            !settled || self.leader.is_some(),
            "a generation without a leader"
        );
        assert!(
            !settled || self.protocol_name.is_some(),
            "a generation without a protocol"
        );
        let awaits_a_record = !self.records.are_all_closed();
        assert!(
            nobody || awaits_a_record || self.deadline().is_some(),
            "somebody waits without a deadline"
        );
        debug_assert!(self.identities_agree());
        debug_assert!(self.requests_fit_the_phase());
        debug_assert!(
            self.told.keys().all(|id| !self.members.contains_key(id)),
            "told again to a member"
        );
    }

    fn identities_agree(&self) -> bool {
        let back = |id: &MemberId| {
            self.members
                .get(id)
                .and_then(|member| member.profile.instance_id.as_ref())
        };
        let static_members = self
            .members
            .values()
            .filter(|member| member.profile.instance_id.is_some())
            .count();
        static_members == self.instances.len()
            && self
                .instances
                .iter()
                .all(|(instance_id, id)| back(id) == Some(instance_id))
    }

    fn requests_fit_the_phase(&self) -> bool {
        self.members.values().all(|member| match member.waiting {
            OpenRequest::Nothing => true,
            OpenRequest::Join(_) => matches!(self.phase, Phase::PreparingRebalance(_)),
            OpenRequest::Sync(_) => matches!(self.phase, Phase::CompletingRebalance { .. }),
        })
    }
}
