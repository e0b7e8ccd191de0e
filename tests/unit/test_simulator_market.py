"""The market model: deterministic, never crossed, and its deltas say what happened."""

from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.book import Book, View, difference
from simulator.candles import Candle, ChinaSpan, bucket
from simulator.checksum import checksum
from simulator.happening import Event, Rates, Trade, Trigger
from simulator.market import Market
from simulator.universe import LISTINGS, VENUES, instruments

START_MS = 1_795_000_000_000
RATES = Rates(ticker=50, book=10, trade=20)


def market(venue: str = "binance", seed: int = 7, index: int = 0) -> Market:
    return Market(instruments(venue)[index], seed, RATES, START_MS)


def trades(made: Market, seconds: int) -> list[Trade]:
    events = made.advance(START_MS + seconds * 1000)
    return [event.trade for event in events if event.trade is not None]


def test_the_same_seed_gives_the_same_trades() -> None:
    first = trades(market(), 10)
    assert len(first) > 200
    assert first == trades(market(), 10)
    assert first != trades(market(seed=8), 10)


def test_sleeping_changes_neither_trades_nor_prices() -> None:
    watched, asleep = market(), market()
    seen = trades(watched, 10)
    asleep.catch_up(START_MS + 10_000)
    assert list(asleep.trades) == seen
    assert asleep.book.update_id == watched.book.update_id
    assert asleep.book.best_bid == watched.book.best_bid


def test_the_book_is_deep_and_never_crossed() -> None:
    for index in range(len(LISTINGS)):
        made = market(index=index)
        for _ in made.advance(START_MS + 20_000):
            assert made.book.best_bid < made.book.best_ask
        assert min(len(made.book.bids), len(made.book.asks)) >= 1000
        assert made.book.bids[0] > 0
        assert all(size > 0 for size in made.book.sizes.values())


def test_ids_only_grow() -> None:
    made = market()
    ids, stirs = [], []
    for event in made.advance(START_MS + 5_000):
        ids.append(made.book.update_id)
        if event.trigger is Trigger.BOOK:
            stirs.append(made.stirs)
    assert all(a < b or a == b for a, b in pairwise(ids))
    assert [b - a for a, b in pairwise(stirs)] == [1] * (len(stirs) - 1)
    dense = [trade.id for trade in made.trades]
    assert dense == list(range(dense[0], dense[0] + len(dense)))


def test_fills_make_up_their_trade() -> None:
    made = market()
    found = trades(made, 30)
    assert all(sum(trade.fills) == trade.size and min(trade.fills) > 0 for trade in found)
    for earlier, later in pairwise(found):
        assert later.first_fill == earlier.first_fill + len(earlier.fills)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    depth=st.sampled_from([1, 20, 50, 100, 200]),
    rounds=st.lists(st.integers(1, 40), min_size=1, max_size=12),
)
def test_deltas_of_a_view_rebuild_it(seed: int, depth: int, rounds: list[int]) -> None:
    made = market(seed=seed)
    events = made.advance(START_MS + 600_000)
    client = made.book.view(depth)
    pushed = dict(client)
    for count in rounds:
        _pull(events, count)
        now = made.book.view(depth)
        _apply(client, difference(pushed, now))
        pushed = now
        assert client == now


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rounds=st.lists(st.integers(1, 60), min_size=1, max_size=10))
def test_changes_since_an_id_rebuild_the_whole_book(seed: int, rounds: list[int]) -> None:
    made = market(seed=seed)
    events = made.advance(START_MS + 600_000)
    client, at = dict(made.book.sizes), made.book.update_id
    for count in rounds:
        _pull(events, count)
        _apply(client, made.book.changed_since(at))
        at = made.book.update_id
        assert client == made.book.sizes


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(0, 5)), max_size=200))
def test_a_book_stays_sorted_and_counts_its_changes(changes: list[tuple[int, int]]) -> None:
    book = Book({}, 100)
    model: View = {}
    count = 0
    for key, size in changes:
        count += bool(size) or key in model
        _apply(model, {key: size})
        book.set(key, size)
    assert book.sizes == model
    assert book.bids == sorted(key for key in model if key > 0)
    assert book.asks == sorted(key for key in model if key < 0)
    assert book.update_id == 100 + count


