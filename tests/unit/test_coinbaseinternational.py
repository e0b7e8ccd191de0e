"""coinbaseinternational through our class: what it takes, refuses and ends, and what REST says."""

import asyncio
from typing import Any

import ccxt
import ccxt.pro
import orjson
import pytest

from simulator.happening import Rates
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import Venue, open_venue
from simulator.venues import DIALECTS
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind
from workers.collector.events import Acknowledged, Candle, Print, Quote
from workers.collector.readers import tickers
from workers.collector.venues.coinbaseinternational import Coinbaseinternational

NAME = "coinbaseinternational"
BTC, SYMBOL = "BTC_USDC-PERPETUAL", "BTC/USDC:USDC"
BOOK, CHART = f"book.{BTC}.100ms", f"chart.trades.{BTC}.60"
HOUR_MS = 3_600_000


class Asked(Coinbaseinternational):
    """Its requests are answered by a simulated venue, without a wire."""

    venue: Venue

    async def fetch2(self, path: str, api: Any = "public", *request: Any, **_: Any) -> Any:
        query = {name: str(value) for name, value in request[1].items()}
        kind = api[0] if isinstance(api, list) else api
        reply = self.venue.dialect.answer(f"/api/v2/{kind}/{path}", query)
        body, text = orjson.loads(reply.body), reply.body.decode()
        ccxts = ccxt.pro.coinbaseinternational.handle_errors
        ccxts(self, reply.status, "", "", "GET", {}, text, body, None, None)
        return body


@pytest.fixture
async def exchange() -> Any:
    made = Asked({"has": {"fetchCurrencies": False}, "options": CATALOGUE[NAME].options})
    made.venue = open_venue(DIALECTS[NAME], instruments(NAME, 2), 7, Rates(trade=50), Truth())
    yield made
    await made.close()


