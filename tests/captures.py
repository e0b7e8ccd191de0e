"""Recorded venue traffic, where it is there, and what it says when read without our code."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

DIRECTORY = Path(os.environ.get("FLEET_CAPTURES") or Path(__file__).parents[2] / "shared/captures")

Best = tuple[float, float]  # bid and ask


def received(capture: str) -> list[Any]:
    """The frames of a capture in the order of their arrival, decoded."""
    return [orjson.loads(row["raw"]) for row in _rows("frames", capture) if row["dir"] == "recv"]


def bodies(capture: str, path: str) -> dict[str, Any]:
    """REST bodies of `path` by their symbol or contract."""
    found = {}
    for row in _rows("http", capture):
        url = urlsplit(row["url"])
        query = parse_qs(url.query)
        if url.path.endswith(path):
            found[(query.get("symbol") or query["contract"])[0]] = orjson.loads(row["body"])
    return found


class Book:
    """Price to size, both sides; nothing more."""

    def __init__(self, bids: Any, asks: Any) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.apply(bids, asks)

    def apply(self, bids: Any, asks: Any) -> None:
        for side, changes in zip(self.sides, (bids, asks), strict=True):
            for price, size in changes:
                if float(size):
                    side[float(price)] = float(size)
                else:
                    side.pop(float(price), None)

    @property
    def best(self) -> Best:
        return max(self.sides[0]), min(self.sides[1])


def binance_books(capture: str) -> dict[str, dict[int, Best]]:
    """Best prices after each update id, by market: snapshot, then every delta beyond it."""
    snapshots = bodies(capture, "/depth")
    books = {m: Book(body["bids"], body["asks"]) for m, body in snapshots.items()}
    best = {m: {body["lastUpdateId"]: books[m].best} for m, body in snapshots.items()}
    for frame in received(capture):
        data = frame["data"]
        if data["e"] == "depthUpdate" and data["u"] >= snapshots[data["s"]]["lastUpdateId"]:
            books[data["s"]].apply(data["b"], data["a"])
            best[data["s"]][data["u"]] = books[data["s"]].best
    return best


def gate_books(capture: str) -> dict[str, dict[int, Best]]:
    """The same for gate, whose levels are {"p", "s"}."""
    snapshots = bodies(capture, "/order_book")
    books = {m: Book(_pairs(body["bids"]), _pairs(body["asks"])) for m, body in snapshots.items()}
    best = {m: {body["id"]: books[m].best} for m, body in snapshots.items()}
    for frame in received(capture):
        if frame["channel"] != "futures.order_book_update" or frame["event"] != "update":
            continue
        data = frame["result"]
        if data["u"] > snapshots[data["s"]]["id"]:
            books[data["s"]].apply(_pairs(data["b"]), _pairs(data["a"]))
            best[data["s"]][data["u"]] = books[data["s"]].best
    return best


def _pairs(levels: Any) -> list[tuple[Any, Any]]:
    return [(level["p"], level["s"]) for level in levels]


def _rows(kind: str, capture: str) -> Iterator[Any]:
    with gzip.open(DIRECTORY / kind / f"{capture}.jsonl.gz") as lines:
        yield from map(orjson.loads, lines)
