"""With `control.require_user` a command needs the broker's word for who sends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.coordinator import Coordinator
from shared.broker import Broker
from shared.clock import SystemClock
from shared.config import Control
from shared.control import request
from shared.service import Stop
from shared.topology import topology
from tests.coordinators import BTC, ETH, SOL, client, settings
from tests.waiting import eventually

WRITES = [
    {"command": "add_symbol", "symbol": SOL},
    {"command": "remove_symbol", "symbol": BTC},
    {"command": "set_symbols", "symbols": [SOL]},
    {"command": "disable_exchange", "exchange": "htx"},
    {"command": "rollback", "to": 1},
]


@asynccontextmanager
async def strict(url: str, home: Path) -> AsyncIterator[Coordinator]:
    given = settings(url, home)
    config = given.config.model_copy(update={"control": Control(require_user=True)})
    stop = Stop()
    subject = Coordinator(given.model_copy(update={"config": config}), SystemClock())
    work = asyncio.create_task(subject.run(stop))
    try:
        yield subject
    finally:
        stop.request()
        await asyncio.wait_for(work, 15)


@pytest.mark.parametrize("command", WRITES, ids=lambda command: command["command"])
async def test_what_nobody_vouches_for_changes_nothing(
    broker_url: str, tmp_path: Path, command: dict[str, object]
) -> None:
    async with client(broker_url) as user, strict(broker_url, tmp_path) as subject:
        await eventually(lambda: subject.log.registry.seeded, 20)
        before = subject.log.registry.state_revision
        answer = await user.ask(command | {"correlation_id": "c"})
        assert (answer["success"], answer["error"]) == (False, "unauthorized")
        assert answer["correlation_id"] == "c"
        assert user.answers[-1][0] == f"control.response.{command['command']}"
        assert (await user.ask({"command": "get_symbols"}))["error"] == "unauthorized"
        assert subject.log.registry.state_revision == before
        assert list(subject.log.registry.desired.symbols) == [BTC, ETH]


async def test_who_is_known_is_served_and_remembered_by_name(
    broker_url: str, tmp_path: Path
) -> None:
    async with client(broker_url) as user, strict(broker_url, tmp_path) as subject:
        command = {"command": "add_symbol", "symbol": SOL, "correlation_id": "c"}
        assert (await user.ask(command))["error"] == "unauthorized"
        assert (await user.ask(command, user_id="guest"))["success"] is True
        assert subject.log.registry.applied.get(("guest", "c"))
        assert (await user.ask({"command": "get_symbols"}, user_id="guest"))["success"] is True


async def test_our_own_clients_say_who_they_are(broker_url: str, tmp_path: Path) -> None:
    broker = Broker(broker_url, "a client", topology("futures_data"), declares=False)
    async with strict(broker_url, tmp_path) as subject:
        await eventually(lambda: subject.log.registry.seeded, 20)
        assert (await request(broker, {"command": "get_symbols"}, 20))["success"] is True
