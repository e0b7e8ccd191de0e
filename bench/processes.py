"""Processes under measurement: what they have cost so far, and their end."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_END_S = 15.0


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pss_mb(pid: int) -> float:
    """Proportional set size: pages that processes share count for a share. In 10^6 bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"no Pss of {pid}")


def end_on_signals() -> None:
    """Python ends without a word on these, and leaves a broker and its processes behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda sent, _frame: sys.exit(128 + sent))


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of several processes, by name, at one moment."""

    at_s: float
    cpu_s: dict[str, float]

    @classmethod
    def now(cls, pids: Mapping[str, int]) -> "Cost":
        loop = asyncio.get_running_loop()
        return cls(loop.time(), {name: cpu_s(pid) for name, pid in pids.items()})

    def since(self, before: "Cost") -> dict[str, float]:
        """CPU seconds by name since `before`."""
        return {name: self.cpu_s[name] - before.cpu_s[name] for name in self.cpu_s}


async def ended_in_time(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and end it where it does not."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
