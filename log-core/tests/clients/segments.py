"""Writes records of every kind with librdkafka, and reads segment files with kafka-python's decoder of record batch v2.

usage: segments.py write <broker> <topic>    one line of JSON for each record, as it was acknowledged
       segments.py read <file.log>..         one line of JSON for each batch, as it lies in the files
"""

import json
import sys

from confluent_kafka import Producer
from kafka.record import MemoryRecords

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# Old enough that no clock gives them: what is read is what was sent.
FIRST_TIMESTAMP = 1_700_000_000_000
CONTENTS = [
    (b"key", b"value", []),
    (None, b"no key", [("one", b"1")]),
    (b"", b"", [("empty", b""), ("null", None)]),
    (b"deleted", None, [("twice", b"a"), ("twice", b"b"), ("\u00e9", b"\x00\xff")]),
    (bytes(range(256)), b"squeezed " * 500, []),
]


def as_hex(value):
    return None if value is None else value.hex()


class Writer:
    def __init__(self, broker, topic):
        self.broker = broker
        self.topic = topic
        self.timestamp = FIRST_TIMESTAMP

    def producer(self, codec, **settings):
        # What is written together goes in one batch: a small one that would not shrink goes uncompressed.
        config = {"bootstrap.servers": self.broker, "linger.ms": 200, "compression.type": codec}
        config.update({name.replace("_", "."): value for name, value in settings.items()})
        return Producer(config)

    def write(self, producer, codec, marks):
        for key, value, headers in CONTENTS:
            self.timestamp += 1
            wrote = {
                "codec": codec, "timestamp": self.timestamp, "key": as_hex(key), "value": as_hex(value),
                "headers": [[name, as_hex(value)] for name, value in headers], **marks,
            }
            producer.produce(
                self.topic, value, key, 0, headers=headers, timestamp=self.timestamp,
                on_delivery=lambda error, message, wrote=wrote: acknowledged(error, message, wrote),
            )
        # A flush would not linger.
        for _ in range(300):
            if len(producer) == 0:
                return
            producer.poll(0.1)
        raise TimeoutError(f"{len(producer)} records are not acknowledged")

    def everything(self):
        for codec in CODECS:
            # Enough to close a segment.
            self.timestamp += 2 * 3_600_000
            plain = self.producer(codec, enable_idempotence=False)
            self.write(plain, codec, {"idempotent": False, "transactional": False})
            idempotent = self.producer(codec, enable_idempotence=True)
            self.write(idempotent, codec, {"idempotent": True, "transactional": False})
        for codec in ["none", "zstd"]:
            for commit in [True, False]:
                self.transaction(codec, commit)

    def transaction(self, codec, commit):
        producer = self.producer(codec, transactional_id=f"segments-{codec}-{commit}")
        producer.init_transactions(30)
        producer.begin_transaction()
        self.write(producer, codec, {"idempotent": True, "transactional": True})
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)


def acknowledged(error, message, wrote):
    assert error is None, error
    print(json.dumps({"offset": message.offset(), **wrote}))


def read(path):
    with open(path, "rb") as segment:
        records = MemoryRecords(segment.read())
    while (batch := records.next_batch()) is not None:
        assert batch.magic == 2 and batch.validate_crc()
        print(json.dumps({
            "base_offset": batch.base_offset,
            "last_offset": batch.last_offset,
            "leader_epoch": batch.leader_epoch,
            "codec": CODECS[batch.compression_type],
            "transactional": bool(batch.is_transactional),
            "control": bool(batch.is_control_batch),
            "producer_id": batch.producer_id,
            "producer_epoch": batch.producer_epoch,
            "base_sequence": batch.base_sequence,
            "max_timestamp": batch.max_timestamp,
            "records": [read_record(record) for record in batch],
        }))


def read_record(record):
    return {
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": as_hex(record.key),
        "value": as_hex(record.value),
        "headers": [[name, as_hex(value)] for name, value in record.headers],
    }


command, *arguments = sys.argv[1:]
if command == "write":
    Writer(*arguments).everything()
else:
    for file in arguments:
        read(file)
