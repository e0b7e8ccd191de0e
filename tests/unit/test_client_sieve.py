"""What the client library hands out: each fact once, no older value behind a newer one."""

from typing import Any

import orjson
import pytest

from futures_fleet.message import Message
from futures_fleet.seen import Seen
from futures_fleet.sieve import Sieve
from tests.facts import NOW_MS, message

A, B = "a@h/1", "b@h/1"
TICKER = "ticker.binance.BTCUSDT"
BOOK = "orderbook.binance.BTCUSDT"
CANDLE = "ohlcv.binance.BTCUSDT.1m"


def sieve() -> Sieve:
    return Sieve(grace_s=2.0)


def passed(subject: Sieve, *messages: Message) -> list[bool]:
    return [subject.passes(one, 0.0) for one in messages]


def value(
    seq: int, at: int | None, epoch: str = A, key: str = TICKER, pad: int = 0, **more: Any
) -> Message:
    body = {"timestamp": at, "pad": "x" * pad} | more
    return message(seq, key, epoch, raw=orjson.dumps(body), lossless=False)


def test_a_trade_of_two_workers_comes_once() -> None:
    subject = sieve()
    assert passed(
        subject,
        message(1, epoch=A, id_="binance:BTC/USDT:USDT:trades:5"),
        message(1, epoch=B, id_="binance:BTC/USDT:USDT:trades:5"),
        message(2, epoch=B, id_="binance:BTC/USDT:USDT:trades:6"),
        message(2, epoch=A, id_="binance:BTC/USDT:USDT:trades:6"),
    ) == [True, False, True, False]
    assert subject.duplicates == 2
    assert subject.losses.due_in(0.0) is None, "what was a duplicate came all the same"


def test_a_message_that_is_delivered_twice_comes_once_whatever_its_kind() -> None:
    subject = sieve()
    assert passed(subject, value(1, 5), value(2, 6), value(2, 6)) == [True, True, False]
    assert (subject.duplicates, subject.superseded) == (1, 0)


def test_ids_of_kinds_without_a_key_name_nothing() -> None:
    subject = sieve()
    one, other = value(1, 5, A), value(1, 6, B)
    same = message(1, TICKER, B, id_=one.message_id, raw=other.raw, lossless=False)
    assert passed(subject, one, same) == [True, True]


def test_open_and_closed_candles_share_a_key_and_not_their_rules() -> None:
    subject = sieve()
    closed = message(2, CANDLE, A, id_="binance:X:ohlcv:1m:60000:0", lossless=True, raw=b"{}")
    again = message(9, CANDLE, B, id_="binance:X:ohlcv:1m:60000:0", lossless=True, raw=b"{}")
    opened = value(1, 50, A, CANDLE, start=0)
    late = value(8, 70, B, CANDLE, start=0)
    assert passed(subject, opened, closed, late, again) == [True, True, True, False]


def test_an_older_value_of_another_worker_is_not_handed_out() -> None:
    subject = sieve()
    assert passed(
        subject,
        value(1, NOW_MS + 100, A),
        value(501, NOW_MS + 90, B),
        value(502, NOW_MS + 110, B),
        value(2, NOW_MS + 105, A),
        value(3, NOW_MS + 120, A),
    ) == [True, False, True, False, True]
    assert subject.superseded == 2


def test_a_value_of_the_same_time_is_not_older() -> None:
    subject = sieve()
    assert passed(subject, value(1, NOW_MS, A), value(1, NOW_MS, B)) == [True, True]


def test_within_a_run_its_numbers_say_what_is_newer() -> None:
    subject = sieve()
    assert passed(
        subject,
        value(1, NOW_MS + 5, key=BOOK, update_id=900),
        value(3, NOW_MS + 4, key=BOOK, update_id=902),
        value(2, NOW_MS + 9, key=BOOK, update_id=901),
    ) == [True, True, False]
    assert (subject.superseded, subject.duplicates) == (1, 0)


def test_without_a_venues_time_the_workers_decide() -> None:
    subject = sieve()
    first = message(1, TICKER, A, raw=b'{"timestamp":null}', received_at=NOW_MS + 10)
    older = message(1, TICKER, B, raw=b'{"timestamp":99}', received_at=NOW_MS + 9)
    newer = message(2, TICKER, B, raw=b"no JSON at all", received_at=NOW_MS + 11)
    assert passed(subject, first, older, newer) == [True, False, True]


def test_a_later_candle_is_newer_whatever_its_frames_time() -> None:
    subject = sieve()
    assert passed(
        subject,
        value(1, NOW_MS + 50, A, CANDLE, start=60_000),
        value(1, NOW_MS + 40, B, CANDLE, start=120_000),
        value(2, NOW_MS + 60, A, CANDLE, start=60_000),
    ) == [True, True, False]


def test_a_clock_that_is_ahead_hides_another_worker_for_seconds_only() -> None:
    subject = sieve()
    assert subject.passes(value(1, NOW_MS + 60_000, A), 0.0)
    assert not subject.passes(value(1, NOW_MS + 1_000, B), 9.0)
    assert subject.passes(value(2, NOW_MS + 2_000, B), 10.0)


def test_no_partial_candle_comes_behind_its_final_one() -> None:
    subject = sieve()
    body = orjson.dumps({"timestamp": NOW_MS, "start": 60_000, "closed": True})
    final = message(2, CANDLE, A, id_="binance:X:ohlcv:1m:60000:0", lossless=True, raw=body)
    assert passed(
        subject,
        final,
        value(1, NOW_MS, A, CANDLE, start=60_000),
        value(1, NOW_MS, B, CANDLE, start=60_000),
        value(3, NOW_MS, A, CANDLE, start=120_000),
    ) == [True, False, False, True]
    assert subject.superseded == 2


@pytest.mark.parametrize("pad", [0, 10_000])
def test_large_bodies_are_compared_like_small_ones(pad: int) -> None:
    subject = sieve()
    assert passed(
        subject,
        value(1, NOW_MS + 100, A, pad=pad),
        value(2, NOW_MS + 101, A, pad=pad),
        value(1, NOW_MS + 100, B, pad=pad),
        value(2, NOW_MS + 102, B, pad=0),
        value(3, NOW_MS + 103, A, pad=pad),
    ) == [True, True, False, True, True]


def test_kinds_of_a_newer_fleet_are_handed_out_as_they_come() -> None:
    subject = sieve()
    new = [message(seq, "quality.binance.BTCUSDT", A, raw=b"{}", id_="same") for seq in (1, 2)]
    assert passed(subject, *new) == [True, True]


def test_what_is_remembered_is_bounded_and_apart_by_kind() -> None:
    seen = Seen(ids=10)
    assert seen.add("gap", "g")
    assert all(seen.add("trades", str(number)) for number in range(100))
    assert not seen.add("gap", "g")
    assert [seen.add("trades", str(number)) for number in (99, 95, 0)] == [False, False, True]
