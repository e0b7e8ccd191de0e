"""What a long-lived process gives back to the system."""

import asyncio
import ctypes
import subprocess
import sys

import pytest

from shared import heap
from tests.waiting import eventually

#: Answers that are read at once, and among them small things that stay.
_PROGRAM = """
import sys
from shared.heap import give_back

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "tamed":
    give_back()
del (answer := [bytearray(1_000_000)])[:]  # from here on glibc takes such for small
before, kept = rss(), []
for _ in range(20):
    answers = [bytearray(500_000) for _ in range(10)]
    kept += [bytearray(600) for _ in range(20)]
    del answers
    kept += [bytearray(70_000)]
print((rss() - before) // 1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells what glibc does")
def test_large_blocks_leave_no_holes() -> None:
    left = {}
    for how in ("as it is", "tamed"):
        command = [sys.executable, "-c", _PROGRAM, how]
        left[how] = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert left["tamed"] < 3_000
    assert left["tamed"] <= left["as it is"]


async def test_what_is_free_in_between_is_given_back_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Libc:
        trims = 0

        def malloc_trim(self, pad: int) -> int:
            self.trims += pad == 0
            return 1

    libc = Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: libc)
    monkeypatch.setattr(heap, "_TRIM_S", 0.01)
    trimming = asyncio.create_task(heap.trimmed())
    await eventually(lambda: libc.trims >= 3)
    trimming.cancel()


async def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    await heap.trimmed()
    heap.give_back()
