"""Markets that come, go, burst or have a broken book, and venues whose clock is wrong."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.symbols import symbol_key
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import VENUES, Simulator, listed, simulated_venues
from tests.waiting import eventually
from workers.collector.heartbeat import heartbeat

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
NEW = "NEWCOIN/USDT:USDT"
SEED = 31
RATES = ("--ticker-rate", "5", "--book-rate", "5", "--trade-rate", "5", "--symbols", "4")
#: The channels whose frames each become one `ticker`.
QUOTES = {
    "binance": "bookTicker",
    "bybit": "tickers",
    "bitget": "ticker",
    "htx": "bbo",
    "gate": "book_ticker",
    "okx": "bbo-tbt",
    "krakenfutures": "ticker",
    "coinbaseinternational": "quote",
}
#: Facts that may wait in memory: what the outbox keeps in flight of both classes, and its queues.
PENDING_MAX = 20_000
#: Of what the others had before, or of what the venue sent them.
KEPT = 0.99


def key(kind: str, venue: str, symbol: str) -> str:
    return f"{kind}.{venue}.{symbol_key(symbol)}"


def live(fleet: Fleet, *symbols: str) -> bool:
    parts = fleet.collector.intake.parts
    return all(s in parts and parts[s].book and parts[s].quote for s in symbols)


class Others:
    """What symbols with which nothing is wrong got from now on, against what the venue sent."""

    def __init__(self, fleet: Fleet, simulator: Simulator, venue: str, *symbols: str) -> None:
        self._fleet, self._simulator, self._venue, self._symbols = fleet, simulator, venue, symbols
        self._began = time.time()

    async def had(self, what: str) -> float:
        """The worst share of the quotes; all trades are required."""
        ended = time.time()
        await asyncio.sleep(1.0)  # what was sent last is on its way, to us and to the truth log
        shares = [self._share_of_quotes(symbol, ended) for symbol in self._symbols]
        counts = self._fleet.collector.outbox.ledger.as_dict()["ticker"]
        assert min(shares) >= KEPT, f"{what}: quotes of {self._symbols}: {shares}, {counts}"
        for symbol in self._symbols:
            gaps = self._fleet.consumer.bodies(key("gap", self._venue, symbol))
            assert not gaps, f"{what}: {gaps}"
            await complete_trades(self._simulator, self._fleet, self._venue, symbol, what)
        return round(min(shares), 4)

    def _share_of_quotes(self, symbol: str, ended: float) -> float:
        channel = QUOTES[self._venue]
        sent = sum(
            channel in event["channel"]
            and event["symbol"] == symbol
            and self._began <= event["t"] / 1e9 <= ended
            for event in self._simulator.events(self._venue, "sent")
        )
        bodies = self._fleet.consumer.bodies(key("ticker", self._venue, symbol))
        got = sum(self._began <= body["received_at"] / 1000 <= ended + 0.1 for body in bodies)
        assert sent > 0
        return float(got / sent)


async def complete_trades(
    simulator: Simulator, fleet: Fleet, venue: str, symbol: str, what: str
) -> int:
    """Every trade since the first one that came: each once. How many that are."""
    market_id = fleet.collector.client.markets[symbol].id
    happened = [str(t["id"]) for t in await simulator.trades(venue, market_id)]
    name = key("trades", venue, symbol)

    def standing_for() -> list[str]:
        """With the fills that okx puts under one id."""
        return [
            str(int(body["id"]) - i) if body["fills"] > 1 else body["id"]
            for body in fleet.consumer.bodies(name)
            for i in range(body["fills"])
        ]

    first = standing_for()
    awaited = set(happened[min(happened.index(i) for i in first[:5] if i in happened) :])
    await eventually(
        lambda: awaited <= set(standing_for()),
        20,
        f"{what}: trades of {symbol}: {len(awaited - set(standing_for()))} missing",
        0.25,
    )
    got = standing_for()
    assert len(got) == len(set(got)), f"{what}: trades of {symbol} came twice"
    return len(awaited)


# --- markets that come and go


@pytest.mark.deadline(150)
async def test_a_delisted_symbol_goes_alone_and_a_new_one_comes_without_a_restart(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for venue, figures in (await each_venue(_come_and_go, broker_url, tmp_path, *RATES)).items():
        record_property(venue, figures)


async def _come_and_go(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> dict[str, float]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    what = f"{venue}, seed {SEED}"
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: live(fleet, btc, eth, doge), 40, f"{what}: all up")
        others = Others(fleet, simulator, venue, eth, doge)
        listed_s = await _listed(venue, simulator, fleet, what)
        delisted_s = await _delisted(venue, simulator, fleet, what)
        share = await others.had(what)
        assert not fleet.running.done()
    return {"listed_s": listed_s, "delisted_s": delisted_s, "others": share}


async def _listed(venue: str, simulator: Simulator, fleet: Fleet, what: str) -> float:
    """Seconds from the wish for a market that was just listed to its data."""
    btc, eth, doge, new = (listed(venue, one) for one in (BTC, ETH, DOGE, NEW))
    await simulator.fault(venue, "list", symbol=new, seed=SEED, price=2.5)
    began = time.monotonic()
    await fleet.announce(venue, [btc, eth, doge, new])
    names = [key(kind, venue, new) for kind in ("ticker", "trades", "orderbook", "futures")]
    await eventually(
        lambda: set(names) <= fleet.consumer.routing_keys(), 20, f"{what}: {new} flows", 0.1
    )
    return round(time.monotonic() - began, 1)


async def _delisted(venue: str, simulator: Simulator, fleet: Fleet, what: str) -> float:
    """Seconds from the end of a market until that is known, and said."""
    btc = listed(venue, BTC)
    asked = _asked_for(simulator, venue, btc)
    resubscribed = fleet.collector.streams.resubscriptions
    id_ = await simulator.fault(venue, "delist", symbol=btc, seed=SEED)
    began = time.monotonic()
    await eventually(lambda: btc not in fleet.collector.intake.parts, 100, f"{what}: gone")
    took_s = time.monotonic() - began
    assert heartbeat(fleet.collector).details["unlisted"] == [btc], what
    count = fleet.consumer.count(key("ticker", venue, btc))
    await asyncio.sleep(3)
    assert fleet.consumer.count(key("ticker", venue, btc)) == count, what
    again = _asked_for(simulator, venue, btc) - asked
    assert again <= 3, f"{what}: subscribed {again} times to what is delisted"
    assert fleet.collector.streams.resubscriptions - resubscribed <= 3, what
    await simulator.heal(id_)
    return round(took_s, 1)


def _asked_for(simulator: Simulator, venue: str, symbol: str) -> int:
    return sum(event["symbol"] == symbol for event in simulator.events(venue, "subscribed"))


# --- a venue's clock


@pytest.mark.deadline(150)
async def test_a_wrong_clock_is_told_as_it_is_and_costs_nothing(
    broker_url: str, tmp_path: Path
) -> None:
    await each_venue(_skewed, broker_url, tmp_path, *RATES)


async def _skewed(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: live(fleet, btc, eth, doge), 40, f"{venue}: all up")
        for ms in (5_000, -5_000, 120_000, -120_000):
            id_ = await simulator.fault(venue, "clock_skew", ms=ms, seed=SEED)
            what = f"{venue}, {ms} ms, seed {SEED}"
            await eventually(partial(_ahead, fleet, venue, ms), 30, f"{what}: as told", 0.1)
            await asyncio.sleep(1.5)
            await simulator.heal(id_)
            await eventually(lambda: _ahead(fleet, venue, 0), 30, f"{what}: right again", 0.1)
        assert fleet.collector.continuity.counts()["alarms"] == 0, venue
        assert fleet.collector.streams.resubscriptions == 0, venue
        gaps = [b for s in (btc, eth, doge) for b in fleet.consumer.bodies(key("gap", venue, s))]
        assert not gaps, f"{venue}: {gaps}"
        await _cut_when_set_back(venue, simulator, fleet)
        for symbol in (btc, eth, doge):
            await complete_trades(simulator, fleet, venue, symbol, f"{venue}, seed {SEED}")
        assert not fleet.collector.outbox.ledger.unbalanced(), venue


def _ahead(fleet: Fleet, venue: str, ms: int) -> bool:
    """Whether the newest stamps of all kinds are so far from our clock, and the books are right."""
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    names = [key(k, venue, s) for s in (btc, eth, doge) for k in ("ticker", "trades", "orderbook")]
    newest = [body for name in names for body in fleet.consumer.bodies(name)[-1:]]
    apart = (body["timestamp"] - body["received_at"] - ms for body in newest)
    return (
        len(newest) == len(names)
        and live(fleet, btc, eth, doge)
        and all(abs(one) < 2000 for one in apart)
    )


async def _cut_when_set_back(venue: str, simulator: Simulator, fleet: Fleet) -> None:
    """What is missing after a cut is older than the last trade before it, by the venue's clock."""
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    id_ = await simulator.fault(venue, "clock_skew", ms=120_000, seed=SEED)
    await eventually(lambda: _ahead(fleet, venue, 120_000), 30, f"{venue}: ahead", 0.1)
    await simulator.heal(id_)
    await eventually(lambda: _ahead(fleet, venue, 0), 30, f"{venue}: set back", 0.1)
    await simulator.fault(venue, "cut")
    await eventually(lambda: not live(fleet, btc), 5, f"{venue}: cut")
    gaps: Any = fleet.collector.continuity.gaps
    await eventually(lambda: live(fleet, btc, eth, doge) and not len(gaps), 40, f"{venue}: whole")


