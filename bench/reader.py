"""`python -m bench.reader URL COUNT [--bodies] [--uvloop]`: a program that uses the library.

Prints `ready` when it is subscribed, and in the end what it read and what that cost, as JSON.
"""

import argparse
import asyncio
import sys
import time
from typing import Any

import orjson
import uvloop

from futures_fleet import FleetClient

PATTERN = "trades.bench.#"
_DEADLINE_S = 240.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.reader")
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("--bodies", action="store_true", help="look at each body")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()
    reading = read(given.url, given.count, given.bodies)
    found = uvloop.run(reading) if given.uvloop else asyncio.run(reading)
    _say(orjson.dumps(found).decode())
    return 0


async def read(url: str, count: int, bodies: bool) -> dict[str, Any]:
    """From the first message to the last of `count`, on the clock."""
    client = FleetClient(url, name="bench")
    async with client as fleet, fleet.stream(PATTERN) as stream, asyncio.timeout(_DEADLINE_S):
        await stream.ready()
        _say("ready")
        ids = {(await anext(stream)).message_id}
        began_s, cpu_s = time.perf_counter(), time.process_time()
        while len(ids) < count:
            message = await anext(stream)
            ids.add(message.message_id)
            if bodies:
                _ = message.body
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return {
        "messages": len(ids),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "missed": stream.missed,
        "duplicates": stream.duplicates,
        "dropped": stream.dropped,
        "refused": stream.refused,
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
