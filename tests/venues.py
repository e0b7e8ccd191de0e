"""Simulated venues for tests: a real server process, its addresses and its truth."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import aiohttp
import orjson

from shared import venues
from shared.timeframes import TIMEFRAMES_MS
from simulator.universe import quote_of

TRADE_ID_FIELDS = {
    "binance": "a",
    "bybit": "i",
    "bitget": "tradeId",
    "htx": "id",
    "gate": "id",
    "okx": "tradeId",
    "krakenfutures": "uid",
    "coinbaseinternational": "trade_seq",
}
VENUES = venues.VENUES


def listed(venue: str, symbol: str) -> str:
    """The contract that is `symbol` in USDT, or a key made of it, in what `venue` quotes."""
    return symbol.replace("USDT", quote_of(venue))


class Truth:
    """A simulator's log of its own; it grows by megabytes, so that each line of it is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[tuple[str, str], list[bytes]] = {}  # by venue and event
        self._read_up_to = 0
        self._reading = Lock()

    def events(self, venue: str, *names: str) -> list[dict[str, Any]]:
        with self._reading:
            self._read()
            found = [line for name in names for line in self._lines.get((venue, name), ())]
        return [orjson.loads(line) for line in found]

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_up_to)
            whole = file.read().rpartition(b"\n")[0]
        self._read_up_to += len(whole) + bool(whole)
        for line in whole.splitlines():
            event = orjson.loads(line)
            self._lines.setdefault((event.get("venue", ""), event["event"]), []).append(line)


def timeframes(venue: str) -> tuple[str, ...]:
    """The lengths of candles that `venue` has, of those that the fleet knows."""
    return tuple(one for one in TIMEFRAMES_MS if (venue, one) != ("coinbaseinternational", "4h"))


@dataclass(frozen=True)
class Simulator:
    """A running simulator; `truth` is the file of all that it was asked and sent."""

    port: int
    truth: Path
    _log: Truth = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_log", Truth(self.truth))

    def config(self, venues: tuple[str, ...] = VENUES, **fields: Any) -> dict[str, Any]:
        """A configuration that points collectors here."""
        host = f"127.0.0.1:{self.port}"
        urls = {v: {"rest": f"http://{host}/{v}", "ws": f"ws://{host}/{v}"} for v in venues}
        return {
            "exchanges": list(venues),
            "symbols": ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"],
            "exchange_configs": {v: {"urls": urls[v]} for v in venues},
        } | fields

    async def subscriptions(self, venue: str) -> dict[str, list[str]]:
        """What is subscribed just now, by symbol."""
        url = f"http://127.0.0.1:{self.port}/_subscriptions"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return (await response.json())[venue]  # type: ignore[no-any-return]

    async def fault(self, venue: str, fault: str, **parameters: Any) -> str:
        """Start a fault; its id."""
        body = {"venue": venue, "fault": fault, **parameters}
        return (await self._asked("POST", "/_faults", json=body))["id"]  # type: ignore[no-any-return]

    async def heal(self, id_: str) -> None:
        await self._asked("DELETE", f"/_faults/{id_}")

    async def trades(self, venue: str, market_id: str) -> list[dict[str, Any]]:
        """All that happened, oldest first: id (as streamed), price, size (base), side, t (ms)."""
        query = {"venue": venue, "id": market_id}
        return (await self._asked("GET", "/_trades", params=query))["trades"]  # type: ignore[no-any-return]

    async def book(self, venue: str, market_id: str, levels: int) -> dict[str, Any]:
        """The true book at a push of depth made just now, whose last id is `stream_id`."""
        query = {"venue": venue, "id": market_id, "levels": levels, "push": 1}
        return await self._asked("GET", "/_book", params=query)  # type: ignore[no-any-return]

    async def _asked(self, method: str, path: str, **arguments: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.request(method, url, **arguments) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def events(self, venue: str, *names: str) -> list[dict[str, Any]]:
        """The truth of one venue so far, one sort of event after the other; the last lines may
        still be on their way to disk."""
        return self._log.events(venue, *names)

    def trades_sent(
        self, venue: str, since_ns: int = 0, until_ns: int = 2**63
    ) -> dict[str, set[str]]:
        """Ids of the trades that were sent, by symbol."""
        sent: dict[str, set[str]] = {}
        for event in self.events(venue, "sent"):
            if not since_ns <= event["t"] < until_ns:
                continue
            # coinbaseinternational's candles are `chart.trades`.
            if "rade" in event["channel"] and not event["channel"].startswith("chart."):
                ids = event["ids"][TRADE_ID_FIELDS[venue]]
                sent.setdefault(event["symbol"], set()).update(map(str, ids))
        return sent


@asynccontextmanager
async def simulated_venues(directory: Path, *arguments: str) -> AsyncIterator[Simulator]:
    """`python -m simulator` on a free port, ended with the block."""
    truth = directory / "truth.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", *arguments, "--port", "0"),
        *(("--truth", str(truth)) if "replay" not in arguments else ()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        found = re.search(rb":(\d+)", line)
        assert found, f"the simulator did not start: {line!r}"
        yield Simulator(int(found[1]), truth)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)
