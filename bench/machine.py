"""What a run was measured on: figures of two machines are not compared, ratios may be."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cli.place import ROOT
from cli.private_broker import find_server
from shared.config import read_environment

_PACKAGES = ("ccxt", "aio-pika", "aiohttp", "orjson", "pydantic", "uvloop")


def facts() -> dict[str, str]:
    """In the order in which they are printed."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": _cpu_model(),
        "memory_gb": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f}",
        "kernel": platform.release(),
        "load_average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "rabbitmq": _rabbitmq(),
        **{name: _version(name) for name in _PACKAGES},
    }


def _commit() -> str:
    """With a `+` where the tree has changes, and a question mark outside a clone."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}{'+' if _git('status', '--porcelain') else ''}" if head else "?"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _rabbitmq() -> str:
    return find_server(read_environment().rabbitmq_home).parent.name.partition("-")[2] or "?"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"
