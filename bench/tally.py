"""Numbers that arrived against numbers that were sent, per stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

from bench.tape import NUMBER_BASE, QUOTE, TRADE, TRADE_ID_BASE
from shared.batch import decoded
from shared.symbols import symbol_key

#: Routing key and body -> of each row in it the source's stream, and the number of the frame.
Reader = Callable[[str, bytes], list[tuple[str, int]]]


@dataclass(slots=True)
class Tally:
    """Bodies on their way through a reader."""

    reader: Reader
    arrived: dict[str, list[int]] = field(default_factory=dict)

    def take(self, routing_key: str, body: bytes, content_encoding: str | None = None) -> None:
        for stream, number in self.reader(routing_key, decoded(body, content_encoding)):
            self.arrived.setdefault(stream, []).append(number)

    def complaint(self, before: Mapping[str, int], last: Mapping[str, int]) -> str:
        """What was lost, repeated or invented of the numbers `before`+1 … `last`; or nothing."""
        lost = repeated = invented = 0
        for stream in set(last) | set(self.arrived):
            due = set(range(before.get(stream, 0) + 1, last.get(stream, 0) + 1))
            got = self.arrived.get(stream, [])
            lost += len(due - set(got))
            repeated += len(got) - len(set(got))
            invented += len(set(got) - due)
        if not (lost or repeated or invented):
            return ""
        return f"{lost} lost or conflated, {repeated} repeated, {invented} that nobody sent"


def read_fleet(routing_key: str, body: bytes) -> list[tuple[str, int]]:
    """A message of `futures_data`: the number is in the bid, or in the trade's id."""
    kind, _, key = routing_key.split(".")
    return [_numbered(kind == "trades", key, orjson.loads(body))]


def read_batch(_routing_key: str, body: bytes) -> list[tuple[str, int]]:
    """A message of `futures_batches`."""
    batch = orjson.loads(body)
    is_trades = batch["kind"] == "trades"
    return [_numbered(is_trades, symbol_key(row["symbol"]), row) for row in batch["rows"]]


def read_cryptofeed(_routing_key: str, body: bytes) -> list[tuple[str, int]]:
    """A message of cryptofeed's back end: all under one key, symbols like `S000-USDT-PERP`."""
    message = orjson.loads(body)
    key = message["symbol"].removesuffix("-PERP").replace("-", "")
    return [_numbered("side" in message, key, message)]


def _numbered(is_trade: bool, market: str, message: dict[str, str]) -> tuple[str, int]:
    if is_trade:
        return f"{market}@{TRADE}", int(message["id"]) - TRADE_ID_BASE
    return f"{market}@{QUOTE}", int(float(message["bid"])) - NUMBER_BASE
