"""aiokafka, the client with the lowest version ceilings: topics, every codec, a group, a transaction.

usage: aiokafka_smoke.py <broker>
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

(broker,) = sys.argv[1:]
TOPIC = "aiokafka"
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


async def produce(codec):
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, compression_type=codec, enable_idempotence=True, acks="all"
    )
    await producer.start()
    try:
        for number in range(10):
            await producer.send_and_wait(TOPIC, f"{codec} {number}".encode() * 20, key=b"key", partition=0)
    finally:
        await producer.stop()


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(name=TOPIC, num_partitions=2, replication_factor=1)])
    assert TOPIC in await admin.list_topics()
    for codec in CODECS:
        await produce(codec)

    partition = TopicPartition(TOPIC, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    assert await consumer.end_offsets([partition]) == {partition: 50}
    records = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(50)]
    expected = [f"{codec} {number}".encode() * 20 for codec in CODECS for number in range(10)]
    assert [record.value for record in records] == expected
    found = (await consumer.offsets_for_times({partition: records[20].timestamp}))[partition]
    assert found.offset <= 20 and records[found.offset].timestamp == records[20].timestamp, found
    await consumer.stop()

    member = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=broker, group_id="aiokafka", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await member.start()
    assert len([await asyncio.wait_for(member.getone(), 20) for _ in range(50)]) == 50
    await member.commit()
    assert await member.committed(partition) == 50
    await member.stop()

    writer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id="aiokafka")
    await writer.start()
    async with writer.transaction():
        await writer.send_and_wait(TOPIC, b"committed", partition=1)
    await writer.begin_transaction()
    await writer.send_and_wait(TOPIC, b"aborted", partition=1)
    await writer.abort_transaction()
    await writer.stop()
    reader = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, isolation_level="read_committed")
    await reader.start()
    reader.assign([TopicPartition(TOPIC, 1)])
    await reader.seek_to_beginning(TopicPartition(TOPIC, 1))
    assert (await asyncio.wait_for(reader.getone(), 20)).value == b"committed"
    assert not await reader.getmany(timeout_ms=500), "an aborted record was read"
    await reader.stop()

    await admin.delete_topics([TOPIC])
    assert TOPIC not in await admin.list_topics()
    await admin.close()
    print("aiokafka is at home")


asyncio.run(main())
