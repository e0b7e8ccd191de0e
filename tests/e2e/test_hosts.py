"""Several hosts share the venues' symbols: evenly, through restarts without a hole, and through
the loss of a host and of the broker."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cli.broker_node import Node
from shared.errors import BrokerError
from tests.coordinators import Client, client
from tests.flow import Flow, Place, flowing, happened, missing, sample_books
from tests.hosts import FleetHost, Lab, lab
from tests.leaders import leaders
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

FIVE = ("binance", "bybit", "bitget", "htx", "gate")
CALM = ("--ticker-rate", "1", "--book-rate", "0.4", "--trade-rate", "0.5")
BUSY = ("--ticker-rate", "2", "--book-rate", "2", "--trade-rate", "4")
SUSPECTED_S, MOVED_S = 2.0, 10.0
UP_S = 90.0  # until all processes of some hosts run and have shared the work
ARRIVED_S = 40.0  # until what a refill has to bring is there
#: Longer than a coordinator gives silent workers after it came to a broker.
QUIET_S = 20.0
#: Books that are compared, of those that are asked for: one that is followed by another at once is
#: not published itself.
LEAST_COMPARED = 0.3

Record = Callable[[str, object], None]


class Overview:
    """What the coordinator tells of who does what."""

    def __init__(self, made: Lab, user: Client) -> None:
        self.user = user
        self._lab = made
        self._asked = 0

    async def workers(self) -> dict[str, Any]:
        """The answer to get_workers."""
        self._asked += 1
        command = {"command": "get_workers", "correlation_id": f"workers {self._asked}"}
        data: dict[str, Any] = (await self.user.request(command))["data"]
        return data

    def owners(self) -> dict[Place, str]:
        """Who shall collect each symbol, as workers are told it."""
        latest = {one.exchange: one for one in self.user.announced}
        return {
            (exchange, symbol): one.workers[owner].worker
            for exchange, one in latest.items()
            for symbol, owner in zip(one.symbols, one.owners, strict=bool(one.owners))
        }

    def uneven(self, *hosts: FleetHost) -> list[str]:
        """Venues of which not each of these hosts, and no other, has its part, within 10 %."""
        owners, due = self.owners(), len(self._lab.symbols) / len(hosts)
        found = []
        for venue in self._lab.venues:
            share = Counter(worker for (at, _), worker in owners.items() if at == venue)
            is_theirs = set(share) == {host.worker(venue) for host in hosts}
            if not is_theirs or any(abs(n - due) > max(0.1 * due, 0.999) for n in share.values()):
                found.append(f"{venue} is shared {dict(share)}")
        return found

    async def lacking(self, *hosts: FleetHost) -> list[str]:
        """What is not shared among these hosts as it should be, or is not being done."""
        if uneven := self.uneven(*hosts):
            return uneven
        found, data = list[str](), await self.workers()
        wanted = {host.worker(venue) for host in hosts for venue in self._lab.venues}
        running = {one["worker"] for one in data["workers"] if one["state"] == "running"}
        found += [f"{worker} does not run" for worker in sorted(wanted - running)]
        for venue in self._lab.venues:
            row = {name: data["symbols"][venue][name] for name in ("desired", "assigned", "live")}
            if set(row.values()) != {len(self._lab.symbols)}:
                found.append(f"{venue}: {row}")
        return found

    async def whole(self, what: str, *hosts: FleetHost) -> None:
        """Wait until the work is shared among these hosts and all of it is being done."""
        lacks: list[str] = []

        async def check() -> bool:
            lacks[:] = await self.lacking(*hosts)
            return not lacks

        try:
            await eventually(check, UP_S, what, 0.25)
        except AssertionError:
            raise AssertionError(f"{what}: not after {UP_S:.0f} s: {lacks}") from None

    async def epochs(self) -> dict[str, str]:
        return {one["worker"]: one["epoch"] for one in (await self.workers())["workers"]}

    async def distrusted(self, host: FleetHost) -> bool:
        """Whether all collectors of a host are suspected, or out."""
        states = {one["worker"]: one["state"] for one in (await self.workers())["workers"]}
        own = [states.get(host.worker(venue), "gone") for venue in self._lab.venues]
        return set(own) <= {"suspect", "gone"}


@asynccontextmanager
async def watched(made: Lab) -> AsyncIterator[tuple[Overview, Flow]]:
    async with client(made.amqp_url) as user, flowing(made) as flow:
        yield Overview(made, user), flow


@pytest.mark.deadline(200)
async def test_restarts_of_a_hosts_processes_cost_no_trade_where_another_host_shares(
    broker_url: str, tmp_path: Path, record_property: Record
) -> None:
    async with lab(broker_url, tmp_path, ("binance", "bybit"), 10, BUSY) as made:
        a, b = made.host("a"), made.host("b")
        async with watched(made) as (overview, flow):
            took = await _up(overview, a, b)
            began_ms = _now_ms()
            for program in a.programs:
                took[f"restart {program}"] = await _restarted(overview, a, program, a, b)
            figures = await _complete(made, flow, began_ms)
    record_property("figures", _say("rolling restart of a host", figures | took))


@pytest.mark.long
@pytest.mark.deadline(1200)
async def test_restarts_of_all_processes_cost_no_trade_and_no_book_is_wrong(
    broker_url: str, tmp_path: Path, record_property: Record
) -> None:
    async with lab(broker_url, tmp_path, FIVE, 10, BUSY) as made:
        a, b = made.host("a"), made.host("b")
        async with watched(made) as (overview, flow):
            took = await _up(overview, a, b)
            began_ms, random, samples = _now_ms(), Random(5), 0
            for host, program in [(one, name) for one in (a, b) for name in one.programs]:
                restarting = asyncio.create_task(_restarted(overview, host, program, a, b))
                samples += await _sampled(made, flow, random, restarting)
                took[f"restart {program} of {host.name}"] = restarting.result()
            await asyncio.sleep(1)
            figures = await _complete(made, flow, began_ms)
    assert flow.different == []
    assert flow.compared > LEAST_COMPARED * samples
    figures |= {"books_asked": samples, "books_compared": flow.compared}
    record_property("figures", _say("rolling restart of everything", figures | took))


@pytest.mark.long
@pytest.mark.deadline(1200)
async def test_the_loss_of_a_host_a_third_one_and_a_broker_that_is_restarted(
    broker_node: Node, tmp_path: Path, record_property: Record
) -> None:
    async with lab(broker_node.amqp_url, tmp_path, FIVE, 40, CALM) as made:
        a, b = made.host("a"), made.host("b")
        async with watched(made) as (overview, flow):
            figures = await _up(overview, a, b)
            began_ms = _now_ms()
            lost = await _leading(overview, a, b)
            figures |= await _host_lost(overview, flow, lost, b if lost is a else a)
            figures |= await _up_again(overview, lost, a, b)
            third = made.host("c")
            figures |= await _third_host(overview, third, a, b)
            figures |= await _complete(made, flow, began_ms)
            owners = overview.owners()
        figures |= await _broker_restarted(made, broker_node, owners, (a, b, third))
    record_property("figures", _rounded(figures))


async def _up(overview: Overview, *hosts: FleetHost) -> dict[str, float]:
    at = time.monotonic()
    for host in hosts:
        host.start()
    await overview.whole("all is shared and live", *hosts)
    return _say("hosts started", {"up_s": time.monotonic() - at})


async def _restarted(overview: Overview, host: FleetHost, program: str, *hosts: FleetHost) -> float:
    """Restart one program; the seconds until it runs again and has its part of the work again."""
    before, pid, at = await overview.epochs(), host.pids()[program], time.monotonic()
    venue = program.partition("-")[2]
    await host.restart(program)

    async def back() -> bool:
        if host.pids().get(program) in (pid, None):
            return False
        epochs = await overview.epochs() if venue else {}
        return not venue or epochs.get(host.worker(venue)) != before[host.worker(venue)]

    await eventually(back, UP_S, f"{program} is back", 0.25)
    await overview.whole(f"all is as before {program} was restarted", *hosts)
    return time.monotonic() - at


async def _sampled(made: Lab, flow: Flow, random: Random, meanwhile: "asyncio.Task[float]") -> int:
    """Ask the venues for some of their books until something is done; for how many."""
    samples = 0
    while not meanwhile.done():
        await sample_books(made, flow, 5, random)
        samples += 5
        await asyncio.sleep(0.2)
    return samples


async def _leading(overview: Overview, *hosts: FleetHost) -> FleetHost:
    async with leaders(overview.user) as heard:
        worker = await eventually(lambda: heard.of(0), 10, "a leader")
    return next(host for host in hosts if worker == f"coordinator@{host.name}")


async def _host_lost(
    overview: Overview, flow: Flow, lost: FleetHost, left: FleetHost
) -> dict[str, float]:
    owners = overview.owners()
    orphans = [place for place, worker in owners.items() if worker.endswith(f"@{lost.name}")]
    others = set(owners.values()) - {owners[place] for place in orphans}
    assert orphans
    flow.forget()
    at, killed_at = time.monotonic(), time.time()
    burying = asyncio.create_task(lost.kill())
    await eventually(lambda: overview.distrusted(lost), 15, "suspected", 0.05)
    suspected_s = time.monotonic() - at

    def moved() -> bool:
        return all(flow.first(place, others) is not None for place in orphans)

    await eventually(moved, 60, "moved", 0.05)
    moved_s = max(flow.first(place, others) or 0.0 for place in orphans) - killed_at
    await burying
    figures = {"orphans": len(orphans), "suspected_s": suspected_s, "moved_s": moved_s}
    _say("loss of a host", figures)
    assert suspected_s <= SUSPECTED_S, figures
    assert moved_s <= MOVED_S, figures
    await overview.whole("one host has it all", left)
    return figures | {"all_live_s": time.monotonic() - at}


async def _up_again(overview: Overview, back: FleetHost, *hosts: FleetHost) -> dict[str, float]:
    at = time.monotonic()
    back.start()
    await overview.whole("the host has its part again", *hosts)
    return _say("a host comes back", {"back_s": time.monotonic() - at})


async def _third_host(overview: Overview, third: FleetHost, *hosts: FleetHost) -> dict[str, float]:
    before, at = overview.owners(), time.monotonic()
    third.start()
    await overview.whole("three share", *hosts, third)
    after = overview.owners()
    assert set(after) == set(before)
    moved = [place for place in after if after[place] != before[place]]
    figures = {"third_s": time.monotonic() - at, "moved_to_third": len(moved)}
    _say("a third host", figures)
    assert 3 * len(moved) <= len(after), f"{len(moved)} of {len(after)} moved"
    return figures


async def _broker_restarted(
    made: Lab, node: Node, owners: dict[Place, str], hosts: tuple[FleetHost, ...]
) -> dict[str, float]:
    await asyncio.to_thread(node.kill)
    at = time.monotonic()
    await asyncio.to_thread(node.start)
    # A stream has no leader for its first seconds: nothing can be declared until then.
    await eventually(lambda: _declarable(made.amqp_url), 60, "the broker is back", 0.5)
    async with watched(made) as (overview, flow):
        await eventually(lambda: set(owners) <= flow.places(), UP_S, "all flows again", 0.1)
        flowing_s = time.monotonic() - at
        await overview.whole("all is live after the broker's restart", *hosts)
        assert overview.owners() == owners
        await asyncio.sleep(QUIET_S)
        assert overview.owners() == owners
        told: dict[str, set[tuple[int, ...]]] = {}
        for one in overview.user.announced:  # also what was given back by now
            told.setdefault(one.exchange, set()).add(tuple(one.owners))
        assert all(len(lists) == 1 for lists in told.values())
    return _say("a broker restarted", {"broker_back_s": flowing_s})


async def _declarable(url: str) -> bool:
    try:
        async with client(url):
            return True
    except BrokerError:
        return False


async def _complete(made: Lab, flow: Flow, began_ms: int) -> dict[str, float]:
    """All trades since then are there, each is one and the same however often it came, and no book
    was crossed."""
    until_ms = _now_ms()
    sent = await happened(made, began_ms, until_ms)
    await eventually(lambda: not missing(flow, sent), ARRIVED_S, "all trades", 0.2)
    assert min(map(len, sent.values())) > 0
    assert flow.unequal() == {}
    assert flow.crossed == []
    count = sum(map(len, sent.values()))
    return _say("trades", {"trades": count, "missed": 0, "repeated": flow.repeated()})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


def _say(what: str, figures: dict[str, float]) -> dict[str, float]:
    """Figures at once: what comes later may fail."""
    print(f"{what}: {_rounded(figures)}")  # noqa: T201 figures of the run
    return figures
