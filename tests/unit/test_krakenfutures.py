"""krakenfutures: what ccxt leaves out of its words, and its questions."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.recording import Recording
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, Print
from workers.collector.venues.krakenfutures import KrakenFutures

BTC, ID = "BTC/USD:USD", "PF_XBTUSD"
ROW = CATALOGUE["krakenfutures"]


class Client:
    """ccxt's connection, as far as its bookkeeping goes."""

    def __init__(self, *subscriptions: str) -> None:
        self.subscriptions: dict[str, Any] = dict.fromkeys(subscriptions, True)
        self.futures = dict.fromkeys(subscriptions)
        self.rejected: list[str | None] = []
        self.resolved: list[str] = []
        self.error = None

    def reject(self, _error: Exception, name: str | None = None) -> None:
        self.rejected.append(name)

    def resolve(self, _answer: object, name: str) -> None:
        self.resolved.append(name)


@pytest.fixture
def exchange() -> Any:
    made: Any = KrakenFutures({})
    market = made.safe_market_structure({"id": ID, "symbol": BTC, "linear": True, "swap": True})
    made.set_markets([market | {"base": "BTC", "quote": "USD", "contractSize": 1.0}])
    recording = Recording()
    made.sink, made.clock, made.recording = recording.intake, recording.clock, recording
    return made


@pytest.mark.parametrize(
    ("feed", "kind"),
    [("ticker", StreamKind.QUOTE), ("trade", StreamKind.TRADES), ("book", StreamKind.BOOK)],
)
def test_an_acknowledgement_names_its_products(exchange: Any, feed: str, kind: StreamKind) -> None:
    frame = {"event": "subscribed", "feed": feed, "product_ids": [ID]}
    assert exchange.peel(frame) is None
    assert list(exchange.acknowledged(Client(), frame)) == [Acknowledged(ID, kind)]
    assert list(exchange.acknowledged(Client(), frame | {"event": "unsubscribed"})) == []


@pytest.mark.parametrize(("feed", "name"), [("book", "orderbook"), ("trade", "trade")])
def test_the_end_of_a_subscription_ends_that_one_alone(exchange: Any, feed: str, name: str) -> None:
    ended, other = f"{name}:{BTC}", f"ticker:{BTC}"
    client = Client(ended, f"unsubscribe:{ended}", other)
    exchange.handle_message(client, {"event": "unsubscribed", "feed": feed, "product_ids": [ID]})
    assert list(client.subscriptions) == [other]
    assert client.rejected == [ended]
    assert client.resolved == [f"unsubscribe:{ended}"]


async def test_what_is_sent_to_end_a_subscription(exchange: Any) -> None:
    sent: list[Any] = []

    async def watch_multiple(url: str, hashes: Any, request: Any, subscribed: Any) -> None:
        sent.append((url, hashes, request, subscribed))

    exchange.watch_multiple = watch_multiple
    for stream in ROW.streams.values():
        assert stream.unwatch.listed
        await getattr(exchange, stream.unwatch.method)([BTC])
    asked = [request for _, _, request, _ in sent]
    assert {request["feed"] for request in asked} == {"ticker", "trade", "book"}
    assert all(r["event"] == "unsubscribe" and r["product_ids"] == [ID] for r in asked)
    # By ccxt's own name of what was watched, else it would be taken for subscribed ever after.
    watched = {f"{name}:{BTC}" for name in ("ticker", "trade", "orderbook")}
    assert {hashes[0].removeprefix("unsubscribe:") for _, hashes, _, _ in sent} == watched


def test_an_alert_ends_no_stream_and_is_kept(exchange: Any) -> None:
    client = Client(f"trade:{BTC}", f"ticker:{BTC}")
    exchange.handle_message(client, {"event": "alert", "message": "Invalid product id"})
    assert client.rejected == []
    assert exchange.recording.quarantine.counts == {"frame": 1}
    for benign in ("Already subscribed to feed, re-requesting", "Not subscribed to feed"):
        exchange.handle_message(client, {"event": "alert", "message": benign})
    assert exchange.recording.quarantine.counts == {"frame": 1}
    assert len(client.subscriptions) == 2


def test_what_had_ended_already_is_not_waited_for(exchange: Any) -> None:
    """Commands are answered in their order: the alert is about the first one."""
    first, second = f"unsubscribe:trade:{BTC}", f"unsubscribe:orderbook:{BTC}"
    client = Client(f"orderbook:{BTC}", f"trade:{BTC}", first, second)
    exchange.handle_message(client, {"event": "alert", "message": "Not subscribed to feed"})
    assert client.resolved == [first]
    assert client.rejected == [f"trade:{BTC}"]
    assert list(client.subscriptions) == [f"orderbook:{BTC}", second]