class Connection:
    """What ccxt keeps of one: requests by name, and who waits for them."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Any] = {}
        self.futures: dict[str, Any] = {}
        self.rejected: dict[str, Exception] = {}
        self.resolved: list[str] = []

    def asks(self, number: int, *names: str) -> None:
        self.subscriptions |= {name: {"id": number} for name in names}

    def reject(self, error: Exception, name: str) -> None:
        self.rejected[name] = error

    def resolve(self, _result: object, name: str) -> None:
        self.resolved.append(name)


def heard(exchange: Any, connection: Connection, frame: dict[str, Any]) -> list[Acknowledged]:
    """As frames pass that are no market data."""
    said = list(exchange.acknowledged(connection, frame))
    exchange.handle_error_message(connection, frame)
    return said


def test_what_was_taken_is_acknowledged_and_what_was_not_is_refused() -> None:
    exchange, connection = Coinbaseinternational({}), Connection()
    connection.asks(7, BOOK, CHART, f"quote.{BTC}", "trades.NO.100ms")
    connection.asks(8, f"trades.{BTC}.100ms")
    answer = {"id": 7, "result": [BOOK, CHART, f"quote.{BTC}"]}
    assert heard(exchange, connection, answer) == [
        Acknowledged(BTC, StreamKind.BOOK),
        Acknowledged(BTC, StreamKind.CANDLES, "1h"),
        Acknowledged(BTC, StreamKind.QUOTE),
    ]
    assert list(connection.rejected) == ["trades.NO.100ms"]
    assert isinstance(connection.rejected["trades.NO.100ms"], ccxt.ExchangeError)
    assert "trades.NO.100ms" not in connection.subscriptions
    assert heard(exchange, connection, {"id": 9, "result": [BOOK]}) == []
    assert heard(exchange, connection, {"result": []}) == []
    assert len(connection.rejected) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (10028, ccxt.RateLimitExceeded),
        (11051, ccxt.OnMaintenance),
        (13778, ccxt.ExchangeError),
    ],
)
def test_an_error_ends_the_wait_for_what_was_asked_with_it(code: int, expected: Any) -> None:
    exchange, connection = Coinbaseinternational({}), Connection()
    connection.asks(7, BOOK)
    connection.asks(8, CHART)
    frame = {"id": 7, "error": {"code": code, "message": "no"}}
    assert heard(exchange, connection, frame) == []
    assert type(connection.rejected[BOOK]) is expected
    assert list(connection.subscriptions) == [CHART]


@pytest.mark.parametrize("left", [[BOOK], []])
def test_an_end_that_is_answered_has_ended_and_acknowledges_nothing(left: list[str]) -> None:
    exchange, connection = Coinbaseinternational({}), Connection()
    connection.asks(6, BOOK)
    connection.asks(7, f"unsubscribe:{BOOK}")
    assert heard(exchange, connection, {"id": 7, "result": left}) == []
    assert connection.resolved == [f"unsubscribe:{BOOK}"]
    assert (connection.subscriptions, connection.rejected) == ({}, {})


async def test_a_length_of_candles_that_the_venue_lacks_is_not_asked_for(exchange: Any) -> None:
    for call in (exchange.watch_ohlcv(SYMBOL, "4h"), exchange.fetch_ohlcv(SYMBOL, "4h")):
        with pytest.raises(ccxt.NotSupported):
            await call


def test_a_quote_needs_both_sides_and_a_candle_has_its_length_from_the_channel() -> None:
    exchange = Coinbaseinternational({})
    quote = {"instrument_name": BTC, "timestamp": 9, "best_bid_price": 1.0, "best_bid_amount": 2.0}
    frame = {"params": {"channel": f"quote.{BTC}", "data": quote | {"best_ask_price": None}}}
    assert exchange.peel(frame) == ()
    frame["params"]["data"] = quote | {"best_ask_price": 3.0, "best_ask_amount": 4.0}
    assert exchange.peel(frame) == (Quote(BTC, 1.0, 3.0, 2.0, 4.0, None, 9),)
    candle = {"tick": 60_000, "open": 1, "high": 3, "low": 1, "close": 2, "volume": 5, "cost": 9}
    said = exchange.peel({"params": {"channel": CHART, "data": candle}})
    assert said == (Candle(BTC, "1h", 60_000, 1, 3, 1, 2, 5, None, None, 9),)


async def test_its_markets_count_in_base_currency(exchange: Any) -> None:
    markets = await exchange.load_markets(True)
    assert set(markets) == {SYMBOL, "ETH/USDC:USDC"}
    assert markets[SYMBOL]["contractSize"] == 1
    assert markets[SYMBOL]["info"]["contract_size"] == 0.001


async def test_one_request_brings_prices_rates_and_open_interests_of_all(exchange: Any) -> None:
    await exchange.load_markets(True)
    answer = await exchange.fetch_tickers()
    model = exchange.venue.markets[0]
    update, other = tickers(answer, None, model.now_ms)
    assert (update.symbol, other.symbol) == (SYMBOL, "ETH/USDC:USDC")
    assert (update.mark_price, update.index_price) == (model.mark, model.index)
    assert update.open_interest == model.base(model.open_interest)
    assert (update.funding_interval_h, update.next_funding_time) == (1, model.funding.next_ms)
    assert update.funding_rate == pytest.approx(model.funding.rate)
    assert update.day is not None
    assert (update.day.open, update.day.base_volume) == (None, model.base(model.day.volume))
    assert set(await exchange.fetch_tickers([SYMBOL])) == {SYMBOL}


async def test_trades_are_known_by_their_number_and_paged_by_it(exchange: Any) -> None:
    await exchange.load_markets(True)
    newest = await exchange.fetch_trades(SYMBOL, None, 20)
    numbers = [int(trade["id"]) for trade in newest]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    oldest = Print(BTC, newest[0]["id"], 1.0, 1.0, "buy", newest[0]["timestamp"])
    older = await exchange.fetch_older_trades(SYMBOL, oldest, 20)
    assert [int(trade["id"]) for trade in older] == list(range(numbers[0] - 20, numbers[0]))
    model = {trade.id: trade for trade in exchange.venue.markets[0].trades}
    assert newest[0]["amount"] == exchange.venue.markets[0].base(model[numbers[0]].size)
    since = older[5]["timestamp"]
    assert (await exchange.fetch_trades(SYMBOL, since, 3))[0]["timestamp"] == since


async def test_what_was_paid_in_an_hour_is_a_settlement(exchange: Any) -> None:
    await exchange.load_markets(True)
    model = exchange.venue.markets[0]
    since = model.now_ms - 5 * HOUR_MS
    rows = await exchange.fetch_funding_rate_history(SYMBOL, since, 744)
    expected = [(one.next_ms, one.rate) for one in model.settlements(since, model.now_ms)]
    assert [(row["timestamp"], row["fundingRate"]) for row in rows] == expected


async def test_candles_by_rest_have_their_quote_volume(exchange: Any) -> None:
    await exchange.load_markets(True)
    model = exchange.venue.markets[0]
    since = (model.now_ms // HOUR_MS - 3) * HOUR_MS
    rows = await exchange.fetch_ohlcv(SYMBOL, "1h", since, 3)
    assert [row[0] for row in rows] == [since + hour * HOUR_MS for hour in range(3)]
    first = model.candles.current(60, since // 60_000 + 59)
    assert rows[0][5:] == [model.base(first.volume), round(model.quote(first.turnover), 4)]


async def test_what_the_venue_does_not_know_is_not_listed(exchange: Any) -> None:
    await exchange.load_markets(True)
    exchange.venue.markets[0].delist()
    with pytest.raises(ccxt.BadSymbol):
        await exchange.fetch_ticker(SYMBOL)


def test_no_keys_lead_to_another_venue() -> None:
    """ccxt takes keys of these lengths for those of the platform behind it."""
    keys = {"apiKey": "k" * 8, "secret": "s" * 43}
    assert Coinbaseinternational(keys).is_native_deribit_credentials()
    pinned = Coinbaseinternational(keys | {"options": CATALOGUE[NAME].options})
    assert not pinned.is_native_deribit_credentials()


async def test_the_end_of_a_subscription_waits_for_its_answer(exchange: Any) -> None:
    await exchange.load_markets(True)
    asked: list[Any] = []

    def watch_multiple(_url: str, names: list[str], request: Any, *_: Any) -> Any:
        asked.append((names, request["method"], request["params"]))
        return asyncio.get_running_loop().create_future()

    exchange.watch_multiple = watch_multiple
    ending = asyncio.create_task(exchange.un_watch_order_book_for_symbols([SYMBOL]))
    await asyncio.sleep(0)
    assert asked == [([f"unsubscribe:{BOOK}"], "public/unsubscribe", {"channels": [BOOK]})]
    assert not ending.done()
    ending.cancel()
