"""Frames that are wrong in every way at random, through the path that real frames take."""

import asyncio
import gzip
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMessage, WSMsgType
from pydantic import BaseModel

from shared import messages
from shared.clock import SystemClock
from simulator.universe import quote_of
from tests.collecting import Fleet, collecting, each_venue
from tests.mutations import Mutations
from tests.venues import TRADE_ID_FIELDS, Simulator, listed
from tests.waiting import eventually
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, BookUpdate, Candle, Summary

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
SEED = 20
RATES = ("--ticker-rate", "5", "--book-rate", "5", "--trade-rate", "5", "--symbols", "4")
#: Wrong frames between two turns of the event loop.
_AT_ONCE = 5
MODELS: dict[str, type[BaseModel]] = {
    "futures": messages.FuturesData,
    "ticker": messages.Ticker,
    "orderbook": messages.Orderbook,
    "trades": messages.Trade,
    "liquidation": messages.Liquidation,
    "ohlcv": messages.Ohlcv,
    "open_interest": messages.OpenInterest,
}
#: The bars: a stamp from before there was a market, or from after tomorrow, is none.
EARLIEST_MS, AHEAD_MS = 1_230_768_000_000, 86_400_000


@dataclass
class Tally:
    """Whatever a frame may be counted as."""

    fleet: Fleet
    taken: int = 0

    def __post_init__(self) -> None:
        takers: dict[type, Callable[..., None]] = self.fleet.collector.intake._takers
        for event_type in (BookUpdate, Candle, Summary, Acknowledged):
            takers[event_type] = self._counted(takers[event_type])

    def _counted(self, take: Callable[..., None]) -> Callable[..., None]:
        def counted(*arguments: Any) -> None:
            self.taken += 1
            take(*arguments)

        return counted

    @property
    def total(self) -> int:
        intake, ledger = self.fleet.collector.intake, self.fleet.collector.outbox.ledger
        received = sum(ledger[kind].received for kind in ("ticker", "trades", "liquidation"))
        aside = self.fleet.collector.quarantine.total
        return self.taken + received + aside + intake.unwanted + intake.dataless


@dataclass
class Samples:
    """True frames of one market as they come, each with the address of its connection."""

    market_id: str
    others: tuple[str, ...]
    frames: list[tuple[str, str]] = field(default_factory=list)
    enough: bool = False

    def listen(self, ccxt: Any) -> None:
        for url, connection in ccxt.clients.items():
            connection.handle_message = self._heard(url, connection.handle_message)

    def _heard(self, url: str, handle: Callable[[WSMessage], None]) -> Callable[[WSMessage], None]:
        def heard(message: WSMessage) -> None:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) and not self.enough:
                data = message.data
                text = gzip.decompress(data).decode() if type(data) is bytes else data
                if self.market_id in text and not any(other in text for other in self.others):
                    self.frames.append((url, text))
            handle(message)

        return heard


