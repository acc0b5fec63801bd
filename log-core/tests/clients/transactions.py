"""Transactions as librdkafka does them: committed, aborted, fenced, timed out, and exactly once across kills.

usage: transactions.py <log-core binary>
"""

import os
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from log_process import LogProcess, until
from members import SHORT_SESSION, fill, make_topic

(binary,) = sys.argv[1:]


def producer(log, transactional_id, **settings):
    config = {
        "bootstrap.servers": log.address,
        "transactional.id": transactional_id,
        "linger.ms": 0,
        "reconnect.backoff.max.ms": 200,
    }
    config.update({name.replace("_", "."): value for name, value in settings.items()})
    made = Producer(config)
    made.init_transactions(30)
    return made


def values(log, topic, isolation):
    """All that a reader of that isolation finds in partition 0."""
    reader = Consumer({
        "bootstrap.servers": log.address, "group.id": f"read-{time.monotonic_ns()}", "isolation.level": isolation,
        "auto.offset.reset": "earliest", "enable.partition.eof": True, "enable.auto.commit": False,
    })
    reader.assign([TopicPartition(topic, 0)])
    found = []
    end = time.monotonic() + 30
    while time.monotonic() < end:
        message = reader.poll(1)
        if message is None:
            continue
        if message.error():
            break
        found.append(message.value().decode())
    else:
        raise AssertionError("the end was not reached")
    reader.close()
    return found


def committed_and_aborted(log):
    make_topic(log.address, "outcomes", partitions=1)
    writer = producer(log, "outcomes")
    for value, outcome in [("a", "commit"), ("b", "abort"), ("c", "commit"), ("d", "abort")]:
        writer.begin_transaction()
        writer.produce("outcomes", value)
        writer.flush(10)
        (writer.commit_transaction if outcome == "commit" else writer.abort_transaction)(20)
    assert values(log, "outcomes", "read_committed") == ["a", "c"]
    assert values(log, "outcomes", "read_uncommitted") == ["a", "b", "c", "d"]

    writer.begin_transaction()
    writer.produce("outcomes", "open")
    writer.flush(10)
    assert values(log, "outcomes", "read_committed") == ["a", "c"], "an open transaction is not seen"
    writer.commit_transaction(20)
    assert values(log, "outcomes", "read_committed") == ["a", "c", "open"]


def fenced(log):
    make_topic(log.address, "fenced", partitions=1)
    zombie = producer(log, "fenced")
    zombie.begin_transaction()
    zombie.produce("fenced", "of the zombie")
    zombie.flush(10)
    successor = producer(log, "fenced")
    successor.begin_transaction()
    successor.produce("fenced", "of the successor")
    successor.commit_transaction(20)
    try:
        zombie.commit_transaction(20)
        raise AssertionError("the zombie committed")
    except KafkaException as error:
        assert error.args[0].fatal(), error
    assert values(log, "fenced", "read_committed") == ["of the successor"]


def timed_out(log):
    make_topic(log.address, "late", partitions=1)
    late = producer(log, "late", transaction_timeout_ms=1000)
    late.begin_transaction()
    late.produce("late", "too late")
    late.flush(10)
    prompt = Producer({"bootstrap.servers": log.address})
    prompt.produce("late", "after")
    assert prompt.flush(10) == 0
    until(lambda: values(log, "late", "read_committed") == ["after"], "the transaction is aborted, readers go on")
    try:
        late.commit_transaction(20)
        raise AssertionError("a transaction was committed after its time-out")
    except KafkaException:
        pass


def exactly_once(log):
    """Consume, transform, produce: the worker is killed in the middle of its work, and so is the log."""
    make_topic(log.address, "in", partitions=1)
    make_topic(log.address, "out", partitions=1)
    count = 300
    fill(log.address, "in", count, partitions=1)
    for transactions in [1, 4, 7, 10]:
        worker = start_worker(log, count)
        for _ in range(transactions):
            assert worker.stdout.readline(), "the worker ended early"
        if transactions == 7:
            log.kill()
            log.start()
        worker.kill()
        worker.wait()
    worker = start_worker(log, count)
    worker.stdout.readline()
    log.kill()
    log.start()
    for _ in range(5):
        output, _ = worker.communicate(timeout=40)
        if worker.returncode == 0:
            break
        worker = start_worker(log, count)
    assert worker.returncode == 0, output
    out = values(log, "out", "read_committed")
    assert out == [f"done {number}" for number in range(count)], (len(out), out[:5])


def start_worker(log, count):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exactly_once_worker.py")
    command = [sys.executable, "-u", script, log.address, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


with LogProcess(binary) as log:
    committed_and_aborted(log)
    fenced(log)
    timed_out(log)
    exactly_once(log)
print("exactly once")
