"""What a collector makes of a recording is what it made of the venue, whose traffic it was."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from shared.symbols import symbol_key
from simulator.happening import Rates
from simulator.recorded import RECORDED
from simulator.recording import Recording, rows
from simulator.replay import Replay
from simulator.server import Server, Settings
from simulator.truth import Truth
from tests.collecting import Consumer, Fleet, collecting
from tests.venues import VENUES, Simulator, listed
from tests.waiting import eventually

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT")
#: From the start of the recording to the end of a minute at the venues.
UNTIL_MINUTE_S = 10.0
#: Each has a key that names one fact.
FACTS = ("trades", "liquidation", "ohlcv", "funding")
#: When and in which run it was received, and whether it took long: not of the fact itself.
OURS = ("received_at", "source")
#: REST says the rate without the time, the stream both: which came first is not of the venue.
UNTIMED = ("krakenfutures",)
#: What a ticker or a book says beside the statistics of REST, which are as old as their request.
OF_THE_MARKET = ("bid", "ask", "bid_size", "ask_size", "bids", "asks", "timestamp", "update_id")


class Published(NamedTuple):
    """All that one run published of a venue, as far as it is not of the run itself."""

    facts: dict[str, dict[str, Any]]  # by kind, then by message id
    repeated: list[str]  # message ids that came twice
    last: dict[str, Any]  # books and best prices, by routing key: the last of each
    values: dict[str, list[Any]]  # open interest and predicted funding, by routing key
    gaps: list[Any]
    books: dict[str, Any]  # by symbol: the whole book at the end


@pytest.mark.long
@pytest.mark.parametrize("disturbed", [False, True], ids=["undisturbed", "disturbed"])
async def test_a_recording_gives_what_the_venue_gave(
    disturbed: bool, broker_url: str, tmp_path: Path
) -> None:
    async with simulated() as server:
        together = asyncio.Barrier(len(VENUES))
        runs = [_Run(venue, broker_url, tmp_path / venue) for venue in VENUES]
        live = await _all(run.live(server, together, disturbed) for run in runs)
    # Who asks late, for want of a processor, is told what was true before: a few at a time.
    replayed: list[Published] = []
    for few in (runs[:3], runs[3:6], runs[6:]):
        replayed += await _all(run.replayed() for run in few)
    for venue, once, again in zip(VENUES, live, replayed, strict=True):
        _check_equal(venue, once, again)
        told = {gap["kind"] for gap in once.gaps}
        assert told >= {"trades", "orderbook", "ticker"} if disturbed else not told, venue


@asynccontextmanager
async def simulated() -> AsyncIterator[Server]:
    rates = Rates(liquidation=30)
    async with Server(Settings(port=0, symbols=4, rates=rates)) as server:
        now_ms = time.time() * 1000
        for venue in server.venues.values():
            # Forwards: set back, a venue repeats times.
            venue.skew((-now_ms - UNTIL_MINUTE_S * 1000) % 60_000)
        yield server


async def _all(work: Iterable[Coroutine[Any, Any, Published]]) -> list[Published]:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one) for one in work]
    return [task.result() for task in running]


class _Run:
    """One venue: recorded while it is collected, then collected from the recording."""

    def __init__(self, venue: str, broker_url: str, directory: Path) -> None:
        self.venue, self._broker_url, self._directory = venue, broker_url, directory

    async def live(self, server: Server, together: asyncio.Barrier, disturbed: bool) -> Published:
        async with self._collecting("live", server.port, record=True) as fleet:
            if disturbed:
                await self._disturb(fleet, Simulator(server.port, self._directory))
            # Where none are streamed the first one is asked for after a minute: none here.
            streamed = _keys(self.venue) if fleet.collector.row.candles.streamed else []
            closed = [f"ohlcv.{self.venue}.{key}.1m" for key in streamed]
            everything = lambda: all(_closed(fleet.consumer, key) for key in closed)  # noqa: E731
            await eventually(everything, 40, self.venue, 0.5)
            # What is under way when a collector ends reaches the recording, but nobody else.
            await together.wait()
            server.paused = True
            await _quiet(fleet)
            return _published(fleet, self.venue)

    async def _disturb(self, fleet: Fleet, simulator: Simulator) -> None:
        """Lose connections, trades and an update of a book, each with time to recover."""
        collector, venue = fleet.collector, self.venue

        def sound() -> bool:
            parts = collector.intake.parts.values()
            whole = all(one.book is not None and one.pulses for one in parts)
            return whole and len(parts) == len(SYMBOLS) and not len(collector.continuity.gaps)

        await eventually(sound, 20, venue)
        await eventually(lambda: len(collector.trades.flows) == len(SYMBOLS), 20, venue)
        await asyncio.sleep(2)  # a replay may be so much later with its books
        await simulator.fault(venue, "cut")
        await eventually(lambda: not sound(), 5, venue)
        await eventually(sound, 20, venue)
        before = collector.books.resyncs
        await simulator.fault(venue, "drop_delta", symbol=listed(venue, SYMBOLS[0]))
        await eventually(lambda: collector.books.resyncs > before, 10, venue)
        await eventually(sound, 20, venue)

    async def replayed(self) -> Published:
        recording = Recording(self._directory / "live" / "recordings", self.venue)
        _check_recording(self.venue, recording)
        replay = Replay(recording, RECORDED[self.venue](), Truth(), 1.0)
        await replay.listen("127.0.0.1", 0)
        try:
            async with self._collecting("replay", replay.port, record=False) as fleet:
                async with asyncio.timeout(60):
                    await replay.ended.wait()
                await _quiet(fleet)
                assert replay.delivery.missed == 0, self.venue
                return _published(fleet, self.venue)
        finally:
            await replay.stop()

    @asynccontextmanager
    async def _collecting(self, name: str, port: int, record: bool) -> AsyncIterator[Fleet]:
        directory = self._directory / name
        directory.mkdir(parents=True)
        config = Simulator(port, directory).config(
            (self.venue,), symbols=[listed(self.venue, one) for one in SYMBOLS]
        )
        config["collection"] = {"timeframes": ["1m", "1h"]}
        config["exchange_configs"][self.venue]["record"] = record
        async with collecting(self.venue, config, self._broker_url, directory) as fleet:
            yield fleet


async def _quiet(fleet: Fleet) -> None:
    """Until nothing comes any more but what comes by itself."""

    async def nothing_new() -> bool:
        before = _data(fleet.consumer)
        await asyncio.sleep(0.7)
        return _data(fleet.consumer) == before

    await eventually(nothing_new, 15)


def _data(consumer: Consumer) -> int:
    return sum((m.routing_key or "").startswith(("trades", "orderbook")) for m in consumer.messages)


def _closed(consumer: Consumer, key: str) -> bool:
    return any(body["closed"] for body in consumer.bodies(key))


def _published(fleet: Fleet, venue: str) -> Published:
    found = Published({kind: {} for kind in FACTS}, [], {}, {}, [], _books(fleet))
    for message in fleet.consumer.messages:
        key, id_ = message.routing_key or "", message.message_id or ""
        kind, _, rest = key.partition(".")
        if not rest.startswith(f"{venue}."):
            continue
        body = _without(orjson.loads(message.body), *OURS)
        if kind == "gap":
            found.gaps.append(body)
        elif kind in ("orderbook", "ticker"):
            found.last[key] = {name: body[name] for name in OF_THE_MARKET if name in body}
        elif kind in FACTS and id_.startswith(f"{venue}:"):
            found.repeated.extend([id_] if id_ in found.facts[kind] else [])
            found.facts[kind][id_] = body
        elif kind in ("open_interest", "funding"):
            found.values.setdefault(key, []).append(body)
    return found


def _without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def _books(fleet: Fleet) -> dict[str, Any]:
    books = {}
    for symbol, parts in fleet.collector.intake.parts.items():
        assert parts.book is not None, symbol
        book = parts.book
        sides = book.bids.top(5000), book.asks.top(5000)
        books[symbol] = (book.update_id, book.timestamp, *sides)
    return books


def _check_recording(venue: str, recording: Recording) -> None:
    written = [row for file in recording.files() for row in rows(file)]
    told = {row["dir"] for row in written}
    assert {"open", "send", "recv", "rest", "close"} <= told, venue
    assert "lost" not in told, venue


def _check_equal(venue: str, live: Published, replayed: Published) -> None:
    assert live.repeated == replayed.repeated == [], venue
    assert {_what(gap) for gap in live.gaps} == {_what(gap) for gap in replayed.gaps}, venue
    for kind in FACTS:
        only_live = live.facts[kind].keys() - replayed.facts[kind].keys()
        only_replayed = replayed.facts[kind].keys() - live.facts[kind].keys()
        assert not only_live, (venue, kind, len(live.facts[kind]), sorted(only_live)[:5])
        assert not only_replayed, (venue, kind, sorted(only_replayed)[:5])
        assert live.facts[kind] == replayed.facts[kind], (venue, kind)
    assert live.facts["trades"], venue
    assert live.last.keys() == {
        f"{k}.{venue}.{key}" for k in ("orderbook", "ticker") for key in _keys(venue)
    }
    assert live.books == replayed.books, venue
    assert live.last == replayed.last, venue
    # Of what is sampled these are other samples; none has a value that the venue did not say.
    assert live.values.keys() == replayed.values.keys() != set(), venue
    for key, values in replayed.values.items():
        said = [_of_the_rate(value) for value in live.values[key]]
        said += [(rate, None) for rate, _ in said if venue in UNTIMED]
        assert all(_of_the_rate(value) in said for value in values), key


def _keys(venue: str) -> list[str]:
    return [symbol_key(listed(venue, symbol)) for symbol in SYMBOLS]


def _what(gap: dict[str, Any]) -> tuple[str, str]:
    return gap["kind"], gap["symbol"]


def _of_the_rate(body: dict[str, Any]) -> tuple[Any, Any]:
    return body.get("rate"), body.get("next_funding_time")
