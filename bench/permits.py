"""`python -m bench.permits REDIS_PORT SECONDS PART`: one of several processes that take permits of
one shared budget as fast as they get them. Prints when it began and when it had each (wall clock);
then, once a line comes in, how long a permit takes when Redis has gone."""

import asyncio
import sys
import time

import orjson

from shared.budget import Budget, RequestClass
from shared.clock import SystemClock
from shared.config.sections import Redis
from shared.limits import Rule, VenueLimits
from shared.redis_buckets import RedisBuckets, connected

#: 100 a second for all processes together, and 20 at once.
RULE = Rule("weight", 100 * 60 / 0.8 + 20 / 0.8, 60.0, at_once=20 / (100 * 60 + 20))
_WAITING = 20


async def main(port: int, seconds: float, part: float) -> None:
    limits, clock = VenueLimits("bench", (RULE,)), SystemClock()
    config = Redis(host="127.0.0.1", port=port)
    budget = Budget(limits, clock, shared=RedisBuckets(connected(config), "bench", "here"))
    budget.share(part)
    charges, had = limits.charges(""), list[float]()
    await budget.remaining(charges, RequestClass.CONTROL)  # now the bucket is there, and empty
    began = time.time()

    async def take() -> None:
        while time.time() < began + seconds:
            await budget.acquire(charges, RequestClass.CONTROL)
            had.append(time.time())

    await asyncio.gather(*(take() for _ in range(_WAITING)))
    _say({"began": began, "had": had, "fallbacks": budget.fallbacks})
    await asyncio.to_thread(sys.stdin.readline)
    asked_at = time.monotonic()
    await budget.acquire(charges, RequestClass.CONTROL)
    _say({"took_s": time.monotonic() - asked_at, "mode": budget.mode})
    await budget.close()


def _say(what: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(what) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
