//! How many bytes a group takes, and would take by what it is asked.

use super::input::Input;
use super::{Group, Join, Sync};
use crate::ids::MemberId;

/// What surrounds a member in memory, whatever it says.
const MEMBER_BYTES: usize = 512;

impl Group {
    /// Bytes of memory that its members take, about.
    pub fn bytes(&self) -> usize {
        let told = self.told.keys().map(|id| MEMBER_BYTES + id.as_str().len());
        let members = self.members.keys().map(|id| self.bytes_of(id));
        told.chain(members).sum()
    }

    fn bytes_of(&self, id: &MemberId) -> usize {
        let of = |member: &super::Member| member.profile.bytes() + member.assignment.len();
        let said = self.members.get(id).map_or(0, of);
        MEMBER_BYTES + id.as_str().len() + said
    }

    /// How many bytes more it might take once it has handled this input.
    pub fn bytes_added_by(&self, input: &Input) -> usize {
        match input {
            Input::Join(join) => self.bytes_of_join(join),
            Input::Sync(sync) => self.bytes_of_sync(sync),
            _ => 0,
        }
    }

    /// A member that joins again takes the place of what it said before.
    fn bytes_of_join(&self, join: &Join) -> usize {
        let Join {
            member_id, profile, ..
        } = join;
        let instance_id = profile.instance_id.as_ref();
        let known = member_id
            .as_ref()
            .or_else(|| instance_id.and_then(|id| self.instances.get(id)))
            .and_then(|id| self.members.get(id));
        let before = known.map_or(0, |member| member.profile.bytes());
        // Its id is made of its client's.
        let id = profile.client_id.len() + MEMBER_BYTES;
        let added = if known.is_some() { 0 } else { id };
        (profile.bytes() + added).saturating_sub(before)
    }

    fn bytes_of_sync(&self, sync: &Sync) -> usize {
        let given = sync.assignments.iter().map(|(_, given)| given.len());
        let before = self.members.values().map(|member| member.assignment.len());
        given.sum::<usize>().saturating_sub(before.sum())
    }
}
