"""Which tests run beside each other where several processes share a run."""

from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

#: Files beside tests/e2e whose tests take a processor to themselves: all venues' collectors at
#: once. Where two of these meet, both measure how busy the machine is.
CROWDED = frozenset(
    f"test_{name}.py"
    for name in (
        "book_faults",
        "continuity",
        "frame_faults",
        "freezes",
        "market_faults",
        "record_replay",
        "rest_faults",
        "stream_faults",
        "task_load",
        "trade_refill",
        "venue_clock",
    )
)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "Lanes | None":
    return Lanes(config, log) if config.getvalue("dist") == "loadfile" else None


class Lanes(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests run in one process, one after the other; those of all heavy files too."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(super()._split_scope(nodeid))
        heavy = file.parent.name == "e2e" or file.name in CROWDED
        return "heavy" if heavy else str(file)
