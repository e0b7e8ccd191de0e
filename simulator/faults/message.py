"""Market data on its way out, taken apart and put together again."""

from typing import TYPE_CHECKING, Any

import orjson

from simulator.frame import Frame, payload
from simulator.universe import market_id

if TYPE_CHECKING:
    from simulator.market import Market
    from simulator.topic import Topic

SIDES = (("bids", "asks"), ("b", "a"))
NOWHERE = "NOSUCH"
"""The base currency of a market that no venue lists."""


def facts(frame: Frame) -> dict[str, Any]:
    """`channel`, `symbol` and `ids` of `frame`, as its line in the truth log has them."""
    found: dict[str, Any] = orjson.loads("{" + frame.truth)
    return found


def rewritten(topic: "Topic", frame: Frame, message: object, **ids: object) -> Frame:
    """`frame` with another message; `ids` are those that changed."""
    told = facts(frame)
    told["ids"] |= ids
    return Frame(topic.encode(message), orjson.dumps(told).decode()[1:])


def elsewhere(topic: "Topic", frame: Frame) -> bytes:
    """The bytes of `frame` as if it were of a market that is not listed."""
    known = topic.market.instrument
    unknown = market_id(known.venue, NOWHERE)
    text = payload(frame.wire).decode().replace(known.id, unknown)
    return topic.encode(orjson.loads(text))


def crossed(topic: "Topic", frame: Frame, ticks: int) -> tuple[Frame, str] | None:
    """`frame` with a bid `ticks` above the best ask, and its price; None if it has no level."""
    message = orjson.loads(payload(frame.wire))
    price = topic.market.book.best_ask + ticks
    if _is_level(message):  # a venue that pushes levels one by one
        message |= {"side": "buy", "price": topic.market.price(price)}
        message["qty"] = topic.market.base(topic.market.typical_size)
        return rewritten(topic, frame, message), topic.market.price_text(price)
    found = _sides(message)
    if found is None or not (found[0] or found[1]):
        return None
    bids, asks = found
    level = _level_like((bids or asks)[0], topic.market, price)
    others = [one for one in bids if _price(one) != _price(level)]  # one of them may take it back
    bids[:] = [level, *others]
    return rewritten(topic, frame, message), topic.market.price_text(price)


def _is_level(message: Any) -> bool:
    return isinstance(message, dict) and {"side", "price", "qty"} <= message.keys()


def _sides(message: Any) -> tuple[list[Any], list[Any]] | None:
    for bids, asks in SIDES:
        if isinstance(message, dict) and isinstance(message.get(bids), list):
            return message[bids], message[asks]
    inner = message.values() if isinstance(message, dict) else message
    nested = (_sides(part) for part in inner if isinstance(part, dict | list))
    return next((found for found in nested if found), None)


def _level_like(level: Any, market: "Market", price: int) -> Any:
    """A level of the typical size at `price` (ticks), in the form that this venue writes."""
    if isinstance(level, dict):
        return level | {"p": market.price_text(price), "s": _size_like(level["s"], market)}
    if _is_tagged(level):
        return ["new", market.price(price), market.base(market.typical_size)]
    texts = isinstance(level[0], str)
    at = market.price_text(price) if texts else market.price(price)
    return [at, _size_like(level[1], market), *level[2:]]


def _price(level: Any) -> float:
    if isinstance(level, dict):
        return float(level["p"])
    return float(level[1] if _is_tagged(level) else level[0])


def _is_tagged(level: Any) -> bool:
    """Whether it says first what happened to it."""
    return level[0] in ("new", "change", "delete")


def _size_like(size: object, market: "Market") -> object:
    if isinstance(size, str):
        return market.base_text(market.typical_size)
    return market.typical_size


def with_wrong_checksum(topic: "Topic", frame: Frame) -> tuple[Frame, int, int] | None:
    """`frame` with another checksum, the true one and that; None if it has none."""
    message = orjson.loads(payload(frame.wire))
    holder = _holder(message, "checksum")
    if holder is None:
        return None
    true: int = holder["checksum"]
    wrong = holder["checksum"] = true ^ 0x5A5A
    return rewritten(topic, frame, message, checksum=wrong), true, wrong


def _holder(message: Any, name: str) -> dict[str, Any] | None:
    if isinstance(message, dict) and name in message:
        return message
    inner = message.values() if isinstance(message, dict) else message
    nested = (_holder(part, name) for part in inner if isinstance(part, dict | list))
    return next((found for found in nested if found), None)
