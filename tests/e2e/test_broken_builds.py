"""Builds that are broken on purpose: the suite has to notice each of them."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.long, pytest.mark.deadline(300)]


@dataclass(frozen=True)
class Break:
    """Replace `old` by `new` in `file`; then one of `tests` has to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


BREAKS = (
    Break(
        "no confirm",
        "shared/frames.py",
        "            message.sent_at = now\n",
        "            self._backlog.confirmed(message)\n            continue\n",
        ("tests/integration/test_custody.py::test_a_broker_that_is_killed_and_comes_back",),
    ),
    Break(
        "high-water mark in place of per-tag settling",
        "shared/frames.py",
        "        if confirm.multiple:\n",
        "        if True:\n",
        ("tests/contract/test_publisher.py", "-k", "single_acks"),
    ),
    Break(
        "no spool",
        "shared/custody.py",
        "self._new_spool(place.path, place.limit_mb * MIB) if place else None",
        "None",
        ("tests/integration/test_custody.py::test_a_broker_that_is_killed_and_comes_back",),
    ),
    Break(
        "no sequence check",
        "workers/collector/books/sync.py",
        "            if not (self._follows(update, last) if self._joined",
        "            if not (True if self._joined",
        ("tests/unit/test_books.py",),
    ),
    Break(
        "no checksum",
        "workers/collector/books/sync.py",
        "update.checksum != book.checksum()",
        "False",
        ("tests/unit/test_books.py",),
    ),
    Break(
        "crossed books are published",
        "workers/collector/books/sync.py",
        "        if book.crossed:\n",
        "        if False:\n",
        ("tests/unit/test_books.py",),
    ),
    Break(
        "no refill",
        "workers/collector/continuity/refill.py",
        "        elif symbol not in self._queued:\n",
        "        elif False:\n",
        ("tests/integration/test_collector_killed.py", "-k", "few and binance"),
    ),
    Break(
        "a gap is closed without a proof",
        "workers/collector/continuity/proof.py",
        '"repaired" if missing == 0 else "unrepairable"',
        '"repaired"',
        ("tests/unit/test_refill.py",),
    ),
    Break(
        "no watermark",
        "workers/collector/continuity/continuity.py",
        "            self._resume(symbol)\n",
        "            pass\n",
        ("tests/integration/test_collector_killed.py", "-k", "few and bybit"),
    ),
    Break(
        "no watchdog",
        "workers/collector/continuity/watchdog.py",
        "        self._alarm_all(found, of_all=streams)\n",
        "        found.clear()\n",
        ("tests/integration/test_stream_faults.py", "-k", "every_break"),
    ),
    Break(
        "an alarm without evidence",
        "workers/collector/continuity/watchdog.py",
        "        if moved(stream.kind, parts, since):\n",
        "        if pulse.count:\n",
        ("tests/unit/test_watchdog.py",),
    ),
    Break(
        "trades that come twice",
        "workers/collector/trades/flow.py",
        "        return self.seen.add(event.id)\n",
        "        return True\n",
        ("tests/unit/test_trades.py",),
    ),
    Break(
        "a question that is still asked is asked again",
        "workers/collector/schedule/agenda.py",
        "for lane in list(self._lanes) if lane not in self._busy]",
        "for lane in list(self._lanes)]",
        ("tests/unit/test_agenda.py",),
    ),
    Break(
        "waiting lifts nothing",
        "workers/collector/schedule/agenda.py",
        "return self.item.priority - (now - self.at) / AGEING_S",
        "return float(self.item.priority)",
        ("tests/unit/test_agenda.py",),
    ),
    Break(
        "a stale ticker is told as fresh",
        "workers/collector/tasks/prices.py",
        "if parts.ticker is not None and is_up and now - parts.ticker_at <= self._fresh_s:",
        "if parts.ticker is not None and is_up:",
        ("tests/unit/test_task_prices.py",),
    ),
    Break(
        "a symbol is let go of while its book and candles are not there yet",
        "workers/collector/sharing/peers.py",
        "frozenset(said.live if said.whole is None else said.whole)",
        "frozenset(said.live)",
        ("tests/unit/test_sharing.py",),
    ),
    Break(
        "a worker with a gap proves that nothing is missing",
        "workers/collector/sharing/peers.py",
        "frozenset(said.live) - gapped",
        "frozenset(said.live)",
        ("tests/unit/test_sharing.py",),
    ),
    Break(
        "equal questions of tasks are asked twice",
        "workers/collector/tasks/tasks.py",
        "if key not in self._inquiries:",
        "if True:",
        ("tests/unit/test_task_prices.py",),
    ),
)


@pytest.mark.parametrize("broken", BREAKS, ids=str)
def test_the_suite_notices(broken: Break, tmp_path: Path) -> None:
    copy = tmp_path / "broken"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    code = (copy / broken.file).read_text()
    assert code.count(broken.old) == 1, f"{broken.file} has changed"
    (copy / broken.file).write_text(code.replace(broken.old, broken.new))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *broken.tests],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    # 1: tests failed. Anything else is a run that did not take place.
    assert done.returncode == 1, done.stdout[-2000:]
