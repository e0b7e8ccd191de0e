"""What a demo that was killed has left running, found by the mark in its environment."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil

from cli.demo_layout import MARK
from cli.processes import wait_until_gone

_PATIENCE_S = 10.0


def leftovers(demo: Path) -> list[psutil.Process]:
    """Processes of the demo in this directory; never ourselves, who may have inherited the mark."""
    me = psutil.Process()
    mine = {me.pid, *(parent.pid for parent in me.parents())}
    return [p for p in psutil.process_iter() if p.pid not in mine and _belongs(p, demo)]


def clear(demo: Path, patience_s: float = _PATIENCE_S) -> int:
    """End them, kindly first; how many there were."""
    found = leftovers(demo)
    _signal(found, signal.SIGTERM)
    if not wait_until_gone([p.pid for p in found], patience_s):
        found = leftovers(demo)
        _signal(found, signal.SIGKILL)
        wait_until_gone([p.pid for p in found], _PATIENCE_S)
    return len(found)


def _belongs(process: psutil.Process, demo: Path) -> bool:
    with suppress(psutil.Error):
        return bool(process.environ().get(MARK) == str(demo))
    return False


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
