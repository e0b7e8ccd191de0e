"""Processes by pid: whether one still runs, and waiting for its end."""

import time
from collections.abc import Iterable

import psutil

_POLL_S = 0.05


def runs(pid: int) -> bool:
    """A zombie, which its parent has not asked about yet, does not run, unless threads of it are
    still on their way out: those hold its ports."""
    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def started_at(pid: int) -> float | None:
    """When a process that runs was started, in seconds of the epoch: by that and its pid it is
    known for certain."""
    try:
        return psutil.Process(pid).create_time() if runs(pid) else None
    except psutil.NoSuchProcess:
        return None


def wait_until_gone(pids: Iterable[int], timeout_s: float) -> bool:
    """Whether all had ended in time."""
    deadline = time.monotonic() + timeout_s
    left = [pid for pid in pids if runs(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [pid for pid in left if runs(pid)]
    return not left
