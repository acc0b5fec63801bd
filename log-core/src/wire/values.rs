//! The wire's numbers and our types. Here, and only here, `-1` turns into `None` and back.

use uuid::Uuid;

use crate::ids::{
    Generation, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, ReplicaId,
    TimestampMs,
};

/// An epoch that the client may not know.
pub fn leader_epoch(wire: i32) -> Option<LeaderEpoch> {
    u32::try_from(wire).ok().map(LeaderEpoch)
}

/// An epoch as the wire has it.
pub fn wire_leader_epoch(epoch: Option<LeaderEpoch>) -> i32 {
    epoch
        .and_then(|epoch| i32::try_from(epoch.0).ok())
        .unwrap_or(-1)
}

/// An offset that may be absent.
pub fn offset(wire: i64) -> Option<Offset> {
    u64::try_from(wire).ok().map(Offset)
}

/// An offset as the wire has it.
pub fn wire_offset(offset: Option<Offset>) -> i64 {
    offset
        .and_then(|offset| i64::try_from(offset.0).ok())
        .unwrap_or(-1)
}

/// An offset that a group commits. Kafka keeps whatever number a client sends, also the -1 and -2 by which some clients
/// mean "none" and "the beginning": they are kept as their two's complement.
pub fn committed_offset(wire: i64) -> Offset {
    Offset(wire.cast_unsigned())
}

/// A committed offset as the wire has it.
pub fn wire_committed_offset(offset: Offset) -> i64 {
    offset.0.cast_signed()
}

/// A timestamp as the wire has it.
pub fn wire_timestamp(at: Option<TimestampMs>) -> i64 {
    at.map_or(-1, |at| at.0)
}

/// A partition's number; `None` when no partition can have it.
pub fn partition_index(wire: i32) -> Option<PartitionIndex> {
    u32::try_from(wire).ok().map(PartitionIndex)
}

/// A partition's number as the wire has it.
pub fn wire_partition(partition: PartitionIndex) -> i32 {
    i32::try_from(partition.0).unwrap_or(i32::MAX)
}

/// A broker's number as the wire has it; `-1` for none.
pub fn wire_node(node: Option<NodeId>) -> i32 {
    node.and_then(|node| i32::try_from(node.0).ok())
        .unwrap_or(-1)
}

/// A broker's number that may be absent.
pub fn node(wire: i32) -> Option<NodeId> {
    u32::try_from(wire).ok().map(NodeId)
}

/// A replica as the wire has it: Kafka calls the UUID of its data folder a directory id (KIP-853).
pub fn wire_directory(replica: ReplicaId) -> Uuid {
    Uuid::from_u64_pair(0, replica.0)
}

/// The replica of that directory id; `None` when it can be none of ours.
pub fn replica(directory: Uuid) -> Option<ReplicaId> {
    match directory.as_u64_pair() {
        (0, replica @ 1..) => Some(ReplicaId(replica)),
        _ => None,
    }
}

/// A group's generation that the client may not know.
pub fn generation(wire: i32) -> Option<Generation> {
    u32::try_from(wire).ok().map(Generation)
}

/// A group's generation as the wire has it.
pub fn wire_generation(generation: Option<Generation>) -> i32 {
    generation
        .and_then(|generation| i32::try_from(generation.0).ok())
        .unwrap_or(-1)
}

/// A producer id that may be absent.
pub fn producer_id(wire: i64) -> Option<ProducerId> {
    u64::try_from(wire).ok().map(ProducerId)
}

/// A producer id as the wire has it.
pub fn wire_producer_id(id: Option<ProducerId>) -> i64 {
    id.and_then(|id| i64::try_from(id.0).ok()).unwrap_or(-1)
}

/// A producer epoch that may be absent.
pub fn producer_epoch(wire: i16) -> Option<ProducerEpoch> {
    u16::try_from(wire).ok().map(ProducerEpoch)
}

/// A producer epoch as the wire has it.
pub fn wire_producer_epoch(epoch: Option<ProducerEpoch>) -> i16 {
    epoch
        .and_then(|epoch| i16::try_from(epoch.0).ok())
        .unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_is_none_both_ways() {
        assert_eq!((leader_epoch(-1), wire_leader_epoch(None)), (None, -1));
        assert_eq!((offset(-1), wire_offset(None)), (None, -1));
        assert_eq!((producer_id(-1), wire_producer_id(None)), (None, -1));
        assert_eq!((producer_epoch(-1), wire_producer_epoch(None)), (None, -1));
        assert_eq!((node(-1), wire_node(None)), (None, -1));
        assert_eq!(partition_index(-1), None);
    }

    #[test]
    fn a_replica_comes_back_from_its_directory_id_and_from_no_other() {
        let replica_id = ReplicaId(u64::MAX);
        assert_eq!(replica(wire_directory(replica_id)), Some(replica_id));
        assert_eq!(replica(Uuid::nil()), None);
        assert_eq!(replica(Uuid::from_u64_pair(1, 1)), None);
    }

    #[test]
    fn a_number_comes_back_as_it_went() {
        assert_eq!(
            leader_epoch(wire_leader_epoch(Some(LeaderEpoch(7)))),
            Some(LeaderEpoch(7))
        );
        assert_eq!(offset(wire_offset(Some(Offset(7)))), Some(Offset(7)));
        assert_eq!(
            producer_id(wire_producer_id(Some(ProducerId(7)))),
            Some(ProducerId(7))
        );
        assert_eq!(
            producer_epoch(wire_producer_epoch(Some(ProducerEpoch(7)))),
            Some(ProducerEpoch(7))
        );
    }
}
