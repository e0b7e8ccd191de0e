"""`.fleet/endpoints.json`: where a running fleet can be reached; there only while it runs."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cli.processes import started_at
from shared.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a running fleet tells to whoever works in the same clone."""

    kind: Literal["demo", "fleet"]
    pid: int  # of supervisord
    started: float  # when that was, seconds of the epoch: pids are used again
    amqp_url: str
    supervisor_socket: str
    config: str
    management_url: str | None = None
    simulator_url: str | None = None
    demo_pid: int | None = None

    def write(self, path: Path) -> None:
        """Readable by the owner alone: the broker's password is in it. Raises OSError."""
        before = os.umask(0o077)
        try:
            write_json(path, asdict(self))
        finally:
            os.umask(before)


def read_endpoints(path: Path) -> Endpoints | None:
    """Those of a fleet that runs; a file that a crash left behind counts for nothing."""
    fields = read_json(path)
    try:
        endpoints = Endpoints(**fields)
    except TypeError:
        return None
    return endpoints if started_at(endpoints.pid) == endpoints.started else None
