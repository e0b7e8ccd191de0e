"""What the outbox could not deliver: fetched again, or named in a gap."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from shared.batch import Batch, encode_row
from shared.kinds import CANDLE, FUNDING, LIQUIDATION, TASK, TRADES, Kind
from shared.publisher import Outcome, Publication
from shared.topology import BATCHES
from tests.recording import BTC
from tests.station import Station, passed
from workers.collector.continuity.gaps import Place


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    yield Station(tmp_path)


def test_a_trade_that_was_dropped_opens_a_gap_before_it(station: Station) -> None:
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), "spool_full")
    (gap,) = station.gaps()
    first = station.venue.happened[0]
    assert first.timestamp is not None
    assert (gap["last_key"], gap["last_time"]) == (None, first.timestamp - 1)
    assert Place(TRADES, BTC) in station.continuity.gaps


@pytest.mark.parametrize("kind", [CANDLE, LIQUIDATION, FUNDING], ids=lambda kind: kind.name)
def test_what_was_dropped_and_can_not_be_fetched_again_is_named(
    station: Station, kind: Kind
) -> None:
    body = {"symbol": BTC, "timestamp": 5}
    station.outbox.dropped(lossless(kind, orjson.dumps(body)), "spool_full")
    opened, closed = station.gaps()
    assert (opened["kind"], opened["reason"]) == (kind.name, "dropped: spool_full")
    assert (closed["state"], closed["missing"], closed["last_time"]) == ("unrepairable", 1, 4)


def test_a_result_of_a_task_that_was_dropped_is_counted_and_opens_no_gap(station: Station) -> None:
    """The facts in it went their own way."""
    body = orjson.dumps({"symbol": BTC, "at": 5, "data": []})
    station.outbox.dropped(lossless(TASK, body), "spool_full")
    station.outbox.dropped(lossless(TASK, b""), "spool_unreadable")
    assert station.gaps() == []


def test_what_is_dropped_when_its_symbol_is_gone_is_named(station: Station) -> None:
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.collect()
    station.outbox.dropped(lossless(TRADES, fact.body), "spool_full")
    opened, closed = station.gaps()
    assert (opened["symbol"], opened["reason"]) == (BTC, "dropped: spool_full")
    assert (closed["state"], closed["missing"]) == ("unrepairable", 1)
    assert not len(station.continuity.gaps)


async def test_a_batch_that_was_dropped_is_what_its_rows_were(station: Station) -> None:
    station.up()
    station.live(3)
    rows = [fact for fact in station.facts if fact.kind is TRADES]
    batch = Batch(TRADES)
    for number, fact in enumerate(rows):
        batch.add(encode_row(fact, number))
    body, encoding = batch.encode("x", "w", "w/1")
    await station.continuity._tell()
    station.outbox.dropped(lossless(TRADES, body, BATCHES, encoding), "spool_full")
    assert station.gaps()[0]["reason"] == "dropped: spool_full"
    await passed(station, 10)
    assert (await station.row())["exceptions"][BTC] == "dropped: spool_full"


@pytest.mark.parametrize("reason", [Outcome.REFUSED, Outcome.RETURNED])
def test_one_careless_reader_costs_the_others_nothing(station: Station, reason: Outcome) -> None:
    """What its queue refuses, all others have: fetched again, it would go out again and again."""
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), reason.value)
    assert station.gaps() == []


def test_what_can_not_be_sent_at_all_is_named_and_not_fetched_again(station: Station) -> None:
    station.up()
    station.live(3)
    fact = next(fact for fact in station.facts if fact.kind is TRADES)
    station.outbox.dropped(lossless(TRADES, fact.body), Outcome.UNENCODABLE.value)
    assert [gap["state"] for gap in station.gaps()] == ["open", "unrepairable"]


@pytest.mark.parametrize(
    ("key", "missing"), [("trades.x.BTCUSDT", 3), ("", None), ("trades.x.ETHUSDT", 0)]
)
def test_what_a_disk_made_unreadable_is_named(
    station: Station, key: str, missing: int | None
) -> None:
    lost = replace(lossless(TRADES, b""), routing_key=key, rows=3)
    station.outbox.dropped(lost, "spool_unreadable")
    gaps = station.gaps()
    if missing == 0:
        assert gaps == []  # of a symbol that is not collected
        return
    assert [gap["state"] for gap in gaps] == ["open", "unrepairable"]
    assert (gaps[-1]["missing"], gaps[-1]["last_time"]) == (missing, 4)


def lossless(
    kind: Kind, body: bytes, exchange: str = "futures_data", encoding: str | None = None
) -> Publication:
    return Publication(exchange, "key", kind, body, "id", {}, 5, content_encoding=encoding)
