"""Reads `in`, writes `out`, commits both in one transaction for every few records, and says so; ends when all are done.

usage: exactly_once_worker.py <broker> <count>
"""

import os
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

broker, count = sys.argv[1], int(sys.argv[2])
BATCH = 5
API_TIMEOUT = 5

# With "rebootstrap" librdkafka 2.16 waits for ever for a group coordinator that it has let go of while the log was away.
KEEP_BROKERS = {"metadata.recovery.strategy": "none"}

producer = Producer({
    **KEEP_BROKERS, "bootstrap.servers": broker, "transactional.id": "worker", "linger.ms": 0, "transaction.timeout.ms": 10_000,
    "reconnect.backoff.max.ms": 200,
})
producer.init_transactions(30)
consumer = Consumer({
    **KEEP_BROKERS, "bootstrap.servers": broker, "group.id": "workers", "enable.auto.commit": False, "auto.offset.reset": "earliest",
    "isolation.level": "read_committed", "fetch.wait.max.ms": 20,
})
place = TopicPartition("in", 0)
committed = consumer.committed([place], timeout=20)[0].offset
done = max(committed, 0)
consumer.assign([TopicPartition("in", 0, done)])



def work(done):
    while done < count:
        messages = consumer.consume(BATCH, timeout=5)
        messages = [message for message in messages if message.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce("out", f"done {message.value().decode()}")
        done = messages[-1].offset() + 1
        offsets = [TopicPartition("in", 0, done)]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), API_TIMEOUT)
        producer.commit_transaction(API_TIMEOUT)
        print(done)


try:
    work(done)
except KafkaException as error:
    # As a service would: end, and be started again. What was open is aborted by the next one.
    print(error, file=sys.stderr)
    os._exit(1)
consumer.close()
