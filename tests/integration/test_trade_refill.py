"""REST and stream speak of the same trades: the same ids, and the same in every field."""

from pathlib import Path
from typing import Any

import pytest

from simulator.universe import quote_of
from tests.collecting import collecting, each_venue
from tests.venues import Simulator, listed
from tests.waiting import eventually

BTC = "BTC/USDT:USDT"
FIELDS = ("id", "price", "amount", "side", "timestamp", "exchange", "symbol", "large")


@pytest.mark.deadline(90)
async def test_a_refilled_trade_is_the_streamed_one(broker_url: str, tmp_path: Path) -> None:
    await each_venue(_compare, broker_url, tmp_path, "--trade-rate", "10", "--symbols", "1")


async def _compare(venue: str, simulator: Simulator, broker_url: str, directory: Path) -> None:
    btc = listed(venue, BTC)
    config = simulator.config((venue,), symbols=[btc])
    key = f"trades.{venue}.BTC{quote_of(venue)}"
    async with collecting(venue, config, broker_url, directory) as fleet:
        await eventually(lambda: fleet.consumer.count(key) > 40, 40, venue)
        collector = fleet.collector
        page = await collector.client.fetch_trades(btc)
        streamed = {body["id"]: body for body in fleet.consumer.bodies(key)}
        # As after a restart that forgot everything.
        collector.trades.flows.clear()
        collector.trades.refill(page, collector.intake.parts[btc])

        def refilled_now() -> dict[str, Any]:
            bodies = fleet.consumer.bodies(key)
            return {body["id"]: body for body in bodies if body["source"] == "backfill"}

        await eventually(lambda: page[-1].id in refilled_now(), 10, venue)
        refilled = refilled_now()
        older = (
            await collector.client.fetch_trades(btc, page[len(page) // 2])
            if _pages(collector)
            else []
        )
    both = set(streamed) & set(refilled)
    assert len(both) > 20, f"{venue}: {len(both)} in common"
    for trade_id in both:
        one, other = streamed[trade_id], refilled[trade_id]
        if venue == "okx" and one["amount"] != other["amount"]:
            continue  # a frame puts the fills of an order together
        assert {f: one[f] for f in FIELDS} == {f: other[f] for f in FIELDS}, venue
    assert [p.timestamp for p in page] == sorted(p.timestamp or 0 for p in page)
    # What REST has before the middle of a page are trades of the first half, at least.
    assert {p.id for p in page[len(page) // 4 : len(page) // 2]} <= {
        p.id for p in older
    } or not older


def _pages(collector: object) -> bool:
    return collector.row.trades.pages  # type: ignore[attr-defined, no-any-return]
