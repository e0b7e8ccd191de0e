import orjson
import pytest

from cli.board import Board, least_due
from shared.status import Heartbeat, MarketList, Statistics

BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"


def board() -> Board:
    return Board(exchanges=("binance", "htx"), symbols=(BTC, SOL))


def futures(board: Board, exchange: str, symbol: str = BTC, at: float = 1.0) -> None:
    ticker = {"bid": 1.0, "ask": 2.0, "last": 1.5}
    body = {"exchange": exchange, "symbol": symbol, "ticker": ticker}
    board.take(f"futures.{exchange}.X", orjson.dumps(body), at)


def markets(board: Board, exchange: str, *symbols: str) -> None:
    told = MarketList(exchange=exchange, worker="w", symbols=list(symbols))
    board.take(f"markets.collector.{exchange}.w", told.model_dump_json().encode(), 1.0)


def heartbeat(
    board: Board, exchange: str, errors: int = 0, failed: int = 0, epoch: str = "e1"
) -> None:
    beat = Heartbeat(
        role="collector",
        exchange=exchange,
        worker=f"{exchange}-0@h",
        epoch=f"{exchange}/{epoch}",
        state="running",
        sent_at=1,
        revision=None,
        statistics=Statistics(errors=errors, failed=failed),
    )
    board.take("heartbeat.collector.x.y", beat.model_dump_json().encode(), 1.0)


def test_a_venue_delivers_with_its_first_futures_message() -> None:
    seen = board()
    futures(seen, "binance")
    assert seen.delivering() == ["binance"] and not seen.all_delivering
    futures(seen, "htx")
    assert seen.all_delivering


def test_the_latest_values_and_their_time_are_kept() -> None:
    seen = board()
    futures(seen, "binance", at=7.0)
    cell = seen.cell("binance", BTC)
    assert (cell.futures, cell.last, cell.bid, cell.ask, cell.seen_at) == (1, 1.5, 1.0, 2.0, 7.0)


def test_trades_are_counted_by_their_key_alone() -> None:
    seen = board()
    seen.take("trades.htx.SOLUSDT", b"not even JSON", 1.0)
    seen.take("trades.htx.no-such-key-%", b"", 1.0)
    assert seen.cell("htx", SOL).trades == 1


def test_symbols_that_a_venue_does_not_list_are_not_expected() -> None:
    seen = board()
    assert seen.expected("htx") == [BTC, SOL]
    markets(seen, "htx", BTC, "ETH/USDT:USDT")
    assert seen.expected("htx") == [BTC]
    assert not seen.all_told
    markets(seen, "binance", BTC, SOL)
    assert seen.all_told


def test_only_what_comes_after_the_clock_started_counts() -> None:
    seen = board()
    for exchange in ("binance", "htx"):
        markets(seen, exchange, BTC)
        futures(seen, exchange)
    seen.start_counting()
    futures(seen, "binance")
    assert seen.shortcomings(least=1) == [f"htx {BTC}: 0 messages, at least 1 are due"]


def test_a_failed_symbol_cycle_fails_the_demo_whenever_it_was() -> None:
    seen = board()
    heartbeat(seen, "htx", errors=1)
    assert "htx: 1 errors counted" in seen.shortcomings(least=0)


def test_messages_refused_while_the_broker_was_starting_do_not_count() -> None:
    seen = board()
    heartbeat(seen, "htx", failed=2)
    seen.start_counting()
    assert seen.errors("htx") == 0
    heartbeat(seen, "htx", failed=3)  # the third came before the clock as well
    assert seen.errors("htx") == 0
    heartbeat(seen, "htx", failed=5)
    assert seen.errors("htx") == 2


def test_a_collector_that_starts_again_is_counted_from_its_start() -> None:
    seen = board()
    heartbeat(seen, "htx", failed=2)
    seen.start_counting()
    heartbeat(seen, "htx", failed=2)
    heartbeat(seen, "htx", failed=4, epoch="e2")
    assert seen.errors("htx") == 4


@pytest.mark.parametrize(("seconds", "least"), [(60, 10), (12, 1), (1, 1), (30, 4)])
def test_how_much_is_due_depends_on_the_time(seconds: float, least: int) -> None:
    assert least_due(seconds, interval_s=5) == least