# --- bursts


@pytest.mark.deadline(150)
async def test_a_burst_costs_no_trade(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    play = partial(_burst, rate=250, seconds=4)
    for venue, figures in (await each_venue(play, broker_url, tmp_path, *RATES)).items():
        record_property(venue, figures)


@pytest.mark.long
@pytest.mark.deadline(300)
@pytest.mark.parametrize("venue", VENUES)
async def test_five_thousand_trades_a_second(
    venue: str,
    broker_url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    async with simulated_venues(tmp_path, *RATES) as simulator:
        figures = await _burst(venue, simulator, broker_url, tmp_path, rate=5000, seconds=10)
    record_property(venue, figures)


async def _burst(
    venue: str, simulator: Simulator, broker_url: str, directory: Path, rate: int, seconds: float
) -> dict[str, float]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    what = f"{venue}, {rate} a second, seed {SEED}"
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: live(fleet, btc, eth, doge), 40, f"{what}: all up")
        name, outbox = key("trades", venue, btc), fleet.collector.outbox
        await eventually(lambda: name in fleet.consumer.routing_keys(), 30, what)
        async with fleet.consumer.paused():
            await simulator.fault(venue, "burst", symbol=btc, rate=rate, seconds=seconds, seed=SEED)
            peak, end = 0, time.monotonic() + seconds + 1
            while time.monotonic() < end:
                peak = max(peak, outbox.pending)
                await asyncio.sleep(0.05)
            await eventually(lambda: outbox.pending < 50, 30, f"{what}: drained", 0.1)
        sent = await asyncio.to_thread(simulator.trades_sent, venue)
        await eventually(
            lambda: len(fleet.consumer.sequences(name)) >= len(sent[btc]), 20, f"{what}: come", 0.5
        )
        ids = [body["id"] for body in fleet.consumer.bodies(name)]
        assert len(ids) == len(set(ids)), f"{what}: trades came twice"
        missing = sent[btc] - set(ids)
        assert not missing, f"{what}: {len(missing)} did not come: {sorted(missing)[:10]}"
        assert not outbox.ledger.unbalanced(), what
        assert not outbox.ledger["trades"].dropped, f"{what}: {outbox.ledger.as_dict()}"
        assert peak <= PENDING_MAX, f"{what}: {peak} facts waited"
        assert fleet.collector.continuity.watchdog.alarms == 0, f"{what}: false alarms"
        for symbol in (eth, doge):
            await complete_trades(simulator, fleet, venue, symbol, what)
    return {"trades": len(ids), "pending_peak": peak}


# --- one book that breaks again and again


@pytest.mark.deadline(150)
async def test_a_book_that_breaks_each_second_costs_the_others_nothing(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    play = partial(_broken, times=7)
    for venue, figures in (await each_venue(play, broker_url, tmp_path, *RATES)).items():
        record_property(venue, figures)


@pytest.mark.long
@pytest.mark.deadline(300)
async def test_a_book_that_breaks_for_a_minute_costs_the_others_nothing(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    play = partial(_broken, times=60)
    for venue, figures in (await each_venue(play, broker_url, tmp_path, *RATES)).items():
        record_property(venue, figures)


async def _broken(
    venue: str, simulator: Simulator, broker_url: str, directory: Path, times: int
) -> dict[str, float]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    what = f"{venue}, seed {SEED}"
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: live(fleet, btc, eth, doge), 40, f"{what}: all up")
        names = [key("trades", venue, symbol) for symbol in (eth, doge)]
        await eventually(lambda: set(names) <= fleet.consumer.routing_keys(), 30, what)
        others, resyncs = Others(fleet, simulator, venue, eth, doge), fleet.collector.books.resyncs
        for number in range(times):
            await simulator.fault(venue, "drop_delta", symbol=btc, seed=SEED + number)
            await asyncio.sleep(1)
        share = await others.had(what)
        broken = fleet.collector.books.resyncs - resyncs
        assert broken >= 2, f"{what}: the book broke {broken} times"
        await eventually(lambda: live(fleet, btc), 70, f"{what}: right in the end")
    return {"others": share, "broken": broken}
