"""Two clients that set the symbols at the same moment, on what both have read: one of them wins,
the other is told, and whoever listens comes to the winner's list."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker import own_queue
from shared.symbolset import Revision, SymbolSet
from shared.topology import SYMBOLS
from tests.coordinators import BTC, ETH, EXCHANGES, Client, client, coordinator
from tests.waiting import eventually

ROUNDS = 20
CONVERGED_S = 5.0


class Worker:
    """Takes announcements as a collector does: of its venue, newer ones only."""

    def __init__(self, exchange: str) -> None:
        self.exchange = exchange
        self.symbols: list[str] = []
        self.revision: Revision | None = None

    async def take(self, message: AbstractIncomingMessage) -> None:
        announced = SymbolSet.model_validate_json(message.body)
        if announced.exchange == self.exchange and announced.revision.replaces(self.revision):
            self.symbols, self.revision = announced.symbols, announced.revision


@asynccontextmanager
async def workers(user: Client, each: int) -> AsyncIterator[list[Worker]]:
    """So many of each venue, each with a queue of its own."""
    played = [Worker(name) for name in EXCHANGES for _ in range(each)]
    for worker in played:
        queue = await own_queue(user.channel, "collector", worker.exchange, [(SYMBOLS, "")])
        await queue.consume(worker.take, no_ack=True)
    yield played


@pytest.mark.deadline(150)
async def test_one_of_two_clients_wins_and_all_workers_follow(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    took: list[float] = []
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(client(broker_url)) for _ in range(2)]
        played = await stack.enter_async_context(workers(first, 2))
        for name in ("one", "two"):
            await stack.enter_async_context(coordinator(broker_url, tmp_path / name))
        for number in range(ROUNDS):
            winner = await _race(first, second, number)
            at = time.monotonic()
            followed = partial(_converged, played, winner)
            await eventually(followed, CONVERGED_S, "all have the winner's list", 0.005)
            took.append(time.monotonic() - at)
        await asyncio.sleep(0.3)  # an announcement of the loser's would be there by now
        assert _converged(played, winner)
    record_property("converged_s", {"worst": round(max(took), 3), "rounds": ROUNDS})
    print(f"races: all workers converged within {max(took):.3f} s, {ROUNDS} rounds")  # noqa: T201


async def _race(first: Client, second: Client, number: int) -> dict[str, Any]:
    """The winner's answer."""
    read = await first.request({"command": "get_symbols", "correlation_id": f"read {number}"})
    seen = read["data"]["state_revision"]
    wishes = {
        "a": [BTC, f"A{number}/USDT:USDT", f"X{number}/USDT:USDT"],
        "b": [f"B{number}/USDT:USDT", ETH],
    }
    answers = await asyncio.gather(
        *(
            user.request(
                {
                    "command": "set_symbols",
                    "symbols": wishes[name],
                    "expected_revision": seen,
                    "correlation_id": f"{name} {number}",
                }
            )
            for name, user in zip("ab", (first, second), strict=True)
        )
    )
    (winner,) = [answer for answer in answers if answer["success"]]
    (loser,) = [answer for answer in answers if not answer["success"]]
    assert winner["data"]["current_symbols"] == wishes[winner["correlation_id"][0]]
    assert winner["data"]["state_revision"] == seen + 1
    assert loser["error"] == "revision_conflict"
    assert loser["data"]["state_revision"] == seen + 1
    return winner


def _converged(played: list[Worker], winner: dict[str, Any]) -> bool:
    wanted, revision = winner["data"]["current_symbols"], winner["data"]["revision"]
    return all(
        worker.symbols == wanted
        and worker.revision is not None
        and worker.revision.model_dump() == revision
        for worker in played
    )
