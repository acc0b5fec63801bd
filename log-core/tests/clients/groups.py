"""Consumer groups as librdkafka lives them.

usage: groups.py <broker>
"""

import subprocess
import sys
import textwrap

from log_process import until
from members import SHORT_SESSION, Member, fill, make_topic, read_all, share_all

(broker,) = sys.argv[1:]


def two_share_and_a_third_idles(strategy):
    topic = group = f"shared-{strategy}"
    make_topic(broker, topic)
    fill(broker, topic, 50)
    settings = {"partition_assignment_strategy": strategy}
    members = [Member(broker, group, topic, **settings) for _ in range(2)]
    until(lambda: share_all(members), f"{strategy}: two share two partitions")
    read_all(members, 50)

    members.append(Member(broker, group, topic, **settings))
    until(lambda: members[2].owns() or share_all(members), f"{strategy}: three share two partitions")
    until(lambda: share_all(members), f"{strategy}: one of three idles")

    gone = next(member for member in members if member.owns())
    members.remove(gone)
    gone.close()
    until(lambda: share_all(members), f"{strategy}: who leaves gives its partition to the idle one")
    for member in members:
        member.close()


def a_killed_members_partition_moves():
    topic = group = "killed"
    make_topic(broker, topic)
    survivor = Member(broker, group, topic)
    until(lambda: survivor.owns() == {0, 1}, "alone it owns both")
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            from confluent_kafka import Consumer
            consumer = Consumer({{"bootstrap.servers": {broker!r}, "group.id": {group!r}, **{SHORT_SESSION!r}}})
            consumer.subscribe([{topic!r}])
            while True:
                consumer.poll(0.1)
        """)]
    )
    until(lambda: len(survivor.owns()) == 1, "the other has taken one")
    victim.kill()
    victim.wait()
    until(lambda: survivor.owns() == {0, 1}, "the killed member's partition moves")
    survivor.close()


def a_static_member_returns_without_a_rebalance():
    topic = group = "static"
    make_topic(broker, topic)
    settings = {"session_timeout_ms": 20_000}
    first = Member(broker, group, topic, group_instance_id="one", **settings)
    second = Member(broker, group, topic, group_instance_id="two", **settings)
    until(lambda: share_all([first, second]), "static members share")
    owned, rebalances = second.owns(), first.rebalances
    second.close()
    second = Member(broker, group, topic, group_instance_id="two", **settings)
    until(lambda: second.owns() == owned, "it has what it had")
    fill(broker, topic, 10)
    read_all([first, second], 10)
    assert first.rebalances == rebalances, "the other noticed nothing"
    first.close()
    second.close()


for strategy in ["range", "roundrobin", "cooperative-sticky"]:
    two_share_and_a_third_idles(strategy)
a_killed_members_partition_moves()
a_static_member_returns_without_a_rebalance()
print("groups work")
