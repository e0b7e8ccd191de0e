"""What a run tells the next one, and what the next one makes of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from shared.kinds import TRADES
from tests.recording import BTC
from tests.station import ETH, Station, stream
from tests.waiting import eventually
from workers.collector.catalogue.row import StreamKind
from workers.collector.continuity.gaps import NOWHERE, Mark, Place
from workers.collector.trades.flow import NumberedFlow


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    yield Station(tmp_path)


async def test_the_next_run_goes_on_where_this_one_was(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    for _ in range(2):
        await station.continuity.watermarks.save()
    following = Station(tmp_path)
    (gap,) = following.gaps()
    last = station.venue.happened[-1]
    assert (gap["reason"], gap["last_key"], gap["last_time"]) == (
        "restart",
        last.id,
        last.timestamp,
    )
    assert following.trades.flow(BTC).last == Mark(last.id, last.timestamp)


async def test_the_next_run_is_told_of_a_gap_that_this_one_left_open(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(), "cut")
    station.live(4)  # flows again, not repaired yet
    for _ in range(2):
        await station.continuity.watermarks.save()
    (gap,) = Station(tmp_path).gaps()
    assert gap["last_key"] == station.venue.happened[3].id


async def test_a_run_that_never_collected_leaves_the_marks_as_they_were(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(StreamKind.LIQUIDATIONS), "refused")
    await station.continuity.finish()
    before = orjson.loads((tmp_path / "watermarks.json").read_bytes())
    assert before["trades"]
    await Station(tmp_path, collects=False).continuity.finish()
    assert orjson.loads((tmp_path / "watermarks.json").read_bytes()) == before


@pytest.mark.parametrize("saves", [0, 1, 2, 3])
async def test_two_kills_in_a_row_lose_nothing(tmp_path: Path, saves: int) -> None:
    first = Station(tmp_path, dense=True)
    first.up()
    first.live(6)
    await first.continuity.finish()
    second = Station(tmp_path, dense=True)
    for _ in range(saves):
        await second.continuity.watermarks.save()
    third = Station(tmp_path, dense=True)
    third.venue.happened = list(first.venue.happened)
    for _ in range(8):
        third.venue.trade()
    third.up()
    third.live()
    repairing = asyncio.create_task(third.continuity.refill.run())
    await eventually(lambda: Place(TRADES, BTC) not in third.continuity.gaps)
    repairing.cancel()
    published = {orjson.loads(fact.body)["id"] for fact in third.facts if fact.kind is TRADES}
    assert {trade.id for trade in third.venue.happened[6:]} <= published


async def test_marks_of_symbols_that_nobody_wants_are_forgotten(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    await station.continuity.finish()
    following = Station(tmp_path, collects=False)
    following.collect(ETH, unlisted=[BTC])  # for the moment
    await following.continuity.finish()
    assert Station(tmp_path).gaps()[0]["reason"] == "restart"
    following = Station(tmp_path, collects=False)
    following.collect(ETH)
    await following.continuity.finish()
    assert Station(tmp_path).gaps() == []


async def test_a_gap_of_a_killed_run_ends_with_its_symbol(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up()
    station.live(4)
    station.continuity.lost(stream(StreamKind.TRADES), "cut")
    await station.continuity.watermarks.save()  # and no more
    opened = station.gaps()[-1]
    following = Station(tmp_path, collects=False)
    following.collect(ETH)
    ended = following.gaps()[-1]
    assert (ended["id"], ended["state"]) == (opened["id"], "unrepairable")
    assert ended["rev"] > opened["rev"]


async def test_of_two_marks_the_earlier_one_holds(tmp_path: Path) -> None:
    """A drop moved the begin of a gap back, and a kill came before the mark of trades followed."""
    station = Station(tmp_path, dense=True)
    station.up()
    station.live(9)
    for _ in range(2):
        await station.continuity.watermarks.save()
    third = station.venue.happened[2]
    station.continuity.gaps.open(Place(TRADES, BTC), "dropped: spool_full", Mark("102", third[5]))
    await station.continuity.watermarks.save()
    following = Station(tmp_path, dense=True)
    flow = following.trades.flow(BTC)
    assert flow.last.key == "102"
    assert isinstance(flow, NumberedFlow)
    assert flow.line.last == 102


async def test_liquidations_of_a_restart_are_a_gap(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.up(StreamKind.LIQUIDATIONS)
    await station.continuity.finish()
    following = Station(tmp_path)
    assert [gap["kind"] for gap in following.gaps()] == ["liquidation"]
    following.up(StreamKind.LIQUIDATIONS)
    assert following.gaps()[-1]["state"] == "unrepairable"


def test_watermarks_of_another_kind_of_file_are_nobodys(tmp_path: Path) -> None:
    content = {"trades": {BTC: [5, "x"], ETH: "y"}, "ohlcv": {BTC: 7}, "funding": {BTC: "z"}}
    (tmp_path / "watermarks.json").write_bytes(orjson.dumps(content))
    station = Station(tmp_path)
    assert station.gaps() == []
    assert station.trades.flow(BTC).last == NOWHERE
