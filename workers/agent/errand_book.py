"""The errands of one agent, on disk: what is to be done, and what was."""

import asyncio
import logging
from collections import Counter, deque
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.clock import Clock
from shared.errands import MAX_AGE_S, Errand
from shared.files import write_json

#: Errands that wait, at most; one more is refused.
MAX_WAITING = 50
#: Ids of errands that are over: one of them that comes again is not done again.
_REMEMBERED = 500
#: Outcomes that a heartbeat tells, and the characters of each text in it.
_TOLD, _TEXT = 5, 120

log = logging.getLogger("main")


class Waiting(BaseModel):
    """An errand that is not over."""

    model_config = ConfigDict(extra="ignore")

    errand: Errand
    #: The programs that it restarts and the process of each when it began, 0 for none: whoever
    #: goes on with it after a crash sees which of them were restarted. None: it has not begun.
    pids: dict[str, int] | None = None


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore")

    waiting: list[Waiting] = Field(default=[])
    over: list[str] = Field(default=[])


class ErrandBook:
    """On disk before it is true: what a method has done, a crash does not undo."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.arrived = asyncio.Event()
        self.counts = Counter(done=0, failed=0, refused=0, repeated=0, malformed=0)
        self._path = path
        self._clock = clock
        content = _read(path)
        self._waiting = content.waiting[:MAX_WAITING]
        self._over = deque(content.over, _REMEMBERED)
        self._told: deque[dict[str, Any]] = deque(maxlen=_TOLD)
        if self._waiting:
            log.info("Going on with %d errands of the run before", len(self._waiting))

    def take(self, errand: Errand) -> None:
        """Keep an errand. One that is not to be done is counted, told, and forgotten."""
        if errand.id in self._over or any(errand.id == w.errand.id for w in self._waiting):
            self.counts["repeated"] += 1
        elif reason := self._too_old(errand):
            self._refuse(errand, reason)
        elif len(self._waiting) >= MAX_WAITING:
            self._refuse(errand, f"{MAX_WAITING} others wait")
        else:
            self._keep(errand)

    def refuse_malformed(self) -> None:
        self.counts["malformed"] += 1

    def next(self) -> Waiting | None:
        """The first that still may be done; it stays until it is over. What was begun is finished,
        however late: a program may stand still for it."""
        while self._waiting:
            first = self._waiting[0]
            reason = "" if first.pids is not None else self._too_old(first.errand)
            if not reason:
                return first
            self._refuse(first.errand, reason)
            self._close(first)
        return None

    def begin(self, waiting: Waiting, pids: dict[str, int]) -> None:
        """Note the processes that an errand is about to restart. Raises OSError."""
        begun = waiting.model_copy(update={"pids": pids})
        others = [w for w in self._waiting if w.errand.id != waiting.errand.id]
        self._save([begun, *others], list(self._over))
        waiting.pids = pids

    def finish(self, waiting: Waiting, ok: bool, text: str) -> None:
        """An errand is over, well or not."""
        self.counts["done" if ok else "failed"] += 1
        self._tell(waiting.errand, ok, text)
        self._close(waiting)

    def as_dict(self) -> dict[str, Any]:
        """For the heartbeat."""
        return {"waiting": len(self._waiting), **self.counts, "last": list(self._told)}

    def _keep(self, errand: Errand) -> None:
        try:
            self._save([*self._waiting, Waiting(errand=errand)], list(self._over))
        except OSError as error:
            self._refuse(errand, f"it can not be kept on disk: {error.strerror}")
        else:
            self.arrived.set()

    def _too_old(self, errand: Errand) -> str:
        age_s = (self._clock.now_ms() - errand.sent_at) / 1000
        return f"it is {age_s:.0f} s old" if age_s > MAX_AGE_S else ""

    def _refuse(self, errand: Errand, reason: str) -> None:
        self.counts["refused"] += 1
        log.warning("Errand %r (%s %r) is refused: %s", errand.id, errand.action, errand.of, reason)
        self._tell(errand, False, f"refused: {reason}")

    def _tell(self, errand: Errand, ok: bool, text: str) -> None:
        told = {"id": errand.id[:_TEXT], "action": errand.action, "of": errand.of[:_TEXT]}
        self._told.append(told | {"ok": ok, "text": text[:_TEXT], "at": self._clock.now_ms()})

    def _close(self, waiting: Waiting) -> None:
        """A disk that refuses costs a repetition after a restart, no more."""
        left = [w for w in self._waiting if w.errand.id != waiting.errand.id]
        over = [*self._over, waiting.errand.id][-_REMEMBERED:]
        try:
            self._save(left, over)
        except OSError as error:
            log.error("The end of errand %r is not on disk: %s", waiting.errand.id, error)
            self._waiting, self._over = left, deque(over, _REMEMBERED)

    def _save(self, waiting: list[Waiting], over: list[str]) -> None:
        content = _Content(waiting=waiting, over=over)
        write_json(self._path, content.model_dump())
        self._waiting, self._over = content.waiting, deque(over, _REMEMBERED)


def _read(path: Path) -> _Content:
    try:
        return _Content.model_validate(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return _Content()
    except (OSError, orjson.JSONDecodeError, ValidationError):
        log.error("%s can not be read: errands of the run before are lost", path)
        return _Content()
