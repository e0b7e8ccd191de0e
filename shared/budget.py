"""REST budgets: no request goes to a venue before `acquire` has granted what it weighs.

Waiting requests stand in one queue a venue, higher classes first; each minute of waiting lifts a
request by one class, so that nothing starves for ever. A request waits for those before it only
where both take from one bucket.

The buckets are counted in Redis where there is one, for all processes behind one address, and come
to 80 % of what the venue allows. A process that can not reach it goes on by itself with its part of
the other 20 %: whoever else reaches it, together they never spend more than there is. Without any
Redis each process has its part of the 80 %.
"""

import asyncio
import itertools
import logging
import math
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from shared.bans import Bans
from shared.buckets import Buckets, Take
from shared.clock import Clock
from shared.errors import ConfigurationError, StoreError
from shared.limits import SHARE, Charge, Used, VenueLimits
from shared.redis_buckets import RedisBuckets

#: Waiting this long lifts a request by one class.
AGEING_S = 60.0
#: The head of a queue looks again at least this often: a ban, or somebody of a higher class.
_LOOK_S = 1.0
#: A Redis that did not answer is asked again after this long, and up to twice it.
_PROBE_S = 0.5
#: What requests of users leave to live data, as a share of the burst: times their priority's, and
#: never less than the other. So what a live request needs is there before what the cheapest of a
#: user does, with all venues' limits: their largest, 40 on binance, is an eighth of the burst.
USER_RESERVE, LEAST_USER_RESERVE = 0.4, 0.2

Mode = Literal["local", "shared", "fallback"]

log = logging.getLogger("main")


class RequestClass(Enum):
    """Why a request is made, highest first; the value is the share of the burst that is kept for
    the classes above it."""

    CONTROL = 0.0
    LIVE = 0.05
    FUNDING = 0.1
    REPAIR = 0.25
    BACKFILL = 0.4


_RANKS = {request_class: float(rank) for rank, request_class in enumerate(RequestClass)}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands to others: its place in the queue, lower first, the share of the burst
    that it leaves to them, and the place that waiting may lift it to."""

    rank: float
    reserve: float
    highest: float = -math.inf


_STANDINGS = {one: Standing(rank, one.value) for one, rank in _RANKS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A request that waits."""

    standing: Standing
    number: int
    since: float
    charges: tuple[Charge, ...]
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def order(self, now: float) -> tuple[float, int]:
        aged = self.standing.rank - (now - self.since) / AGEING_S
        return max(aged, self.standing.highest), self.number


