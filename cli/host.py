"""supervisord of one host: started as our child or on its own, and stopped in order."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.exits import CommandFailed
from cli.place import ROOT, make_socket_directory
from cli.processes import wait_until_gone
from cli.supervisor import Supervisor

START_TIMEOUT_S = 15.0
#: For all programs together. A collector may take 10 s, RabbitMQ's management plugin 5.
STOP_TIMEOUT_S = 25.0
_POLL_S = 0.05
_SUPERVISORD = str(Path(sys.executable).parent / "supervisord")


@dataclass(slots=True)
class Host:
    """supervisord with the configuration in `conf`, and everything below it."""

    conf: Path
    socket: Path
    environment: Mapping[str, str]
    _child: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.socket)

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else self.supervisor.pid()

    def start(self) -> None:
        """Start supervisord as our child; it is told to stop when we die, however we die.

        Call it from the main thread: the kernel ties that promise to the thread that forks.
        Raises CommandFailed.
        """
        make_socket_directory(self.socket)
        self._child = subprocess.Popen(
            [*_tied_to_parent(), _SUPERVISORD, "--nodaemon", "--silent", "-c", str(self.conf)],
            cwd=ROOT,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is meant for us; we stop the others in order
        )
        self._wait_until_up(self._child)

    def start_detached(self) -> None:
        """Start supervisord as a daemon. Raises CommandFailed."""
        make_socket_directory(self.socket)
        done = subprocess.run(
            [_SUPERVISORD, "-c", str(self.conf)],
            cwd=ROOT,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"supervisord did not start: {_last_line(done.stderr)}")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.supervisor.answers():
            if time.monotonic() > deadline:
                raise CommandFailed("supervisord started, but does not answer")
            time.sleep(_POLL_S)

    def ended(self) -> bool:
        return self._child is not None and self._child.poll() is not None

    def stop(self) -> None:
        """All programs in order, then supervisord. Nothing of it runs afterwards."""
        try:
            pid = self.pid
            self.supervisor.stop_in_order(STOP_TIMEOUT_S)
            self.supervisor.shutdown()
        except CommandFailed:
            if self._child is None:
                raise
            pid = self._child.pid
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_TIMEOUT_S)
        if not wait_until_gone([pid], STOP_TIMEOUT_S):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _wait_until_up(self, child: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_up(child):
            if child.poll() is not None:
                assert child.stdout is not None
                words = child.stdout.read().decode(errors="replace")
                raise CommandFailed(f"supervisord did not start: {_last_line(words)}")
            if time.monotonic() > deadline:
                child.kill()
                raise CommandFailed("supervisord does not answer")
            time.sleep(_POLL_S)

    def _is_up(self, child: "subprocess.Popen[bytes]") -> bool:
        try:
            return self.supervisor.pid() == child.pid
        except CommandFailed:
            return False


def _tied_to_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and "help" not in line]
    return lines[-1].strip() if lines else "it says nothing"