async def test_older_trades_are_those_up_to_the_oldest_one(exchange: Any) -> None:
    asked: list[Any] = []

    async def history(query: dict[str, Any]) -> Any:
        asked.append(query)
        return {"history": []}

    exchange.publicGetHistory = history
    exchange.options = exchange.deep_extend(exchange.options, ROW.options)
    oldest = Print(ID, "u", 1.0, 1.0, "buy", 1_795_370_772_409)
    assert await exchange.fetch_older_trades(BTC, oldest, 100) == []
    assert asked == [{"symbol": ID, "lastTime": "2026-11-22T18:06:12.410Z"}]
    assert await exchange.fetch_older_trades(BTC, oldest._replace(timestamp=None), 100) == []
    assert len(asked) == 1


@pytest.mark.parametrize("form", ["2026-11-22T{:02}:00:00.000Z", "2026-11-22T{:02}:00:00Z"])
async def test_of_all_settlements_only_those_asked_for_are_read(exchange: Any, form: str) -> None:
    """As ccxt would give them."""
    rows = [
        {"timestamp": form.format(hour), "fundingRate": 5.0, "relativeFundingRate": hour / 1e6}
        for hour in (3, 2, 1, 0, 4)
    ]

    async def rates(_query: dict[str, Any]) -> Any:
        return {"rates": [dict(row) for row in rows]}

    exchange.publicGetHistoricalfundingrates = rates
    theirs = super(KrakenFutures, exchange).fetch_funding_rate_history
    at = exchange.parse8601(form.format(2))
    for since, limit in ((at, 100), (at + 1, 100), (at, 2), (None, 2), (None, None)):
        found = await exchange.fetch_funding_rate_history(BTC, since, limit)
        assert found == await theirs(BTC, since, limit)
    read: list[Any] = []
    exchange.parse8601 = lambda text: read.append(text) or 1  # type: ignore[func-returns-value]
    await exchange.fetch_funding_rate_history(BTC, at, 100)
    assert len(read) == 3


async def test_one_question_has_tickers_and_relative_funding_rates(exchange: Any) -> None:
    row = {
        "symbol": ID,
        "last": 64_000,
        "lastTime": "2026-11-22T18:06:12.409Z",
        "markPrice": 64_000,
        "fundingRate": 6.4,
        "openInterest": 12.5,
    }

    async def tickers() -> Any:
        return {"tickers": [row, {"symbol": "in_xbtusd", "last": 64_000}]}

    exchange.publicGetTickers = tickers
    (said,) = await exchange.fetch_tickers_and_funding()
    assert (said["symbol"], said["openInterestAmount"], said["timestamp"]) == (BTC, 12.5, None)
    assert said["funding"]["fundingRate"] == pytest.approx(0.0001)
    assert (said["funding"]["interval"], said["funding"]["timestamp"]) == ("1h", None)


async def test_inverse_and_dated_contracts_are_left_out(exchange: Any) -> None:
    dated = "2026-12-25T16:00:00.000Z"
    rows = [
        {"symbol": "PF_ETHUSD", "type": "flexible_futures"},
        {"symbol": "PI_XBTUSD", "type": "futures_inverse"},
        {"symbol": "FF_XBTUSD_261225", "type": "flexible_futures", "lastTradingTime": dated},
    ]
    more = {"tradeable": True, "contractSize": 1, "tickSize": 0.1}

    async def instruments(_params: Any) -> Any:
        return {"instruments": [row | more | {"contractValueTradePrecision": 3} for row in rows]}

    exchange.publicGetInstruments = instruments
    assert [market["symbol"] for market in await exchange.fetch_markets()] == ["ETH/USD:USD"]


def test_a_market_without_a_bid_has_no_quote(exchange: Any) -> None:
    frame = {"feed": "ticker", "product_id": ID, "time": 9, "ask": 2, "ask_size": 1, "last": 2}
    assert exchange.peel(frame) == ()
    assert exchange.peel(frame | {"bid": 0}) == ()


def test_a_lite_ticker_and_heartbeats_are_not_ours() -> None:
    exchange: Any = KrakenFutures({})
    assert exchange.peel({"feed": "ticker_lite", "product_id": ID}) is None
    assert exchange.peel({"feed": "heartbeat", "time": 1}) is None
    connection = SimpleNamespace(subscriptions={f"orderbook:{BTC}": True})
    market = SimpleNamespace(id=ID, symbol=BTC)
    assert exchange.carries(connection, StreamKind.BOOK, market)
