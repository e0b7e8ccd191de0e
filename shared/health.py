"""Whether what a process needs is well: checks that repeat, each with a deadline.

A check that fails is repeated as before; one that succeeds again is well again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from shared.clock import Clock
from shared.reactions import row_of
from shared.tasks import ended

HealthStatus = Literal["HEALTHY", "DEGRADED", "UNHEALTHY", "UNKNOWN"]

#: So many failures in a row are no coincidence.
_UNHEALTHY_AFTER = 2
_TOLD = 120  # characters of a reason
_TICK_S = 0.25

log = logging.getLogger("main")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `reason` says why it is not well."""

    status: HealthStatus
    reason: str = ""


WELL = Finding("HEALTHY")

#: Returns a finding, or None for well; whatever it raises is a failure.
Check = Callable[[], Awaitable[Finding | None]]


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """How often a check is made, how long it may take, and from when on it is told as slow."""

    interval_s: float = 10.0
    timeout_s: float = 5.0
    slow_s: float = 1.0


class HealthCheck:
    """One check and what it found last."""

    def __init__(self, name: str, check: Check, policy: CheckPolicy, clock: Clock) -> None:
        self.name = name
        self.policy = policy
        self.finding = Finding("UNKNOWN", "not looked at yet")
        self.checks = self.failures = 0
        self.latency_s: float | None = None  # of the last that answered
        self._check = check
        self._clock = clock
        self._failed = 0  # in a row

    async def look(self) -> Finding:
        """Make the check now. Never raises."""
        began = self._clock.monotonic()
        self.checks += 1
        try:
            async with asyncio.timeout(self.policy.timeout_s):
                found = await self._check() or WELL
        except Exception as error:  # noqa: BLE001 - whatever a check raises is its finding
            found = self._failure(error)
        else:
            self.latency_s = self._clock.monotonic() - began
            self._failed = 0
            if self.latency_s > self.policy.slow_s:
                log.warning("slow: %s took %.2f s", self.name, self.latency_s)
                found = _worse(found, Finding("DEGRADED", f"took {self.latency_s:.2f} s"))
        self._tell(found)
        self.finding = found
        return found

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"status": self.finding.status}
        if self.finding.reason:
            told["reason"] = self.finding.reason
        if self.latency_s is not None:
            told["ms"] = round(1000 * self.latency_s, 1)
        return told

    def _failure(self, error: Exception) -> Finding:
        self.failures += 1
        self._failed += 1
        if row_of(error) is None:
            log.debug("Check %s failed: %r", self.name, error)
        reason = (str(error) or type(error).__name__).splitlines()[0][:_TOLD]
        first = self._failed < _UNHEALTHY_AFTER and self.finding.status != "UNKNOWN"
        return Finding("DEGRADED" if first else "UNHEALTHY", reason)

    def _tell(self, found: Finding) -> None:
        if found.status == self.finding.status:
            return
        if found.status == "HEALTHY":
            if self.finding.status != "UNKNOWN":
                log.info("%s is well again", self.name)
        else:
            log.warning("%s is %s: %s", self.name, found.status.lower(), found.reason)


class HealthMonitor:
    """The checks of a process. `start` and `stop`, or `run` for ever."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._checks: dict[str, HealthCheck] = {}
        self._running: asyncio.Task[None] | None = None
        self._due: dict[str, float] = {}
        self._busy: dict[str, asyncio.Task[Finding]] = {}

    def add_health_check(
        self, name: str, check: Check, policy: CheckPolicy | None = None
    ) -> HealthCheck:
        """One of the same name gives way."""
        made = HealthCheck(name, check, policy or CheckPolicy(), self._clock)
        self._checks[name] = made
        self._due[name] = self._clock.monotonic()
        return made

    def get_health_check(self, name: str) -> HealthCheck | None:
        return self._checks.get(name)

    def get_all_health_status(self) -> dict[str, HealthStatus]:
        return {name: check.finding.status for name, check in self._checks.items()}

    def as_dict(self) -> dict[str, Any]:
        """For heartbeats: what is not well, with the reason."""
        return {
            name: check.as_dict()
            for name, check in self._checks.items()
            if check.finding.status != "HEALTHY"
        }

    async def look(self) -> None:
        """Make all checks now, side by side."""
        await asyncio.gather(*(check.look() for check in self._checks.values()))

    async def start(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self.run())

    async def stop(self) -> None:
        if self._running is not None:
            await ended(self._running)
            self._running = None

    async def run(self) -> None:
        """Make each check when it is due, for ever; a slow one holds up no other."""
        async with asyncio.TaskGroup() as looking:
            while True:
                for check in self._due_checks():
                    self._busy[check.name] = looking.create_task(check.look())
                await self._clock.sleep(_TICK_S)

    def _due_checks(self) -> list[HealthCheck]:
        now, due = self._clock.monotonic(), []
        for name, check in self._checks.items():
            busy = self._busy.get(name)
            if now >= self._due[name] and (busy is None or busy.done()):
                self._due[name] = now + check.policy.interval_s
                due.append(check)
        return due


def _worse(one: Finding, other: Finding) -> Finding:
    order: dict[HealthStatus, int] = {"HEALTHY": 0, "UNKNOWN": 1, "DEGRADED": 2, "UNHEALTHY": 3}
    return one if order[one.status] >= order[other.status] else other
