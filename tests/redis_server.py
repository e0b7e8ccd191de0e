"""A private Redis for a test: killed, frozen, emptied and restored as it likes."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cli.ports import LOOPBACK, free_ports
from cli.processes import runs
from shared.config.sections import Redis
from shared.errors import ConfigurationError

_START_S = 10.0


class RedisServer:
    """Keeps nothing on disk by itself; `save` and `restore` do."""

    def __init__(self, command: str, directory: Path) -> None:
        self._command = command
        self._directory = directory
        [self.port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Redis:
        return Redis(host=LOOPBACK, port=self.port)

    def start(self) -> None:
        """Returns when it answers. What the last `save` kept is there again, if asked to restore."""
        self._process = subprocess.Popen(
            [
                *(self._command, "--port", str(self.port), "--bind", LOOPBACK, "--save", ""),
                *("--appendonly", "no", "--dir", str(self._directory), "--dbfilename", "d.rdb"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_S
        while self.call("PING") != b"+PONG":
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def thaw(self) -> None:
        if self._process is not None and runs(self._process.pid):
            self._process.send_signal(signal.SIGCONT)

    def empty(self) -> None:
        assert self.call("FLUSHALL") == b"+OK"

    def save(self) -> None:
        """What is in it now is there again after a `kill` and a `start`."""
        assert self.call("SAVE") == b"+OK"

    def call(self, word: str) -> bytes:
        """The first line of the answer to a command of one word; empty where there is none."""
        try:
            with socket.create_connection((LOOPBACK, self.port), 2) as connection:
                connection.sendall(f"{word}\r\n".encode())
                return connection.recv(100).partition(b"\r\n")[0]
        except OSError:
            return b""


@contextmanager
def private_redis(directory: Path) -> Iterator[RedisServer]:
    """Raises ConfigurationError where there is no server to run."""
    command = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if command is None:
        raise ConfigurationError("no redis-server is installed: scripts/bootstrap.sh --redis")
    server = RedisServer(command, directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
