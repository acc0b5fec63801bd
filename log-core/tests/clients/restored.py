"""Clients that stay connected while their log is lost and restored from a backup that was made under load.

usage: restored.py <log-core binary>
"""

import os
import subprocess
import sys
import tempfile
import threading

from confluent_kafka import Consumer, Producer, TopicPartition

from log_process import LogProcess, until
from members import SHORT_SESSION, make_topic

(binary,) = sys.argv[1:]


def tool(*arguments, succeeds=True):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == succeeds, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


class Writer:
    def __init__(self, log, topic, **settings):
        self.topic, self.offsets = topic, []
        self._producer = Producer({
            "bootstrap.servers": log.address, "linger.ms": 0, "reconnect.backoff.max.ms": 200,
            "enable.idempotence": True, **settings,
        })

    def write(self, values):
        for value in values:
            self._producer.produce(self.topic, str(value), "line", on_delivery=self._delivered)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0, "records left in the queue"

    def _delivered(self, error, message):
        assert error is None, error
        self.offsets.append(message.offset())


class Load(threading.Thread):
    """Writes all the while, and counts what was acknowledged."""

    def __init__(self, log):
        super().__init__(daemon=True)
        self._writer = Writer(log, "noise")
        self._ended = threading.Event()
        self.acknowledged = 0
        self.start()

    def run(self):
        while not self._ended.is_set():
            self._writer.write(range(self.acknowledged, self.acknowledged + 20))
            self.acknowledged += 20

    def end(self):
        self._ended.set()
        self.join()


class Reader:
    """A member of a group that commits only when told."""

    def __init__(self, log, topic):
        self.values = []
        self._consumer = Consumer({
            "bootstrap.servers": log.address, "group.id": "readers", "auto.offset.reset": "earliest",
            "enable.auto.commit": False, "reconnect.backoff.max.ms": 200, **SHORT_SESSION,
        })
        self._consumer.subscribe([topic])

    def read_up_to(self, value):
        def reached():
            message = self._consumer.poll(0.2)
            if message is not None and message.error() is None:
                self.values.append(int(message.value()))
            return self.values[-1:] == [value]

        until(reached, f"the reader reaches {value}, it has {self.values[-3:]}")

    def commit(self):
        self._consumer.commit(asynchronous=False)

    def committed(self, topic):
        (place,) = self._consumer.committed([TopicPartition(topic, 0)], timeout=30)
        return place.offset


def stored(log, topic):
    reader = Consumer({"bootstrap.servers": log.address, "group.id": "counts", "enable.auto.commit": False})
    low, high = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
    reader.assign([TopicPartition(topic, 0, low)])
    values = []
    while len(values) < high - low:
        message = reader.poll(20)
        assert message is not None and message.error() is None, message and message.error()
        values.append(int(message.value()))
    reader.close()
    return values


with LogProcess(binary) as log, tempfile.TemporaryDirectory() as elsewhere:
    backup, restored = os.path.join(elsewhere, "backup"), os.path.join(elsewhere, "restored")
    for topic in ["alerts", "noise"]:
        make_topic(log.address, topic, partitions=1)
    writer, reader, load = Writer(log, "alerts"), Reader(log, "alerts"), Load(log)
    writer.write(range(100))
    reader.read_up_to(59)
    reader.commit()
    until(lambda: 200 < load.acknowledged, "the load is on")

    before = load.acknowledged
    print(tool("backup", "--data", log._folder, "--to", backup))
    load.end()
    assert "sound" in tool("verify", "--data", backup)
    assert "is a backup" in tool("serve", "--data", backup, "--listen", "127.0.0.1:0", succeeds=False)

    log.kill()
    print(tool("restore", "--from", backup, "--data", restored, "--node-id", "7"))
    assert "sound" in tool("verify", "--data", restored)
    log._folder = restored
    os.environ["LOG_CORE_NODE_ID"] = "7"
    log.start()

    writer.write(range(100, 120))
    assert writer.offsets == list(range(120)), writer.offsets
    reader.read_up_to(119)
    after = reader.values[reader.values.index(59) + 1:]
    again = [value for position, value in enumerate(after) if value in after[:position]]
    assert sorted(set(after)) == list(range(60, 120)), after
    assert after[-20:] == list(range(100, 120)), after
    assert reader.committed("alerts") == 60
    assert stored(log, "alerts") == list(range(120))
    kept = stored(log, "noise")
    assert before <= len(kept) and kept == list(range(len(kept))), (before, len(kept))
    print(f"{before} acknowledged before the backup, {len(kept)} in it, {len(again)} read again")
print("clients go on")