class Budget:
    """Of one venue, as this process has it."""

    def __init__(
        self,
        limits: VenueLimits,
        clock: Clock,
        idle_s: float = 0.0,
        shared: RedisBuckets | None = None,
        bans: Bans | None = None,
    ) -> None:
        """`idle_s` is for how long this process is known to have sent nothing."""
        self.limits = limits
        self.fallbacks = 0  # how often Redis was lost
        self._clock = clock
        self._own = Buckets(clock, idle_s)
        self._shared = shared
        self._bans = bans or Bans(None, clock)
        self._part = 1.0
        self._waiting: list[Ticket] = []
        self._numbers = itertools.count()
        self._lost = False
        self._probe_at = self._tell_again_at = -math.inf
        self._told: set[asyncio.Task[None]] = set()

    @property
    def mode(self) -> Mode:
        if self._shared is None:
            return "local"
        return "fallback" if self._lost else "shared"

    async def acquire(
        self, charges: Sequence[Charge], of: RequestClass | Standing = RequestClass.REPAIR
    ) -> None:
        """Wait until all of these may be spent. Raises ConfigurationError for more than the venue
        allows in a whole window."""
        for charge in charges:
            if charge.units > charge.rule.weight:
                raise ConfigurationError(
                    f"{self.limits.venue}: a request of weight {charge.units:g} can never pass"
                )
        ticket = self._ticket(charges, of)
        self._waiting.append(ticket)
        try:
            await self._granted(ticket)
        finally:
            self._waiting.remove(ticket)
            self._wake_heads()

    @property
    def banned_s(self) -> float:
        """How long no request may go out, as far as this process knows."""
        return self._bans.left_s()

    async def unbanned(self) -> None:
        """Wait until no ban is on: one that waited after its grant may have one before it."""
        while (left_s := self._bans.left_s()) > 0:
            await self._clock.sleep(min(left_s, _LOOK_S))

    def share(self, part: float) -> None:
        """Others behind the same address spend the rest: this process has that part, 0 … 1, of
        what is not counted in common."""
        self._part = part

    def wait_s(self, of: RequestClass) -> float:
        """About how long a small request of this class would wait that came now, if none of a
        higher class came after it: in the fullest of the buckets that such ones wait for."""
        now, behind_all = self._clock.monotonic(), (_RANKS[of], math.inf)
        ahead = [t for t in self._waiting if t.order(now) < behind_all]
        buckets: dict[str, Take] = {}
        for take in (take for ticket in ahead for take in self._takes(ticket, of)):
            known = buckets.get(take.bucket)
            cost_s = take.cost_s + (known.cost_s if known else 0.0)
            buckets[take.bucket] = take._replace(cost_s=cost_s)
        waits = [self._own.wait_in_all_s(take) for take in buckets.values()]
        return max([self._bans.left_s(), *waits])

    async def attempt(self, charges: Sequence[Charge], of: RequestClass | Standing) -> bool:
        """Have all of these now or none: whether they were had. Whoever waits goes first."""
        ticket = self._ticket(charges, of)
        return self._is_head(ticket) and await self._try(ticket) <= 0

    async def remaining(self, charges: Sequence[Charge], of: RequestClass | Standing) -> int:
        """How many such requests could go out at once now."""
        if self._bans.left_s() > 0:
            return 0
        ticket = self._ticket(charges, of)
        if self._shared is not None and self._clock.monotonic() >= self._probe_at:
            whole = [self._whole(one, ticket.standing.reserve) for one in ticket.charges]
            nothing = [take._replace(cost_s=0.0) for take in whole]
            try:
                left = (await self._shared.take(nothing, 0.0)).left_s
                return _count(whole, left)
            except StoreError as error:
                self._lose(error)
        takes = self._takes(ticket, ticket.standing)
        return _count(takes, [self._own.left_s(take) for take in takes])

    def ban(self, seconds: float) -> None:
        """No request to the venue before `seconds` have passed; a longer ban stays. All processes
        of this host hear of it, and by Redis all behind this address."""
        self._bans.ban(seconds)
        self._tell_again_at = -math.inf
        self._tell_of_ban(self._bans.left_s())

    def used(self, charge: Charge, said: Used) -> None:
        """The venue says how much of a limit is used: what others behind this address spent is not
        ours to spend. By what we spend alone it says nothing new."""
        limit = charge.rule.limit()
        flows_in = limit.per_second * said.left_in_window_s
        spare_s = (SHARE * charge.rule.weight - said.units - flows_in) / limit.per_second
        take = _take(charge, limit.per_second, limit.burst, 0.0)
        if spare_s >= take.burst_s:
            return
        cap = take._replace(cost_s=take.burst_s - spare_s)
        if self.mode == "shared":
            self._tell(self._cap(cap), charge.bucket)
        else:
            self._own.cap([cap])

    async def close(self) -> None:
        """End what it speaks to Redis by."""
        if self._shared is not None:
            await self._shared.close()

    async def _granted(self, ticket: Ticket) -> None:
        while True:
            if not self._is_head(ticket):
                self._wake_heads()
                ticket.turn.clear()
                await ticket.turn.wait()
                continue
            wait_s = await self._try(ticket)
            if wait_s <= 0:
                return
            await self._clock.sleep(min(wait_s, _LOOK_S))

    async def _try(self, ticket: Ticket) -> float:
        """Take what a ticket needs; or the wait until that may be possible."""
        banned_s = self._bans.left_s()
        if banned_s > 0:
            self._tell_of_ban(banned_s)
            return banned_s
        if self._shared is not None and self._clock.monotonic() >= self._probe_at:
            try:
                return await self._try_shared(self._shared, ticket)
            except StoreError as error:
                self._lose(error)
        takes = self._takes(ticket, ticket.standing)
        wait_s = self._own.wait_s(takes)
        if wait_s <= 0:
            self._own.take(takes)
        return wait_s

    async def _try_shared(self, shared: RedisBuckets, ticket: Ticket) -> float:
        whole = [self._whole(charge, ticket.standing.reserve) for charge in ticket.charges]
        answer = await shared.take(whole, 0.0)
        if self._lost:
            self._lost = False
            log.info("The budget of %s is shared again", self.limits.venue)
        if answer.ban_s > 0:
            self._bans.ban(answer.ban_s)
        return answer.wait_s

    def _lose(self, error: StoreError) -> None:
        if not self._lost:
            self._lost = True
            self.fallbacks += 1
            log.warning("The budget of %s is this process's own: %s", self.limits.venue, error)
        self._probe_at = self._clock.monotonic() + _PROBE_S * random.uniform(1, 2)

    def _tell_of_ban(self, seconds: float) -> None:
        """Again and again while it lasts: Redis may be away, or be emptied."""
        due_at = max(self._probe_at, self._tell_again_at)
        if self._shared is not None and self._clock.monotonic() >= due_at:
            self._tell(self._tell_ban(self._shared, seconds), "ban")

    def _tell(self, telling: Coroutine[Any, Any, None], what: str) -> None:
        """Tell Redis beside all else; one thing of each name at a time, what comes meanwhile is
        told by the next answer anyway."""
        if any(task.get_name() == what for task in self._told):
            telling.close()
            return
        task = asyncio.create_task(telling, name=what)
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _cap(self, cap: Take) -> None:
        assert self._shared is not None
        try:
            await self._shared.cap([cap])
        except StoreError as error:
            self._lose(error)

    async def _tell_ban(self, shared: RedisBuckets, seconds: float) -> None:
        try:
            await shared.ban(seconds)
        except StoreError as error:
            self._lose(error)
        else:
            self._tell_again_at = self._clock.monotonic() + _LOOK_S

    def _takes(self, ticket: Ticket, of: RequestClass | Standing) -> list[Take]:
        """From this process's own buckets."""
        reserve = of.value if isinstance(of, RequestClass) else of.reserve
        if self._shared is None:
            takes = [self._whole(charge, reserve) for charge in ticket.charges]
            return [take._replace(cost_s=take.cost_s / self._part) for take in takes]
        made = []
        for charge in ticket.charges:
            limit = charge.rule.limit((1 - SHARE) * self._part)
            made.append(_take(charge, limit.per_second, limit.burst, reserve))
        return made

    @staticmethod
    def _whole(charge: Charge, reserve: float) -> Take:
        limit = charge.rule.limit()
        return _take(charge, limit.per_second, limit.burst, reserve)

    def _ticket(self, charges: Sequence[Charge], of: RequestClass | Standing) -> Ticket:
        standing = _STANDINGS[of] if isinstance(of, RequestClass) else of
        return Ticket(standing, next(self._numbers), self._clock.monotonic(), tuple(charges))

    def _is_head(self, ticket: Ticket) -> bool:
        """Whether nobody before it waits for one of its buckets."""
        now = self._clock.monotonic()
        order, buckets = ticket.order(now), {charge.bucket for charge in ticket.charges}
        return not any(
            other.order(now) < order and any(c.bucket in buckets for c in other.charges)
            for other in self._waiting
        )

    def _wake_heads(self) -> None:
        taken: set[str] = set()
        now = self._clock.monotonic()
        for ticket in sorted(self._waiting, key=lambda one: one.order(now)):
            buckets = {charge.bucket for charge in ticket.charges}
            if not buckets & taken:
                ticket.turn.set()
            taken |= buckets


def _take(charge: Charge, per_second: float, burst: float, reserve: float) -> Take:
    burst_s = burst / per_second
    return Take(charge.bucket, charge.units / per_second, burst_s, reserve * burst_s)


def _count(takes: Sequence[Take], left_s: Sequence[float]) -> int:
    each = zip(takes, left_s, strict=True)
    return min(max(0, int(left / take.cost_s + 1e-9)) for take, left in each if take.cost_s > 0)