@pytest.mark.deadline(150)
async def test_wrong_frames_end_nothing_and_touch_no_other_symbol(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _all(500, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(900)
async def test_ten_thousand_wrong_frames_of_each_venue(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _all(10_000, broker_url, tmp_path, record_property)


async def _all(
    count: int, broker_url: str, directory: Path, record: Callable[[str, object], None]
) -> None:
    played = await each_venue(partial(_play, count=count), broker_url, directory, *RATES)
    for venue, figures in played.items():
        record(venue, figures)


async def _play(
    venue: str, simulator: Simulator, broker_url: str, directory: Path, count: int
) -> dict[str, float]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    what = f"{venue}, seed {SEED}"
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: _sound(fleet, (btc, eth, doge)), 40, f"{venue}: all up")
        ids = [fleet.collector.client.markets[s].id for s in (btc, eth, doge)]
        samples = Samples(ids[0], tuple(ids[1:]))
        samples.listen(fleet.collector.client._ccxt)
        await eventually(lambda: len(samples.frames) >= 60, 30, f"{venue}: samples")
        broken = _broken_books(fleet)
        figures = await _fed(fleet, samples, count, what)
        assert not fleet.running.done(), f"{what}: the collector ended"
        lost = [symbol for symbol in broken if symbol in (eth, doge)]
        assert not lost, f"{what}: books of other symbols broke: {lost}"
        assert figures["worst_ms"] < 1000, f"{what}: {figures}"
        await _recovers(fleet, venue, what)
        await _as_it_happened(simulator, venue, fleet, what)
        _nothing_unsound(fleet, venue, what)
        assert not fleet.collector.outbox.ledger.unbalanced(), what
        gaps = {
            body["symbol"]
            for s in (eth, doge)
            for body in fleet.consumer.bodies(_key("gap", venue, s))
        }
        assert not gaps, f"{what}: gaps of other symbols: {gaps}"
    return figures


# --- frames that come twice


@pytest.mark.deadline(120)
async def test_trades_that_come_twice_are_told_once_and_counted(
    broker_url: str, tmp_path: Path
) -> None:
    await each_venue(_twice, broker_url, tmp_path, *RATES)


async def _twice(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: _sound(fleet, (btc, eth, doge)), 40, f"{venue}: all up")
        counts = fleet.collector.outbox.ledger["trades"]
        before = counts.deduplicated
        id_ = await simulator.fault(venue, "duplicate_trades", count=20, seed=SEED)

        def doubled() -> list[str]:
            return [
                str(trade_id)
                for event in simulator.events(venue, "fault")
                if event.get("id") == id_ and event.get("step") == "applied"
                for trade_id in event["ids"][TRADE_ID_FIELDS[venue]]
            ]

        await eventually(lambda: len(doubled()) >= 20, 30, f"{venue}: applied", 0.2)
        await eventually(
            lambda: counts.deduplicated - before == len(doubled()),
            5,
            f"{venue}: {counts.deduplicated - before} counted, {len(doubled())} were doubled",
        )
        for symbol in (btc, eth, doge):
            ids = [b["id"] for b in fleet.consumer.bodies(_key("trades", venue, symbol))]
            assert len(ids) == len(set(ids)), f"{venue}, seed {SEED}: {symbol} twice"
        assert not fleet.collector.outbox.ledger.unbalanced(), venue


# --- what the fuzz consists of


async def _fed(fleet: Fleet, samples: Samples, count: int, what: str) -> dict[str, float]:
    """Feed `count` wrong frames between the true ones; each has to be counted as something."""
    ccxt, tally = fleet.collector.client._ccxt, Tally(fleet)
    chance, mutations = random.Random(SEED), Mutations(SEED, samples.market_id)
    samples.enough = True
    frames, aside, worst_s = samples.frames, fleet.collector.quarantine.total, 0.0
    for number in range(count):
        url, text = chance.choice(frames)
        connection = ccxt.clients.get(url)
        while connection is None or connection.connection is None:
            await asyncio.sleep(0.05)
            connection = ccxt.clients.get(url)
        message = _message(connection, mutations, mutations.of(text), chance)
        before, began = tally.total, time.perf_counter()
        connection.handle_message(message)
        worst_s = max(worst_s, time.perf_counter() - began)
        assert tally.total > before, f"{what}, frame {number} is not counted: {message.data!r:.400}"
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0.002)
    set_aside = fleet.collector.quarantine.total - aside
    return {"fed": count, "set_aside": set_aside, "worst_ms": round(1000 * worst_s, 1)}


def _message(connection: Any, mutations: Mutations, text: str, chance: random.Random) -> WSMessage:
    if not connection.gunzip:
        return WSMessage(WSMsgType.TEXT, text, None)
    data = gzip.compress(text.encode(), 1)
    if chance.random() < 0.1:
        data = mutations.of_bytes(data)
    return WSMessage(WSMsgType.BINARY, data, None)


def _broken_books(fleet: Fleet) -> list[str]:
    """Symbols whose book is lost from now on."""
    broken: list[str] = []
    books = fleet.collector.books
    before = books.on_broken

    def heard(symbol: str, reason: str, book: Any) -> None:
        broken.append(symbol)
        before(symbol, reason, book)

    books.on_broken = heard
    return broken


async def _recovers(fleet: Fleet, venue: str, what: str) -> None:
    """The symbol whose frames were wrong has true data again: all of it, and soon."""
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    keys = [_key(kind, venue, btc) for kind in ("ticker", "trades", "orderbook")]
    counts = {key: fleet.consumer.count(key) for key in keys}
    await eventually(
        lambda: all(fleet.consumer.count(key) > counts[key] + 2 for key in keys),
        60,
        f"{what}: BTC flows again",
    )
    await eventually(lambda: _sound(fleet, (btc, eth, doge)), 60, f"{what}: all books")


async def _as_it_happened(simulator: Simulator, venue: str, fleet: Fleet, what: str) -> None:
    """The other symbols' trades: each once, with the prices that they had."""
    for symbol in (listed(venue, one) for one in (ETH, DOGE)):
        key, market = _key("trades", venue, symbol), fleet.collector.client.markets[symbol]
        happened = {str(t["id"]): t for t in await simulator.trades(venue, market.id)}
        first = fleet.consumer.bodies(key)[0]["id"]
        awaited = list(happened)[list(happened).index(first) :]
        if venue != "okx":  # there one message stands for all fills at a price
            missing = partial(_missing, fleet, key, awaited)
            await eventually(lambda: not missing(), 10, f"{what}: trades of {symbol}")  # noqa: B023
        got = fleet.consumer.bodies(key)
        assert len(got) == len({body["id"] for body in got}), f"{what}: {symbol} twice"
        happened |= {str(t["id"]): t for t in await simulator.trades(venue, market.id)}
        for body in got:
            assert body["id"] in happened, f"{what}: it never happened: {body}"
            assert body["price"] == float(happened[body["id"]]["price"]), f"{what}: {body}"


def _missing(fleet: Fleet, key: str, awaited: list[str]) -> set[str]:
    return set(awaited) - {body["id"] for body in fleet.consumer.bodies(key)}


def _nothing_unsound(fleet: Fleet, venue: str, what: str) -> None:
    """All that was published is what its model says, and of our days."""
    latest = SystemClock().now_ms() + AHEAD_MS
    for message in fleet.consumer.messages:
        model = MODELS.get(str(message.type))
        if model is None:
            continue
        body = model.model_validate_json(message.body)
        for name in ("timestamp", "start"):
            stamp = getattr(body, name, None)
            assert stamp is None or EARLIEST_MS <= stamp <= latest, f"{what}: {message.body!r}"
    counted = fleet.collector.outbox.ledger.as_dict()
    assert counted["trades"].get("invalid", 0), f"{what}: no trade was found invalid"


def _sound(fleet: Fleet, symbols: tuple[str, ...]) -> bool:
    parts = fleet.collector.intake.parts
    return all(
        symbol in parts
        and parts[symbol].book is not None
        and not parts[symbol].waiting & set(parts[symbol].pulses)
        and parts[symbol].pulses[StreamKind.TRADES].count > 0
        for symbol in symbols
    )


def _key(kind: str, venue: str, symbol: str) -> str:
    return f"{kind}.{venue}.{symbol.split('/')[0]}{quote_of(venue)}"
