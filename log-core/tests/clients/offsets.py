"""Committed offsets, resets, seeking: as librdkafka does them, across a kill of the log.

usage: offsets.py <log-core binary>
"""

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from log_process import LogProcess, until
from members import SHORT_SESSION, fill, make_topic

(binary,) = sys.argv[1:]
TOPIC = "offsets"


def consumer(log, group, **settings):
    config = {"bootstrap.servers": log.address, "group.id": group, "enable.auto.commit": False, **SHORT_SESSION}
    on_commit = settings.pop("on_commit", None)
    config.update({name.replace("_", "."): value for name, value in settings.items()})
    return Consumer({**config, "on_commit": on_commit} if on_commit else config)


def read(reader, count):
    messages = []
    end = time.monotonic() + 30
    while len(messages) < count:
        message = reader.poll(1)
        assert time.monotonic() < end, f"{len(messages)} of {count} records"
        if message is not None:
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def resets(log):
    earliest = consumer(log, "reset-earliest", auto_offset_reset="earliest")
    earliest.subscribe([TOPIC])
    assert read(earliest, 1)[0].offset() == 0
    earliest.close()

    latest = consumer(log, "reset-latest", auto_offset_reset="latest")
    latest.assign([TopicPartition(TOPIC, 0)])
    latest.poll(0)
    until(lambda: latest.poll(0.2) is None and latest.position([TopicPartition(TOPIC, 0)]) is not None, "at the end")
    fill(log.address, TOPIC, 1, partitions=1)
    assert read(latest, 1)[0].offset() == 100
    latest.close()

    none = consumer(log, "reset-none", auto_offset_reset="error")
    none.subscribe([TOPIC])
    errors = []

    def told():
        message = none.poll(0.2)
        if message is not None and message.error():
            errors.append(message.error().code())
        return errors

    until(told, "no reset is an error")
    assert errors[0] == KafkaError._AUTO_OFFSET_RESET, errors
    none.close()


def commits(log):
    """Each way to commit; what was confirmed is there after the log was killed."""
    ways = {}
    for way in ["sync", "async", "per-record", "automatic"]:
        settings = {"enable_auto_commit": True, "auto_commit_interval_ms": 100} if way == "automatic" else {}
        committed = []
        reader = consumer(
            log, f"commit-{way}", auto_offset_reset="earliest",
            **settings, **({"on_commit": lambda error, offsets, to=committed: to.append(error)} if way != "sync" else {}),
        )
        reader.subscribe([TOPIC])
        messages = read(reader, 10)
        if way == "sync":
            reader.commit(asynchronous=False)
        elif way == "async":
            reader.commit(asynchronous=True)
        elif way == "per-record":
            for message in messages:
                reader.commit(message=message, asynchronous=False)
        if way in ("async", "automatic"):
            until(lambda: (reader.poll(0.05), committed)[1], f"{way}: the commit is confirmed")
            assert committed[0] is None, committed
        ways[way] = reader.committed([TopicPartition(TOPIC, 0)], timeout=10)[0].offset
        assert ways[way] >= 10, (way, ways[way])
        if way in ("sync", "per-record"):
            assert ways[way] == 10, (way, ways[way])
        reader.close()

    log.kill()
    log.start()
    for way, offset in ways.items():
        reader = consumer(log, f"commit-{way}", auto_offset_reset="error")
        kept = reader.committed([TopicPartition(TOPIC, 0)], timeout=20)[0].offset
        assert kept >= offset, (way, kept, offset)
        reader.subscribe([TOPIC])
        assert read(reader, 1)[0].offset() == kept, way
        reader.close()


def metadata_comes_back(log):
    reader = consumer(log, "metadata")
    partition = TopicPartition(TOPIC, 0, 7, metadata="as far as seven")
    reader.commit(offsets=[partition], asynchronous=False)
    found = reader.committed([TopicPartition(TOPIC, 0)], timeout=10)[0]
    assert (found.offset, found.metadata) == (7, "as far as seven"), found
    reader.close()


def rewinds(log):
    reader = consumer(log, "rewind", auto_offset_reset="earliest")
    reader.assign([TopicPartition(TOPIC, 0)])
    messages = read(reader, 60)
    reader.seek(TopicPartition(TOPIC, 0, OFFSET_BEGINNING))
    assert read(reader, 1)[0].offset() == 0
    _, at = messages[50].timestamp()
    (found,) = reader.offsets_for_times([TopicPartition(TOPIC, 0, at)], timeout=10)
    assert found.offset <= 50 and messages[found.offset].timestamp()[1] == at, found
    reader.seek(found)
    assert read(reader, 1)[0].offset() == found.offset
    reader.close()


with LogProcess(binary) as log:
    make_topic(log.address, TOPIC, partitions=1)
    fill(log.address, TOPIC, 100, partitions=1)
    commits(log)
    resets(log)
    metadata_comes_back(log)
    rewinds(log)
print("offsets are kept")
