"""How each venue's recorded frames and today's subscriptions find each other."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from types import MappingProxyType
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Change:
    """What a client's command does: streams joined and left, and the answer."""

    joined: frozenset[str]
    left: frozenset[str]
    answer: str


NOTHING: frozenset[str] = frozenset()


class Recorded(ABC):
    """One venue's words, as far as a replay needs them."""

    venue: str
    subject: str
    """The query parameter that names the market."""
    snapshot_path: str
    """The REST path from which clients take a book to begin with."""
    constants: Mapping[str, str] = MappingProxyType({})
    """Answers to paths that no capture holds."""

    @abstractmethod
    def streams(self, frame: Any) -> frozenset[str]:
        """The streams to which a recorded frame belongs; none for an acknowledgement."""

    @abstractmethod
    def command(self, message: Any) -> Change: ...

    @abstractmethod
    def missing(self, path: str) -> object:
        """The venue's JSON for a path that was not recorded."""


class RecordedBinance(Recorded):
    """Combined frames `{"stream", "data"}`, sent on as they are."""

    venue = "binance"
    subject = "symbol"
    snapshot_path = "/fapi/v1/depth"

    def streams(self, frame: Any) -> frozenset[str]:
        return frozenset({frame["stream"]}) if "stream" in frame else NOTHING

    def command(self, message: Any) -> Change:
        names = {str(name) for name in message.get("params") or ()}
        # Who asks for single trades gets the recorded aggregated ones.
        names |= {f"{name[:-5]}aggTrade" for name in names if name.endswith("@trade")}
        answer = orjson.dumps({"result": None, "id": message.get("id")}).decode()
        if message.get("method") == "UNSUBSCRIBE":
            return Change(NOTHING, frozenset(names), answer)
        return Change(frozenset(names), NOTHING, answer)

    def missing(self, path: str) -> object:
        return {"code": -5000, "msg": f"Path {path}, Method GET is invalid"}


class RecordedGate(Recorded):
    venue = "gate"
    subject = "contract"
    snapshot_path = "/api/v4/futures/usdt/order_book"
    constants = MappingProxyType({"/api/v4/futures/btc/contracts": "[]"})

    def streams(self, frame: Any) -> frozenset[str]:
        if frame.get("event") != "update":
            return NOTHING
        result = frame["result"]
        rows = result if isinstance(result, list) else [result]
        names = {row.get("contract") or row.get("s") or row.get("n") for row in rows}
        return frozenset(f"{frame['channel']} {name}" for name in names)

    def command(self, message: Any) -> Change:
        channel, payload = message.get("channel"), message.get("payload") or []
        if channel == "futures.candlesticks":
            names = ["_".join(payload[:2])]
        elif channel == "futures.order_book_update":
            names = payload[:1]  # then pace and level, of which a capture has one
        else:
            names = payload
        streams = frozenset(f"{channel} {name}" for name in names)
        if message.get("event") == "unsubscribe":
            return Change(NOTHING, streams, self._answer(message))
        return Change(streams, NOTHING, self._answer(message))

    @staticmethod
    def _answer(message: Any) -> str:
        now = time()
        stamp = {"time": int(now), "time_ms": int(now * 1000), "id": message.get("id")}
        echo = {name: message.get(name) for name in ("channel", "event", "payload")}
        return orjson.dumps({**stamp, **echo, "result": {"status": "success"}}).decode()

    def missing(self, _path: str) -> object:
        return {"label": "NOT_FOUND", "message": "Not Found"}


RECORDED: dict[str, type[Recorded]] = {
    "BINANCE_FUTURES": RecordedBinance,
    "GATEIO_FUTURES": RecordedGate,
}
"""By the name that a capture of the venue has."""
