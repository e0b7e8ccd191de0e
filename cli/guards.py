"""What has to be so before a fleet or a demo is started here."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.place import ROOT, Place
from cli.supervisor import Supervisor


@contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """One at a time in this clone, for as long as the block lasts. Raises CommandFailed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"{what} in this clone already") from None
        yield


def refuse_second_fleet(place: Place, *, beside_demo: bool) -> None:
    """Raises CommandFailed where a fleet runs here; a demo too, unless we are one."""
    running = read_endpoints(place.endpoints)
    is_theirs = running is not None and (running.kind == "fleet" or not beside_demo)
    # A supervisord that was started by hand tells nobody.
    is_here = place.home == ROOT / ".fleet" or not beside_demo
    if is_theirs or (is_here and Supervisor(place.supervisor_socket).answers()):
        what = running.kind if running else "fleet"
        raise CommandFailed(f"a {what} runs in this clone already; see fleet status")


def refuse_orphaned_broker(directory: Path) -> None:
    """Two nodes on one directory would both write its data. Raises CommandFailed."""
    with suppress(OSError, ValueError, psutil.Error):
        pid = int((directory / "pid").read_text())
        data = psutil.Process(pid).environ().get("RABBITMQ_MNESIA_BASE")
        if data == str(directory.absolute() / "mnesia"):
            raise CommandFailed(
                f"the broker of a fleet whose supervisord was killed still runs (pid {pid}), and"
                " its collectors may: end them first"
            )


def refuse_white_space(place: Place) -> None:
    """supervisord splits the paths of what it includes. Raises CommandFailed."""
    for path in (ROOT, place.home):
        if any(char.isspace() for char in str(path)):
            raise CommandFailed(
                f"supervisord reads no programs from a path with white space: {path}", Exit.CONFIG
            )
