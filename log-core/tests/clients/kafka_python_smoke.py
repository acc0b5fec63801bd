"""kafka-python: makes a topic, produces with every codec, reads back, by offset, by time and in a group.

usage: kafka_python_smoke.py <broker>
"""

import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

(broker,) = sys.argv[1:]
TOPIC = "kafka-python"
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]



def listed(group):
    """Versions of the library name the same pair differently."""
    return (group["group_id"], group["protocol_type"]) if isinstance(group, dict) else group


admin = KafkaAdminClient(bootstrap_servers=broker)
admin.create_topics([NewTopic(name=TOPIC, num_partitions=2, replication_factor=1)])
assert TOPIC in admin.list_topics()

for codec in CODECS:
    producer = KafkaProducer(bootstrap_servers=broker, compression_type=codec, acks="all", enable_idempotence=True)
    sent = [
        producer.send(TOPIC, f"{codec} {number}".encode() * 20, b"key", partition=0, headers=[("n", b"1")])
        for number in range(10)
    ]
    producer.flush(timeout=20)
    assert all(future.get(timeout=20).offset >= 0 for future in sent)
    producer.close()

partition = TopicPartition(TOPIC, 0)
consumer = KafkaConsumer(bootstrap_servers=broker, consumer_timeout_ms=20_000)
consumer.assign([partition])
consumer.seek_to_beginning(partition)
assert consumer.beginning_offsets([partition]) == {partition: 0}
assert consumer.end_offsets([partition]) == {partition: 50}
records = [next(consumer) for _ in range(50)]
assert [record.offset for record in records] == list(range(50))
expected = [f"{codec} {number}".encode() * 20 for codec in CODECS for number in range(10)]
assert [record.value for record in records] == expected
assert records[0].headers == [("n", b"1")], records[0].headers

found = consumer.offsets_for_times({partition: records[20].timestamp})[partition]
assert records[found.offset].timestamp == records[20].timestamp and found.offset <= 20, found
consumer.close()

member = KafkaConsumer(
    TOPIC, bootstrap_servers=broker, group_id="kafka-python", auto_offset_reset="earliest", enable_auto_commit=False,
    consumer_timeout_ms=20_000,
)
assert len([next(member) for _ in range(50)]) == 50
member.commit()
assert member.committed(partition) == 50
member.close()
assert ("kafka-python", "consumer") in [tuple(group)[:2] for group in map(listed, admin.list_groups())]

admin.delete_topics([TOPIC])
assert TOPIC not in admin.list_topics()
admin.close()
print("kafka-python is at home")
