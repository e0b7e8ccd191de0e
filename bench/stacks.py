"""Collapsed stacks, as sampling profilers print them, as a table of functions."""

import re
from collections import Counter
from dataclasses import dataclass

#: `name (file:line)`; the line is that of the call, so one function has many.
_FRAME = re.compile(r"^(?P<name>.*) \((?P<file>[^()]*?)(?::\d+)?\)$")


@dataclass(frozen=True, slots=True)
class Hot:
    """A function: samples in it, and in it or what it called."""

    name: str
    own: int
    total: int


def functions(text: str) -> tuple[list[Hot], int]:
    """Functions by their own samples, most first; and how many samples there were."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        names = [_named(frame) for frame in stack.split(";")]
        own[names[-1]] += int(count)
        for name in set(names):
            total[name] += int(count)
    return [Hot(n, own[n], total[n]) for n, _ in total.most_common()], own.total()


def table(text: str, us_per_message: float, rows: int = 40) -> str:
    """Microseconds a message, `us_per_message` being those of all samples together."""
    hot, samples = functions(text)
    lines = [f"{'own µs':>8} {'total µs':>9}  function, {samples} samples"]
    by_own = sorted(hot, key=lambda one: one.own, reverse=True)[:rows]
    lines += [_line(one, us_per_message / samples) for one in by_own]
    lines += ["", "by total"]
    lines += [_line(one, us_per_message / samples) for one in hot[:rows]]
    return "\n".join(lines)


def _line(one: Hot, us: float) -> str:
    return f"{one.own * us:8.2f} {one.total * us:9.2f}  {one.name}"


def _named(frame: str) -> str:
    found = _FRAME.match(frame)
    if found is None:
        return frame
    return f"{found['name']} ({'/'.join(found['file'].split('/')[-3:])})"
