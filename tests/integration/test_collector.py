"""A collector against simulated venues and a real broker, judged by the venue's own log."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.broker_node import Node
from shared.messages import FuturesData, Message, Orderbook, Ticker, Trade
from shared.status import MAX_HEARTBEAT_BYTES
from simulator.universe import quote_of
from tests.collecting import Consumer, collecting
from tests.venues import VENUES, Simulator, listed, simulated_venues
from tests.waiting import eventually
from workers.collector.heartbeat import heartbeat

#: A command there takes 300 ms, so that to unsubscribe takes seconds.
SLOWLY_TOLD = ("coinbaseinternational",)
#: One subscription to it brings all symbols.
OF_ALL_SYMBOLS = "liquidation-orders"
BTC, ETH, DOGE = "BTC/USDT:USDT", "ETH/USDT:USDT", "DOGE/USDT:USDT"


@pytest.fixture(scope="module")
async def simulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Simulator]:
    async with simulated_venues(tmp_path_factory.mktemp("venues")) as server:
        yield server


@pytest.mark.parametrize("venue", VENUES)
async def test_symbols_are_added_and_removed_at_the_venue_itself(
    venue: str, simulator: Simulator, broker_url: str, tmp_path: Path
) -> None:
    btc, eth, doge = (listed(venue, one) for one in (BTC, ETH, DOGE))
    quote = quote_of(venue)
    config = simulator.config((venue,), symbols=[btc, eth])
    async with collecting(venue, config, broker_url, tmp_path) as fleet:
        consumer = fleet.consumer
        wanted = {
            f"{kind}.{venue}.{key}{quote}"
            for kind in ("futures", "ticker", "orderbook", "trades")
            for key in ("BTC", "ETH")
        }
        await eventually(lambda: wanted <= consumer.routing_keys(), 25, "all kinds of both symbols")

        left = time.time_ns()
        await fleet.announce(venue, [btc, doge])
        await eventually(
            lambda: f"futures.{venue}.DOGE{quote}" in consumer.routing_keys(), 12, "DOGE"
        )

        async def only_wanted() -> bool:
            by_symbol = await simulator.subscriptions(venue)
            single = {s for s, channels in by_symbol.items() if set(channels) - {OF_ALL_SYMBOLS}}
            return single == {btc, doge}

        await eventually(only_wanted, 5, "the venue was told to stop ETH")
        ended = time.time_ns()
        await asyncio.sleep(1)
        late = [e for e in simulator.events(venue, "sent") if e["t"] > ended]
        of_eth = [e for e in late if e["symbol"] == eth and e["channel"] != OF_ALL_SYMBOLS]
        assert of_eth[5:] == []

        again = time.time_ns()
        await fleet.announce(venue, [btc, eth, doge])
        before = consumer.count(f"trades.{venue}.ETH{quote}")
        await eventually(
            lambda: consumer.count(f"trades.{venue}.ETH{quote}") > before, 10, "ETH again"
        )
    for key in (btc, doge):
        _check_messages(consumer, venue, key)
    unwanted = set[str]()
    if venue in SLOWLY_TOLD:  # those of ETH that came while nobody wanted it
        unwanted = simulator.trades_sent(venue, left, again).get(eth, set())
    _check_trades(consumer, simulator, venue, unwanted)
    assert fleet.collector.cycle.errors == 0
    assert fleet.collector.quarantine.total == 0
    assert fleet.collector.books.resyncs == 0
    beat = heartbeat(fleet.collector)
    assert len(beat.model_dump_json()) < MAX_HEARTBEAT_BYTES / 2, beat
    assert beat.details["process"]["tasks"] > 0
    for counts in fleet.collector.outbox.ledger.as_dict().values():
        assert "dropped" not in counts or not counts["dropped"]
        assert "in_flight" not in counts


def _check_messages(consumer: Consumer, venue: str, symbol: str) -> None:
    """Each body is one of its model; each key's sequence has no hole."""
    key = symbol.split("/")[0] + quote_of(venue)
    models: dict[str, type[Message]] = {
        "futures": FuturesData,
        "ticker": Ticker,
        "orderbook": Orderbook,
        "trades": Trade,
    }
    for kind, model in models.items():
        bodies = consumer.bodies(f"{kind}.{venue}.{key}")
        assert bodies
        for body in bodies:
            model.model_validate(body)
            assert (body["exchange"], body["symbol"]) == (venue, symbol)
        # Of trades, what waited on disk while the broker was slow comes behind newer ones.
        numbers = consumer.sequences(f"{kind}.{venue}.{key}")
        numbers = sorted(numbers) if kind == "trades" else numbers
        assert numbers == list(range(1, len(numbers) + 1))
    data = consumer.bodies(f"futures.{venue}.{key}")[-1]
    assert data["funding_rate"] is not None
    assert data["mark_price"] is not None
    assert data["next_funding_time"] > data["timestamp"]
    assert data["ticker"]["volume_24h"] > 0
    top = consumer.bodies(f"orderbook.{venue}.{key}")[-1]
    assert len(top["bids"]) == len(top["asks"]) == 20


