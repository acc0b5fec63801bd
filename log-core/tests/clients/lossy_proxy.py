"""A proxy between a Kafka client and its broker that breaks the connection instead of passing on an answer.

Metadata answers name the broker itself, so the proxy puts its own port in their place.
"""

import socket
import struct
import threading

PRODUCE, METADATA = 0, 3


class LossyProxy:
    def __init__(self, broker, lose_answers_to_produce):
        host, port = broker.rsplit(":", 1)
        self._upstream = (host, int(port))
        self._left = lose_answers_to_produce
        self.lost = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, 0))
        self._port = self._listener.getsockname()[1]
        self.address = f"{host}:{self._port}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            broker = socket.create_connection(self._upstream)
            keys = {}
            threading.Thread(target=self._requests, args=(client, broker, keys), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, broker, keys), daemon=True).start()

    def _requests(self, client, broker, keys):
        for frame in frames(client):
            key, _version, correlation = struct.unpack(">hhi", frame[:8])
            keys[correlation] = key
            send(broker, frame)
        close(client, broker)

    def _answers(self, client, broker, keys):
        for frame in frames(broker):
            key = keys.pop(struct.unpack(">i", frame[:4])[0])
            if key == PRODUCE and self._loses_this_one():
                break
            if key == METADATA:
                frame = self._name_the_proxy(frame)
            if not send(client, frame):
                break
        close(client, broker)

    def _loses_this_one(self):
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            self.lost += 1
            return True

    def _name_the_proxy(self, frame):
        host, port = self._upstream
        ours = host.encode() + struct.pack(">i", port)
        assert ours in frame, "the broker's address is in its metadata"
        return frame.replace(ours, host.encode() + struct.pack(">i", self._port))


def frames(stream):
    while True:
        head = read(stream, 4)
        if head is None:
            return
        frame = read(stream, struct.unpack(">i", head)[0])
        if frame is None:
            return
        yield frame


def read(stream, size):
    got = b""
    while len(got) < size:
        try:
            more = stream.recv(size - len(got))
        except OSError:
            return None
        if not more:
            return None
        got += more
    return got


def send(stream, frame):
    try:
        stream.sendall(struct.pack(">i", len(frame)) + frame)
        return True
    except OSError:
        return False


def close(*streams):
    for stream in streams:
        try:
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        stream.close()
