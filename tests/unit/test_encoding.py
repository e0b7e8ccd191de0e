"""JSON that takes no more memory than it has bytes."""

import tracemalloc

import orjson

from coordinator.answers import finished
from shared.encoding import encoded

TRADE = {"symbol": "BTC/USDT:USDT", "id": "1", "price": 1.5, "side": "buy"}
COUNT = 1000


def held(make: object) -> float:
    """Bytes that each of many results takes."""
    assert callable(make)
    tracemalloc.start()
    try:
        kept = [make() for _ in range(COUNT)]
        return tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()


def test_it_is_what_orjson_gives() -> None:
    assert encoded(TRADE) == orjson.dumps(TRADE)


def test_what_is_kept_takes_its_own_size() -> None:
    assert held(lambda: encoded(TRADE)) < 2 * len(encoded(TRADE))
    answer = {"success": True, "data": {}}
    assert held(lambda: finished(answer, None, 1)) < 2 * len(finished(answer, None, 1)) + 100
