"""What operators' tools ask, by librdkafka's admin client and by kafka-python's.

usage: admin.py <broker>
"""

import sys

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, OffsetSpec, ResourceType,
)
from kafka.admin import KafkaAdminClient

from log_process import until
from members import Member, fill, make_topic, share_all

(broker,) = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": broker})
TOPIC = GROUP = "operated"


def settings(topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return admin.describe_configs([resource])[resource].result(timeout=10)


def topics():
    make_topic(broker, TOPIC, retention_ms=123_456)
    found = settings(TOPIC)
    assert found["retention.ms"].value == "123456" and not found["retention.ms"].is_default
    assert found["segment.bytes"].is_default and len(found) > 20, len(found)

    change = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[
        ConfigEntry("retention.ms", "654321", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET),
    ])
    admin.incremental_alter_configs([change])[change].result(timeout=10)
    assert settings(TOPIC)["retention.ms"].value == "654321"
    back = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[
        ConfigEntry("max.message.bytes", None, incremental_operation=AlterConfigOpType.DELETE),
    ])
    admin.incremental_alter_configs([back])[back].result(timeout=10)
    assert settings(TOPIC)["max.message.bytes"].is_default

    admin.create_partitions([NewPartitions(TOPIC, 4)])[TOPIC].result(timeout=10)
    assert len(admin.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions) == 4
    try:
        admin.create_partitions([NewPartitions(TOPIC, 3)])[TOPIC].result(timeout=10)
        raise AssertionError("fewer partitions")
    except KafkaException as error:
        assert error.args[0].name() == "INVALID_PARTITIONS", error


def records():
    fill(broker, TOPIC, 40, partitions=4)
    place = TopicPartition(TOPIC, 0, 4)
    deleted = admin.delete_records([place])
    assert next(iter(deleted.values())).result(timeout=10).low_watermark == 4
    where = TopicPartition(TOPIC, 0)
    earliest = admin.list_offsets({where: OffsetSpec.earliest()})[where].result(timeout=10)
    latest = admin.list_offsets({where: OffsetSpec.latest()})[where].result(timeout=10)
    assert (earliest.offset, latest.offset) == (4, 10), (earliest, latest)

    make_topic(broker, "protected", mayday_acks_min="all")
    fill(broker, "protected", 4)
    protected = admin.delete_records([TopicPartition("protected", 0, 1)])
    try:
        next(iter(protected.values())).result(timeout=10)
        raise AssertionError("records of an alert topic were deleted by hand")
    except KafkaException as error:
        assert error.args[0].name() == "POLICY_VIOLATION", error


def groups():
    member = Member(broker, GROUP, TOPIC)
    until(lambda: share_all([member], partitions=4), "it owns them all")
    until(lambda: len(member.values) == 36, "it has read them all")
    member.commit()

    listed = admin.list_consumer_groups().result(timeout=10).valid
    assert GROUP in {group.group_id for group in listed}
    described = admin.describe_consumer_groups([GROUP])[GROUP].result(timeout=10)
    assert described.state.name == "STABLE" and len(described.members) == 1, described
    assert len(described.members[0].assignment.topic_partitions) == 4

    try:
        admin.delete_consumer_groups([GROUP])[GROUP].result(timeout=10)
        raise AssertionError("a group with members was deleted")
    except KafkaException as error:
        assert error.args[0].name() == "NON_EMPTY_GROUP", error
    member.close()

    asked = ConsumerGroupTopicPartitions(GROUP)
    kept = admin.list_consumer_group_offsets([asked])[GROUP].result(timeout=10).topic_partitions
    assert {place.offset for place in kept} == {10}, kept
    moved = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, 1, 3)])
    admin.alter_consumer_group_offsets([moved])[GROUP].result(timeout=10)
    kept = admin.list_consumer_group_offsets([asked])[GROUP].result(timeout=10).topic_partitions
    assert {place.partition: place.offset for place in kept}[1] == 3

    admin.delete_consumer_groups([GROUP])[GROUP].result(timeout=10)
    listed = admin.list_consumer_groups().result(timeout=10).valid
    assert GROUP not in {group.group_id for group in listed}


def cluster():
    described = admin.describe_cluster().result(timeout=10)
    assert [node.id for node in described.nodes] == [1] and described.controller.id == 1
    other = KafkaAdminClient(bootstrap_servers=broker)
    assert other.describe_cluster()["cluster_id"] == described.cluster_id
    assert TOPIC in other.list_topics()
    assert other.describe_topics([TOPIC])[0]["name"] == TOPIC
    quorum = other.describe_metadata_quorum()
    journal = quorum["topics"][0]["partitions"][0]
    assert journal["leader_id"] == 1, journal
    assert [voter["replica_id"] for voter in journal["current_voters"]] == [1], journal
    # A log of one node raises its level by itself, soon after its start.
    until(lambda: other.describe_features()["mayday.version"]["finalized"] == (1, 2), "the latest level")
    other.close()


topics()
records()
groups()
cluster()
print("operated")
