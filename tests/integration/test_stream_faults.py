"""Streams that are cut, fall silent, repeat themselves or hang: noticed, repaired, accounted for."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.universe import quote_of
from tests.collecting import Fleet, collecting, each_venue
from tests.venues import Simulator, listed
from tests.waiting import eventually
from workers.collector.catalogue.row import StreamKind, Subscription

BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"
#: Venues whose best prices come with their tickers.
TICKER_QUOTES = ("bybit", "bitget", "krakenfutures")
RATES = ("--ticker-rate", "5", "--book-rate", "5", "--trade-rate", "4", "--symbols", "4")


@dataclass(frozen=True)
class Case:
    """A fault, the stream that has to be missed, and the bars in seconds."""

    parameters: dict[str, Any]
    kind: StreamKind
    noticed_s: float
    recovered_s: float

    @property
    def name(self) -> str:
        channel = self.parameters.get("channel", "")
        return f"{self.parameters['fault']} {channel}".strip()


def stream(fault: str, kind: StreamKind, channel: str, **parameters: Any) -> Case:
    noticed_s = 10.0 if fault == "stuck" else 7.0
    parameters |= {"fault": fault, "symbol": BTC, "channel": channel}
    return Case(parameters, kind, noticed_s, 15.0)


CASES = (
    Case({"fault": "cut"}, StreamKind.TRADES, 1.0, 3.0),
    Case({"fault": "close", "code": 1012}, StreamKind.TRADES, 1.0, 3.0),
    stream("silent", StreamKind.TRADES, "trades", until="resubscribe"),
    stream("silent", StreamKind.QUOTE, "quote", until="resubscribe"),
    stream("silent", StreamKind.BOOK, "book", until="reconnect"),
    stream("stuck", StreamKind.QUOTE, "quote", until="resubscribe"),
    stream("stuck", StreamKind.TRADES, "trades", until="resubscribe"),
    Case({"fault": "half_open", "seconds": 60}, StreamKind.QUOTE, 15.0, 15.0),
)


class Ear:
    """When streams were missed, and when they spoke again."""

    def __init__(self, fleet: Fleet) -> None:
        self.lost: list[tuple[Subscription, float]] = []
        collector: Any = fleet.collector
        self._venue: str = collector.row.name
        for owner, name in (
            (collector.streams, "on_lost"),
            (collector.continuity.watchdog, "on_alarm"),
        ):
            before: Callable[[Subscription, str], None] = getattr(owner, name)
            setattr(owner, name, self._heard(before))

    def _heard(
        self, before: Callable[[Subscription, str], None]
    ) -> Callable[[Subscription, str], None]:
        def heard(stream: Subscription, reason: str) -> None:
            self.lost.append((stream, time.monotonic()))
            before(stream, reason)

        return heard

    def since(self, kind: StreamKind, moment: float) -> float | None:
        wanted = Subscription(kind, listed(self._venue, BTC))
        found = [at for s, at in self.lost if s == wanted and at >= moment]
        return min(found, default=None)


@pytest.mark.deadline(240)
async def test_every_break_of_a_stream_is_noticed_and_costs_no_trade(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    played = await each_venue(_play, broker_url, tmp_path, *RATES)
    for venue, figures in played.items():
        record_property(venue, figures)


async def _play(
    venue: str, simulator: Simulator, broker_url: str, directory: Path
) -> dict[str, list[float]]:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    figures: dict[str, list[float]] = {}
    async with collecting(venue, config, broker_url, directory) as fleet:
        await _all_up(fleet, venue, 40)
        ear = Ear(fleet)
        for case in CASES:
            figures[case.name] = await _case(venue, simulator, fleet, ear, case)
        await eventually(lambda: not _open_trades(fleet), 30, f"{venue}: trades repaired")
        missing = await _missing(venue, simulator, fleet)
        assert not missing, f"{venue}: {missing}"
        for name in ("unbalanced",):
            assert all(name not in c for c in fleet.collector.outbox.ledger.as_dict().values())
    return figures


async def _case(
    venue: str, simulator: Simulator, fleet: Fleet, ear: Ear, case: Case
) -> list[float]:
    """Seconds until the fault was noticed, and from there until the stream was back."""
    btc = listed(venue, BTC)
    what = f"{venue}: {case.name}"
    began = time.monotonic()
    parameters = dict(case.parameters)
    if "symbol" in parameters:
        parameters["symbol"] = listed(venue, parameters["symbol"])
    if parameters.get("channel") == "quote" and venue in TICKER_QUOTES:
        parameters["channel"] = "ticker"
    id_ = await simulator.fault(venue, **parameters)
    await eventually(
        lambda: ear.since(case.kind, began) is not None, case.noticed_s + 5, f"{what} noticed"
    )
    noticed = ear.since(case.kind, began)
    assert noticed is not None
    assert noticed - began <= case.noticed_s, f"{what} noticed after {noticed - began:.1f} s"
    parts = fleet.collector.intake.parts[btc]

    def back() -> bool:
        return parts.pulses[case.kind].progress_at > noticed and (
            case.kind is not StreamKind.BOOK or _valid(parts)
        )

    await eventually(back, case.recovered_s + 15, f"{what} recovered")
    recovered_s = time.monotonic() - noticed
    assert recovered_s <= case.recovered_s, f"{what} recovered after {recovered_s:.1f} s"
    if case.parameters["fault"] not in ("cut", "close"):
        await simulator.heal(id_)
    await _all_up(fleet, venue, 20)
    return [round(noticed - began, 2), round(recovered_s, 2)]


def _valid(parts: Any) -> bool:
    return parts.book is not None and parts.book.source == "stream"


async def _all_up(fleet: Fleet, venue: str, timeout_s: float) -> None:
    def up() -> bool:
        parts = fleet.collector.intake.parts.values()
        return len(parts) == 3 and all(
            _valid(one) and not one.waiting & set(one.pulses) for one in parts
        )

    await eventually(up, timeout_s, f"{venue}: all streams run")


def _open_trades(fleet: Fleet) -> list[str]:
    return [
        g.symbol for p, g in fleet.collector.continuity.gaps._open.items() if g.kind == "trades"
    ]


async def _missing(venue: str, simulator: Simulator, fleet: Fleet) -> dict[str, set[str]]:
    """Trades that happened and did not come, once they had the time; none came twice."""
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    found = {}
    for symbol in (btc, eth, doge):
        market_id = fleet.collector.client.markets[symbol].id
        happened = [str(t["id"]) for t in await simulator.trades(venue, market_id)]
        key = f"trades.{venue}.{symbol.split('/')[0]}{quote_of(venue)}"

        def got(key: str = key) -> list[str]:
            return [body["id"] for body in fleet.consumer.bodies(key)]

        first = got()[0]
        since = happened[happened.index(first) :] if first in happened else happened
        if venue == "okx":  # a frame stands for all its fills
            since = [i for i in since if i in set(got())] or since
        for _ in range(100):
            if set(since) <= set(got()):
                break
            await asyncio.sleep(0.1)
        assert len(got()) == len(set(got())), f"{venue} {symbol}: trades came twice"
        if left := set(since) - set(got()):
            found[symbol] = left
    return found


@pytest.mark.deadline(180)
async def test_a_quiet_market_raises_no_alarm(broker_url: str, tmp_path: Path) -> None:
    await _quiet(broker_url, tmp_path, 30)


@pytest.mark.long
@pytest.mark.deadline(1000)
async def test_a_quiet_market_raises_no_alarm_for_long(broker_url: str, tmp_path: Path) -> None:
    await _quiet(broker_url, tmp_path, 600)


async def _quiet(broker_url: str, directory: Path, seconds: float) -> None:
    """Something happens every ten to thirty seconds."""
    rates = ("--ticker-rate", "0.1", "--book-rate", "0.07", "--trade-rate", "0.03")
    await each_venue(
        partial(_calm, seconds=seconds), broker_url, directory, *rates, "--symbols", "4"
    )


async def _calm(
    venue: str, simulator: Simulator, broker_url: str, directory: Path, seconds: float
) -> None:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    config = simulator.config((venue,), symbols=[btc, eth, doge])
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: fleet.collector.state == "running", 30)
        await asyncio.sleep(seconds)
        assert fleet.collector.continuity.watchdog.alarms == 0, venue
        assert fleet.collector.streams.resubscriptions == 0, venue
