"""A log of its own as a real process, that can be killed and started again on the same folder and port."""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from confluent_kafka.admin import AdminClient


class LogProcess:
    def __init__(self, binary):
        self._binary = binary
        self._folder = tempfile.mkdtemp(prefix="log-core-")
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._process = None
        self._settings = f"{self._folder}.toml"
        with open(self._settings, "w") as settings:
            settings.write("group_min_session_timeout_ms = 500\n")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.remove(self._settings)

    def start(self):
        self._process = subprocess.Popen(
            [self._binary, "serve", "--config", self._settings, "--data", self._folder, "--listen", self.address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: self._answers(), "the log answers")

    def kill(self):
        """SIGKILL: no goodbye, nothing flushed."""
        self._process.kill()
        self._process.wait()

    def _answers(self):
        assert self._process.poll() is None, "the log ended by itself"
        try:
            return AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=2) is not None
        except Exception:
            return False


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(condition, what, seconds=40):
    """Waits for a state, not for a time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.02)
