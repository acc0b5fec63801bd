"""aiokafka, the client with the lowest version ceilings: makes a topic, produces with every codec, reads back.

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

    await admin.delete_topics([TOPIC])
    assert TOPIC not in await admin.list_topics()
    await admin.close()
    print("aiokafka is at home")


asyncio.run(main())