def _check_trades(consumer: Consumer, simulator: Simulator, venue: str, unwanted: set[str]) -> None:
    """Every trade that the venue sent while we were subscribed arrived, once."""
    sent = simulator.trades_sent(venue)
    assert sent
    for symbol, ids in sent.items():
        bodies = consumer.bodies(f"trades.{venue}.{symbol.split('/')[0]}{quote_of(venue)}")
        received = [body["id"] for body in bodies]
        assert len(received) == len(set(received))
        # Frames of the last moments may have met a stopping collector.
        missing = ids - set(received) - unwanted
        assert len(missing) <= 3, (symbol, missing)
        assert set(received) <= ids


async def test_a_restart_continues_where_it_ended(
    simulator: Simulator, broker_url: str, tmp_path: Path
) -> None:
    config = simulator.config(("bybit",), symbols=[BTC])
    async with collecting("bybit", config, broker_url, tmp_path) as fleet:
        await eventually(lambda: fleet.consumer.bodies("trades.bybit.BTCUSDT"), 10)
        await fleet.announce("bybit", [DOGE])
        await eventually(lambda: fleet.consumer.bodies("trades.bybit.DOGEUSDT"), 10)
    last = fleet.consumer.sequences("trades.bybit.DOGEUSDT")[-1]
    epoch = fleet.collector.epoch
    async with collecting("bybit", config, broker_url, tmp_path) as fleet:
        await eventually(lambda: fleet.consumer.bodies("trades.bybit.DOGEUSDT"), 10)
        assert fleet.consumer.bodies("trades.bybit.BTCUSDT") == []
        first = next(m for m in fleet.consumer.messages if m.routing_key == "trades.bybit.DOGEUSDT")
    assert first.headers["seq"] == 1
    assert first.headers["prev_epoch"] == epoch
    assert first.headers["prev_seq"] == last


@pytest.mark.deadline(90)
async def test_a_frozen_broker_ends_no_collector_and_costs_no_trade(
    simulator: Simulator, broker_node: Node, tmp_path: Path
) -> None:
    """Longer than a publish or a heartbeat may take."""
    config = simulator.config(("gate",), symbols=[BTC])
    async with collecting("gate", config, broker_node.amqp_url, tmp_path) as fleet:
        await eventually(lambda: fleet.consumer.bodies("trades.gate.BTCUSDT"), 15)
        first = fleet.consumer.bodies("trades.gate.BTCUSDT")[0]["id"]
        kept = await fleet.keep("trades.gate.BTCUSDT")
        await asyncio.to_thread(broker_node.freeze)
        await asyncio.sleep(8)
        await asyncio.to_thread(broker_node.thaw)
        await eventually(lambda: fleet.collector.outbox.connected, 30, "publishing again")
        await asyncio.sleep(2)
        assert not fleet.running.done()
    received = await kept()
    sent = {i for i in simulator.trades_sent("gate")[BTC] if int(i) > int(first)}
    assert len(sent) > 15
    # Frames of the first and last moments may have met a queue or a socket that was not there.
    assert len(sent - set(received)) <= 4
    ids = sorted(map(int, set(received)))
    assert ids == list(range(ids[0], ids[-1] + 1))
