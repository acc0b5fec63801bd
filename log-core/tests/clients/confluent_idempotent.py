"""A librdkafka idempotent producer whose first answer is lost on the way: it sends again, and each record is stored once.

usage: confluent_idempotent.py <broker> <topic>
"""

import sys

from confluent_kafka import Consumer, Producer, TopicPartition

from lossy_proxy import LossyProxy

broker, topic = sys.argv[1:]
RECORDS = 200

with LossyProxy(broker, lose_answers_to_produce=2) as proxy:
    producer = Producer({
        "bootstrap.servers": proxy.address,
        "enable.idempotence": True,
        "linger.ms": 0,
        "reconnect.backoff.max.ms": 200,
        "retry.backoff.ms": 50,
    })
    stored, failed = [], []
    for number in range(RECORDS):
        producer.produce(
            topic,
            key="same-line",
            value=str(number),
            on_delivery=lambda error, message: (failed.append(error) if error else stored.append(message)),
        )
        producer.poll(0)
    assert producer.flush(40) == 0, "records left in the queue"
    assert not failed, failed
    assert proxy.lost == 2, f"{proxy.lost} answers were lost on the way"

assert len(stored) == RECORDS, len(stored)
partition = stored[0].partition()
offsets = {int(message.value()): message.offset() for message in stored}
assert [offsets[number] for number in range(RECORDS)] == list(range(RECORDS)), offsets

consumer = Consumer({"bootstrap.servers": broker, "group.id": "reader", "enable.auto.commit": False})
consumer.assign([TopicPartition(topic, partition, 0)])
low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
assert (low, high) == (0, RECORDS), (low, high)
values = []
while len(values) < RECORDS:
    message = consumer.poll(20)
    assert message is not None and message.error() is None, message and message.error()
    values.append(int(message.value()))
assert values == list(range(RECORDS)), values
consumer.close()
print("stored once")
