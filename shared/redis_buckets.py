"""Leaky buckets in Redis, for all processes and hosts behind one address: see `shared.buckets`.

One script takes from several buckets at once or from none, by the server's clock. What a process
has seen of a bucket it tells with each question: a server that was emptied, or restored from
yesterday, learns it anew. A bucket that nobody told this run of the server of is empty: what it
restored from a backup says nothing.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from shared.buckets import Take
from shared.config.sections import Redis as RedisConfig
from shared.errors import StoreError
from shared.reactions import row_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: A server that takes longer is as good as none.
ANSWER_S = 0.05
_CONNECTIONS = 4
#: Buckets of a venue that nobody asks for so long are forgotten: then they start empty.
_KEPT_MS = 86_400_000
_US = 1_000_000
#: A bucket is never further from full: what says so was told by another clock.
_MOST_OWED_US = 120 * _US

#: KEYS: the ban, then the buckets. ARGV: how long a ban is known to last (us), whether that much
#: shall be gone at least and nothing is taken, then for each bucket its cost, its size and its
#: reserve (us), and when it was to be full as last seen (us, 0: unknown). Returns the wait (us, 0:
#: taken), the ban that is left (us), the time (us), and when each bucket is full (us).
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local banned = tonumber(redis.call('GET', KEYS[1]) or 0)
local told = now + tonumber(ARGV[1])
if tonumber(ARGV[1]) > 0 and told > banned then
  banned = told
  redis.call('SET', KEYS[1], string.format('%.0f', banned), 'PX', math.ceil(ARGV[1] / 1000) + 1)
end
local wait = math.max(0, banned - now)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local full = {}
for i = 2, #KEYS do
  local at = 4 * (i - 2) + 3
  local cost, burst, reserve = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local of, full_at = string.match(redis.call('GET', KEYS[i]) or '', '(%x*):(%d+)')
  local known = of == run and tonumber(full_at) or now + burst
  known = math.max(known, tonumber(ARGV[at + 3]))
  known = math.min(known, now + burst + MOST)
  if known < now then known = now end
  full[i - 1] = known
  wait = math.max(wait, known + math.min(cost, burst - reserve) - now - (burst - reserve))
end
for i = 2, #KEYS do
  local cost = tonumber(ARGV[4 * (i - 2) + 3])
  if ARGV[2] == '1' then full[i - 1] = math.max(full[i - 1], now + cost)
  elseif wait <= 0 then full[i - 1] = full[i - 1] + cost end
  redis.call('SET', KEYS[i], string.format('%s:%.0f', run, full[i - 1]), 'PX', KEPT)
end
local answer = {math.max(0, wait), math.max(0, banned - now), now}
for i = 1, #full do answer[i + 3] = full[i] end
for i = 1, #answer do answer[i] = string.format('%.0f', math.ceil(answer[i])) end
return answer
""".replace("KEPT", str(_KEPT_MS)).replace("MOST", str(_MOST_OWED_US))


class Answer(NamedTuple):
    """How long to wait, 0 where it was taken; how long the venue is not to be asked at all; and
    what is left in each bucket for such takes, in seconds of flow."""

    wait_s: float
    ban_s: float
    left_s: tuple[float, ...]


class RedisBuckets:
    """Those of one venue and address. Every question has a deadline; raises StoreError."""

    def __init__(self, redis: "Redis", venue: str, egress: str) -> None:
        self._redis = redis
        self._prefix = f"fleet:budget:{{{venue}@{egress}}}:"
        self._script = redis.register_script(_SCRIPT)
        self.seen: dict[str, int] = {}  # when each bucket is full, by the server's clock, us

    async def take(self, takes: Sequence[Take], ban_s: float) -> Answer:
        """Take all of these, or none. `ban_s` is how long this process knows of a ban."""
        return await self._ask(takes, ban_s, caps=False)

    async def cap(self, takes: Sequence[Take]) -> None:
        """Have at least so much gone from each: others had it."""
        await self._ask(takes, 0.0, caps=True)

    async def close(self) -> None:
        """End its connections."""
        await self._redis.aclose()

    async def _ask(self, takes: Sequence[Take], ban_s: float, *, caps: bool) -> Answer:
        keys = [f"{self._prefix}ban", *(self._prefix + take.bucket for take in takes)]
        arguments = [math.ceil(ban_s * _US), int(caps)]
        for take in takes:
            sizes = (take.cost_s, take.burst_s, take.reserve_s)
            arguments += [round(size * _US) for size in sizes]
            arguments.append(self.seen.get(take.bucket, 0))
        answer = await self._asked(keys, arguments)
        wait_us, ban_us, now_us, *full_at_us = map(int, answer)
        self.seen.update(zip((take.bucket for take in takes), full_at_us, strict=True))
        left_s = (
            take.burst_s - take.reserve_s - (full_us - now_us) / _US
            for take, full_us in zip(takes, full_at_us, strict=True)
        )
        return Answer(wait_us / _US, ban_us / _US, tuple(left_s))

    async def ban(self, seconds: float) -> None:
        """Tell all others of a ban, now. A longer one stays."""
        await self.take((), seconds)

    async def _asked(self, keys: list[str], arguments: list[int]) -> list[bytes]:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer: list[bytes] = await self._script(keys=keys, args=arguments)
                return answer
        except Exception as error:
            row = row_of(error)
            if row is None:
                raise
            raise StoreError(f"Redis: {type(error).__name__}: {error}".splitlines()[0]) from error


def connected(config: RedisConfig) -> "Redis":
    """A client that tries nothing by itself: what it is asked for is not worth waiting."""
    # Imported here: 7 MB and 40 ms that nobody needs who names no Redis.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool(
        host=config.host or "127.0.0.1",
        port=config.port,
        db=config.db,
        password=config.password.get_secret_value() if config.password else None,
        max_connections=_CONNECTIONS,
        timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