def test_touches_outside_the_journal_are_never_claimed() -> None:
    book = Book({10: 1, -11: 1}, 5)
    book.set(10, 2)
    book.skip(7)
    assert book.update_id == 13
    assert book.changed_since(13) == {}


def test_the_checksum_is_the_venues_formula() -> None:
    text = b"1.1:5:1.2:6:1.0:7:1.3:8:0.9:9"
    expected = crc32(text)
    expected -= (1 << 32) * (expected >= 1 << 31)
    bids = [["1.1", "5"], ["1.0", "7"], ["0.9", "9"]]
    assert checksum(bids, [["1.2", "6"], ["1.3", "8"]]) == expected


def test_candles_add_up() -> None:
    made = market()
    found = trades(made, 180)
    minute = made.candles.last.minute
    spans = made.candles.spans(5, minute - 59, minute, 100)
    singles = made.candles.spans(1, spans[0].minute, minute, 1000)
    assert sum(c.volume for c in spans) == sum(c.volume for c in singles)
    assert [c.minute for c in spans] == sorted({bucket(c.minute, 5) for c in singles})
    assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in spans)
    assert made.candles.last.close == found[-1].price


def test_the_day_is_the_last_1440_minutes() -> None:
    made = market()
    trades(made, 120)
    minute = made.candles.last.minute
    singles: list[Candle] = made.candles.spans(1, minute - 1439, minute, 1440)
    assert len(singles) == 1440
    assert made.day.volume == sum(candle.volume for candle in singles)
    assert made.day.high == max(candle.high for candle in singles)
    assert made.day.close == made.last


def test_each_venue_lists_its_own() -> None:
    bases = {venue: {one.base for one in instruments(venue)} for venue in VENUES}
    everywhere = set.intersection(*bases.values())
    assert {"BTC", "ETH", "DOGE"} <= everywhere
    assert [venue for venue in VENUES if "币安人生" not in bases[venue]] == ["krakenfutures"]
    assert "SOL" not in bases["htx"]
    assert sum(len(LISTINGS) - len(found) for found in bases.values()) == 5


def test_each_venue_quotes_in_a_dollar_of_its_own() -> None:
    found = {venue: instruments(venue, 2)[0] for venue in VENUES}
    ids = {venue: one.id for venue, one in found.items()}
    assert (ids["binance"], ids["htx"], ids["gate"]) == ("BTCUSDT", "BTC-USDT", "BTC_USDT")
    assert (ids["okx"], ids["krakenfutures"]) == ("BTC-USDT-SWAP", "PF_XBTUSD")
    assert ids["coinbaseinternational"] == "BTC_USDC-PERPETUAL"
    quotes = dict.fromkeys(VENUES, "USDT")
    quotes |= {"krakenfutures": "USD", "coinbaseinternational": "USDC"}
    assert {venue: one.quote for venue, one in found.items()} == quotes
    assert {venue: one.symbol for venue, one in found.items()} == {
        venue: f"BTC/{quote}:{quote}" for venue, quote in quotes.items()
    }
    hourly = {venue for venue, one in found.items() if one.funding_hours == 1}
    assert hourly == {"krakenfutures", "coinbaseinternational"}


def test_beyond_the_table_symbols_are_made_up() -> None:
    many = instruments("binance", len(LISTINGS) + 13)
    assert len({one.id for one in many}) == len(LISTINGS) + 13
    assert many[: len(LISTINGS)] == instruments("binance")
    made = Market(many[-1], 7, RATES, START_MS)
    trades(made, 20)
    assert made.last > 0


