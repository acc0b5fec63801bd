//! A completed rebalance as the group's decider has it, and as the state machine keeps it: the two rooms do not know each
//! other, so they meet here.

use std::time::Duration;

use crate::group::{CompletedRebalance, RecordedMember};
use crate::ids::GroupId;
use crate::state::{CompleteRebalance, CompletedMember, ConsumerGroup};

/// The command that records it.
pub(crate) fn command(group: GroupId, rebalance: CompletedRebalance) -> CompleteRebalance {
    CompleteRebalance {
        group,
        generation: rebalance.generation,
        protocol_type: rebalance.protocol_type,
        protocol: rebalance.protocol_name,
        leader: rebalance.leader,
        members: rebalance.members.into_iter().map(completed).collect(),
    }
}

fn completed(member: RecordedMember) -> CompletedMember {
    let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    CompletedMember {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        session_timeout_ms: milliseconds(member.session_timeout),
        rebalance_timeout_ms: milliseconds(member.rebalance_timeout),
        subscription: member.metadata,
        assignment: member.assignment,
    }
}

/// What a new coordinator resumes from.
pub(crate) fn resumed(group: &ConsumerGroup) -> CompletedRebalance {
    CompletedRebalance {
        generation: group.generation(),
        protocol_type: group.protocol_type().map(str::to_owned),
        protocol_name: group.protocol().map(str::to_owned),
        leader: group.leader().cloned(),
        members: group.members().cloned().map(recorded).collect(),
    }
}

fn recorded(member: CompletedMember) -> RecordedMember {
    RecordedMember {
        member_id: member.id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        session_timeout: Duration::from_millis(member.session_timeout_ms.into()),
        rebalance_timeout: Duration::from_millis(member.rebalance_timeout_ms.into()),
        metadata: member.subscription,
        assignment: member.assignment,
    }
}
