"""A private RabbitMQ node, running: started, killed and restarted by tests and benchmarks."""

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import IO

import psutil

from cli.ports import LOOPBACK, listens
from cli.private_broker import PrivateBroker
from cli.processes import wait_until_gone
from shared.errors import BrokerError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
_POLL_S = 0.05
_EPMD_TIMEOUT_S = 5.0


class Node:
    """`start`, then `stop` or `kill`, then `start` again on the same data; `close` at the end.

    All calls block: from a coroutine call them through `asyncio.to_thread`.
    """

    def __init__(self, broker: PrivateBroker) -> None:
        self.broker = broker
        self.vhost = ""  # the default one
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._beam_pid: int | None = None

    @property
    def amqp_url(self) -> str:
        return self.broker.amqp_url + self.vhost

    @property
    def running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    @property
    def pids(self) -> list[int]:
        """Of the processes that run for this node."""
        children = [child.pid for child in (self._epmd, self._server) if child is not None]
        return children + ([self._beam_pid] if self._beam_pid else [])

    def start(self) -> None:
        """Returns when the node speaks AMQP. Raises BrokerError."""
        self.broker.write()
        with (self.broker.directory / "out.log").open("ab") as log:
            if self._epmd is None:
                self._epmd = self._spawn(self.broker.epmd_command, log)
                self._wait_for_epmd()
            self._server = self._spawn(self.broker.command, log)
        self._wait_until_ready(self._server)
        self._beam_pid = int(self.broker.pid_file.read_text())

    def stop(self) -> None:
        """A clean stop: what is persistent is there at the next start."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut of the node would: kill -9, nothing flushed."""
        self._end(signal.SIGKILL)

    def keep_definitions(self) -> None:
        """What was declared until now survives a kill. RabbitMQ confirms a queue or a binding up
        to 2 s before it is on disk."""
        self.ctl("eval", "mnesia:dump_log().")

    def freeze(self) -> None:
        """The node hangs: its connections stay open and nothing answers, from now on."""
        if self._beam_pid:
            os.kill(self._beam_pid, signal.SIGSTOP)
            beam = psutil.Process(self._beam_pid)
            while beam.status() != psutil.STATUS_STOPPED:
                time.sleep(0.001)

    def thaw(self) -> None:
        if self._beam_pid:
            os.kill(self._beam_pid, signal.SIGCONT)

    def close(self) -> None:
        """Nothing of the node runs any more. Its data is not needed again, so no clean stop."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def ctl(self, *arguments: str) -> str:
        """What `rabbitmqctl` prints. Raises BrokerError."""
        done = subprocess.run(
            [*self.broker.ctl_command, *arguments],
            env=self.broker.environment(),
            capture_output=True,
            text=True,
            timeout=STOP_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerError(f"rabbitmqctl {arguments[0]}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.broker.directory,
            env=self.broker.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal is not meant for the node
        )

    def _wait_for_epmd(self) -> None:
        """Else the node starts another one, as a daemon, which nobody would stop."""
        deadline = time.monotonic() + _EPMD_TIMEOUT_S
        while not listens(LOOPBACK, self.broker.ports.epmd) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not speaks_amqp(self.broker.ports.amqp):
            if server.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise BrokerError(f"the private node did not start: {self._last_words()}")
            time.sleep(_POLL_S)

    def _end(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        group = self._server.pid  # the leader of its own session
        if number == signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(group, number)
        else:
            self._server.send_signal(number)
        try:
            self._server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            self._server.wait()
        if self._beam_pid:
            wait_until_gone([self._beam_pid], STOP_TIMEOUT_S)
        self._server = self._beam_pid = None

    def _last_words(self) -> str:
        log = self.broker.directory / "out.log"
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return " | ".join(line.strip() for line in lines if line.strip())[-800:]


def speaks_amqp(port: int, host: str = LOOPBACK, timeout_s: float = 5.0) -> bool:
    """Whether a broker answers an AMQP header with its first method, as one that is up does; the
    port alone is open earlier."""
    with suppress(OSError), socket.create_connection((host, port), timeout_s) as connection:
        connection.settimeout(timeout_s)
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        return connection.recv(8)[:1] == b"\x01"
    return False
