"""Members of consumer groups that poll in threads of their own, so that a test can watch what they own and read."""

import threading

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from log_process import until

SHORT_SESSION = {"session.timeout.ms": 1500, "heartbeat.interval.ms": 200}


class Member(threading.Thread):
    def __init__(self, broker, group, topic, **settings):
        super().__init__(daemon=True)
        config = {
            "bootstrap.servers": broker,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 200,
            **SHORT_SESSION,
        }
        config.update({name.replace("_", "."): value for name, value in settings.items()})
        self.consumer = Consumer(config)
        self.owned, self.values, self.rebalances = set(), [], 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._commit = threading.Event()
        self._cooperative = "cooperative" in config.get("partition.assignment.strategy", "")
        self.consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        self.start()

    def _assigned(self, consumer, partitions):
        with self._lock:
            self.rebalances += 1
            self.owned |= {partition.partition for partition in partitions}
        (consumer.incremental_assign if self._cooperative else consumer.assign)(partitions)

    def _revoked(self, consumer, partitions):
        with self._lock:
            self.owned -= {partition.partition for partition in partitions}
        (consumer.incremental_unassign(partitions) if self._cooperative else consumer.unassign())

    def run(self):
        while not self._ended.is_set():
            if self._commit.is_set():
                self.consumer.commit(asynchronous=False)
                self._commit.clear()
            message = self.consumer.poll(0.05)
            if message is not None and message.error() is None:
                with self._lock:
                    self.values.append((message.partition(), message.offset(), message.value().decode()))

    def commit(self):
        """Commits what was read, in the thread that reads: the client is not made for two."""
        self._commit.set()
        until(lambda: not self._commit.is_set(), "committed")

    def close(self):
        self._ended.set()
        self.join()
        self.consumer.close()

    def owns(self):
        with self._lock:
            return set(self.owned)


def make_topic(broker, topic, partitions=2, **configs):
    admin = AdminClient({"bootstrap.servers": broker})
    config = {name.replace("_", "."): str(value) for name, value in configs.items()}
    made = admin.create_topics([NewTopic(topic, partitions, config=config)])
    made[topic].result(timeout=20)


def fill(broker, topic, count, partitions=2):
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "acks": "all"})
    for number in range(count):
        producer.produce(topic, value=str(number), partition=number % partitions)
    assert producer.flush(20) == 0


def share_all(members, partitions=2):
    """Each partition has one owner, and everybody who can have one has one."""
    owned = [member.owns() for member in members]
    together = sorted(partition for one in owned for partition in one)
    busy = sum(1 for one in owned if one)
    return together == list(range(partitions)) and busy == min(len(members), partitions)


def read_all(members, count):
    until(lambda: len({value for member in members for value in member.values}) == count, f"{count} records read")
