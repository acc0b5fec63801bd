"""Makes the fixtures of an older version: what its program writes, and what its nodes say to each other.

usage: older_version.py <older log-core binary> <empty folder>

In the folder, each file packed by gzip:
    data/..       the data folder of a node that was stopped, started again and killed: a checkpoint, and entries behind it
    written       what its clients were told: a line of JSON a record, as segments.py prints it
    committed     a line: group, topic, partition, offset and metadata of a committed offset
    frames        what three nodes say to each other until one leads, a topic is made and a leader is lost: frames, end to end
"""

import gzip
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from confluent_kafka import Consumer, TopicPartition

from log_process import free_port, until

PROGRAM, OUT = sys.argv[1:]
TOPIC = "an-alert"
SETTINGS = ["--config", "retention.ms=-1", "--config", "segment.ms=14400000"]
HERE = os.path.dirname(os.path.abspath(__file__))
SECRET = "of no use to anybody"
HEAD_BYTES = 8
FRAMES_OF_A_KIND = 24


def pack(name, content):
    path = os.path.join(OUT, name + ".gz")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, 0) as packed:
        packed.write(content)


def tool(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


class Node:
    def __init__(self, folder, *arguments):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.data = os.path.join(folder, f"data-{self.port}")
        settings = os.path.join(folder, f"{self.port}.toml")
        with open(settings, "w") as to:
            to.write("journal_segment_bytes = 9437184\n")
        self.command = [
            PROGRAM, "serve", "--config", settings, "--data", self.data, "--listen", self.address, *arguments,
        ]
        self.process = None

    def start(self):
        environment = {**os.environ, "LOG_CORE_PEER_SECRET": SECRET}
        self.process = subprocess.Popen(self.command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait()


def answers(node):
    done = subprocess.run([PROGRAM, "topics", "list", "--server", node.address], capture_output=True)
    return done.returncode == 0


def write(address):
    arguments = [sys.executable, os.path.join(HERE, "segments.py"), "write", address, TOPIC]
    return subprocess.run(arguments, capture_output=True, check=True, timeout=120).stdout


def commit(address, offset):
    consumer = Consumer({"bootstrap.servers": address, "group.id": "readers", "enable.auto.commit": False})
    place = TopicPartition(TOPIC, 0, offset, metadata="as far as the stairs")
    assert consumer.commit(offsets=[place], asynchronous=False)[0].error is None
    consumer.close()
    # The client sends the end of its C string along.
    metadata = place.metadata + "\0"
    return {"group": "readers", "topic": TOPIC, "partition": 0, "offset": offset, "metadata": metadata}


def make_data(folder):
    node = Node(folder)
    node.start()
    until(lambda: answers(node), "the log answers")
    tool("topics", "create", TOPIC, "--partitions", "1", *SETTINGS, "--server", node.address)
    written = write(node.address)
    committed = commit(node.address, 17)
    node.end(signal.SIGTERM)
    node.start()
    until(lambda: answers(node), "the log answers again")
    written += write(node.address)
    node.end(signal.SIGKILL)
    for place, _, files in os.walk(node.data):
        for file in files:
            path = os.path.join(place, file)
            with open(path, "rb") as content:
                pack(os.path.join("data", os.path.relpath(path, node.data)), content.read())
    pack("written", written)
    pack("committed", json.dumps(committed).encode())


class Proxy:
    """Stands in front of a node, and keeps what goes by, each direction of each connection on its own."""

    def __init__(self, to):
        self.to, self.streams = to, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            caller, _ = self.listener.accept()
            try:
                node = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                caller.close()
                continue
            for one, other in [(caller, node), (node, caller)]:
                threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    def pass_on(self, one, other):
        stream = bytearray()
        self.streams.append(stream)
        try:
            while said := one.recv(65536):
                stream += said
                other.sendall(said)
        except OSError:
            pass
        for end in (one, other):
            end.close()


def frames_of(stream):
    at = 0
    while at + HEAD_BYTES < len(stream):
        (length,) = struct.unpack_from(">I", stream, at)
        end = at + HEAD_BYTES + length
        if len(stream) < end:
            return
        yield bytes(stream[at:end])
        at = end


def make_frames(folder):
    real = [free_port() for _ in range(3)]
    proxies = [Proxy(port) for port in real]
    peers = ",".join(f"{number}@127.0.0.1:{proxy.port}" for number, proxy in enumerate(proxies, 1))
    nodes = [
        Node(folder, "--node-id", str(number), "--peers", peers, "--peer-listen", f"127.0.0.1:{port}")
        for number, port in enumerate(real, 1)
    ]
    for node in nodes:
        node.start()
    until(lambda: all(answers(node) for node in nodes), "all nodes answer", 120)
    tool("topics", "create", TOPIC, "--partitions", "1", *SETTINGS, "--server", nodes[0].address)
    write(nodes[0].address)
    for node in nodes:
        node.end(signal.SIGKILL)
        rest = [other for other in nodes if other is not node]
        until(lambda: all(answers(other) for other in rest), "the others answer", 120)
        node.start()
        until(lambda: answers(node), "the killed one answers", 120)
    for node in nodes:
        node.end(signal.SIGTERM)
    kept = {}
    for proxy in proxies:
        for stream in proxy.streams:
            for frame in frames_of(stream):
                of_kind = kept.setdefault(frame[HEAD_BYTES], {})
                # Those of a length not seen yet tell more than one more of the same.
                if len(of_kind) < FRAMES_OF_A_KIND:
                    of_kind.setdefault(len(frame), frame)
    print({kind: len(of_kind) for kind, of_kind in sorted(kept.items())})
    pack("frames", b"".join(frame for kind in sorted(kept) for frame in kept[kind].values()))


with tempfile.TemporaryDirectory(prefix="older-") as folder:
    make_data(folder)
    make_frames(folder)