def _pull(events: object, count: int) -> None:
    for _ in range(count):
        event = next(events)  # type: ignore[call-overload]
        assert isinstance(event, Event)


def _apply(view: View, changes: View) -> None:
    for key, size in changes.items():
        if size:
            view[key] = size
        else:
            view.pop(key, None)


def test_liquidations_come_as_trades_first() -> None:
    made = Market(instruments("okx")[0], 7, Rates(trade=5, liquidation=60), START_MS)
    events = list(made.advance(START_MS + 60_000))
    forced = [n for n, event in enumerate(events) if event.trigger is Trigger.LIQUIDATION]
    assert 30 < len(forced) < 150
    for number in forced:
        assert events[number - 1].trigger is Trigger.TRADE
        assert events[number - 1].trade is events[number].trade


def test_without_a_rate_there_are_no_liquidations() -> None:
    made = Market(instruments("okx")[0], 7, Rates(liquidation=0), START_MS)
    triggers = {event.trigger for event in made.advance(START_MS + 600_000)}
    assert triggers == set(Trigger) - {Trigger.LIQUIDATION}


def test_a_settled_rate_is_the_same_whoever_asks_and_whenever() -> None:
    rates = Rates(funding_minutes=2)
    early, late = (Market(instruments("gate")[0], 7, rates, START_MS + n) for n in (0, 33_000))
    early.catch_up(START_MS + 300_000)
    late.catch_up(START_MS + 900_000)
    known = early.settlements(START_MS - 3_600_000, START_MS + 300_000)
    assert len(known) == 32
    assert late.settlements(known[0].next_ms, known[-1].next_ms) == known
    assert late.funding.next_ms - late.settlements(0, late.now_ms)[-1].next_ms == 120_000
    assert known[-1].next_ms <= early.now_ms


def test_a_settlement_is_the_rate_that_was_shown_for_it() -> None:
    made = Market(instruments("okx")[0], 7, Rates(funding_minutes=1), START_MS)
    made.catch_up(START_MS + 59_999)
    shown = made.funding
    made.catch_up(shown.next_ms)
    settled = made.settlements(shown.next_ms, made.now_ms)[0]
    assert settled.rate == pytest.approx(shown.rate, rel=0.05)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_corrected_candle_changes_two_seconds_after_its_close(share: float) -> None:
    rates = Rates(trade=20, liquidation=0, candle_corrections=share)
    made = Market(instruments("binance")[0], 7, rates, START_MS)
    minute = START_MS // 60_000 + 1
    closed_ms = (minute + 1) * 60_000
    made.catch_up(closed_ms + 1000)
    streamed = made.candles.current(1, minute)
    made.catch_up(closed_ms + 5000)
    later = made.candles.current(1, minute)
    assert 3 * share >= later.volume - streamed.volume >= share
    assert (later.open, later.high, later.low, later.close) == (
        streamed.open,
        streamed.high,
        streamed.low,
        streamed.close,
    )
    made.catch_up(closed_ms + 50_000)
    assert made.candles.current(1, minute) == later


def test_a_followed_market_remembers_its_trades() -> None:
    followed, other = market(), market()
    followed.follow()
    for made in (followed, other):
        made.catch_up(START_MS + 300_000)
    assert len(other.trades) == 2000
    assert len(followed.trades) > 6000
    assert list(followed.trades)[-2000:] == list(other.trades)


def test_china_days_open_at_four_in_the_afternoon() -> None:
    minute = START_MS // 60_000
    assert bucket(minute, ChinaSpan(1440)) % 1440 == 960
    assert bucket(minute, 1440) % 1440 == 0
    assert bucket(minute, ChinaSpan(10_080)) == bucket(minute, 10_080) - 480


def test_okx_counts_fractions_of_contracts() -> None:
    made = market("okx")
    assert made.instrument.id == "BTC-USDT-SWAP"
    assert made.lots_text(812) == "8.12"
    assert made.base(812) == 0.0812
