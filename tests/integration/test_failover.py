"""Commands without a pause while the coordinator that leads is killed and frozen, again and again:
each is answered, each once, and the registry is what a model says."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from coordinator.records import Claim
from shared.symbolset import SymbolSet
from shared.venues import canonical_venue
from tests.coordinators import BTC, ETH, EXCHANGES, Client, Process, client
from tests.leaders import Leaders, leaders
from tests.registry_log import log_of
from tests.registry_model import (
    Account,
    Command,
    Model,
    Wishes,
    accounted,
    check_answer,
    mixed,
    task_of,
)
from tests.waiting import eventually

RATE = 100  # commands a second
NAMES = ("one", "two", "three")


@dataclass(frozen=True)
class Plan:
    """Commands in as many waves as there are faults; each fault hits in the middle of its wave."""

    commands: int
    faults: Sequence[str]
    seed: int

    def waves(self) -> list[tuple[str, list[Command]]]:
        random = Random(self.seed)
        commands = [mixed(random, number) for number in range(self.commands)]
        count = len(self.faults)
        edges = [round(number * len(commands) / count) for number in range(count + 1)]
        faults = random.sample(self.faults, count)
        cuts = zip(faults, pairwise(edges), strict=True)
        return [(fault, commands[begin:end]) for fault, (begin, end) in cuts]


class Answers:
    """All that each command was answered, and the latest epoch that an answer names."""

    def __init__(self, user: Client) -> None:
        self._user = user
        self._read = 0
        self._of: dict[str, set[bytes]] = {}
        self._epoch = 0

    def all(self) -> dict[str, set[bytes]]:
        new = self._user.answers[self._read :]
        self._read += len(new)
        for _, body, _ in new:
            answer = orjson.loads(body)
            self._of.setdefault(answer["correlation_id"], set()).add(body)
            revision = answer.get("data", {}).get("revision")
            self._epoch = max(self._epoch, revision["epoch"] if revision else 0)
        return self._of

    @property
    def epoch(self) -> int:
        self.all()
        return self._epoch


@pytest.mark.deadline(150)
async def test_commands_survive_kills_and_a_freeze_of_the_leader(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    plan = Plan(200, ("kill", "freeze", "kill"), seed=3)
    await _play(plan, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(600)
async def test_a_thousand_commands_survive_ten_kills_and_three_freezes(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    plan = Plan(1000, ("kill",) * 10 + ("freeze",) * 3, seed=4)
    await _play(plan, broker_url, tmp_path, record_property)


async def _play(
    plan: Plan, broker_url: str, directory: Path, record: Callable[[str, object], None]
) -> None:
    url = f"{broker_url}?heartbeat=2"
    trio = {f"coordinator@{name}": Process(url, directory / name) for name in NAMES}
    waves = plan.waves()
    commands = {c["correlation_id"]: c for _, wave in waves for c in wave}
    async with client(broker_url) as user, leaders(user) as heard:
        storm = Storm(user, heard, trio, Random(plan.seed))
        try:
            for process in trio.values():
                await process.start()
            for fault, wave in waves:
                await storm.wave(fault, wave)
            told = await _told(user)
        finally:
            codes = [await _end(process) for process in trio.values()]
        assert codes == [0, 0, 0]
        records = await log_of(user)
    model = Model([BTC, ETH])
    account = accounted(records, commands, model)
    assert account.effects == dict.fromkeys(commands, 1)
    _check_answers(storm.answers.all(), account)
    assert told == _expected(model.now)
    claims = [record for _, record in records if isinstance(record, Claim)]
    assert len(claims) > len(plan.faults), "a fault missed the leader"
    figures = storm.figures() | {"commands": len(commands), "claims": len(claims)}
    record("figures", figures)
    print("failover:", figures)  # noqa: T201 figures of the run


class Storm:
    """Waves of commands, each with its fault."""

    def __init__(
        self, user: Client, heard: Leaders, processes: dict[str, Process], random: Random
    ) -> None:
        self.answers = Answers(user)
        self._user = user
        self._heard = heard
        self._processes = processes
        self._random = random
        self._took: dict[str, list[float]] = {"kill": [], "freeze": []}
        self._sent, self._sending_s = 0, 0.0

    async def wave(self, fault: str, commands: list[Command]) -> None:
        """Send, hit the leader meanwhile, and wait until all is answered."""
        self._heard.forget()
        if self.answers.epoch == 0:
            await self._user.request({"command": "get_symbols", "correlation_id": "first"})
        leader = await eventually(lambda: self._heard.of(self.answers.epoch), 20, "a leader")
        sending = asyncio.create_task(self._send(commands))
        await asyncio.sleep(self._random.uniform(0.1, 0.9) * len(commands) / RATE)
        victim, at = self._processes[leader], time.monotonic()
        victim.signal(signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        if fault == "kill":
            await victim.wait()
            await victim.start()
        await sending
        await self._answered(commands)
        self._took[fault].append(time.monotonic() - at)
        victim.signal(signal.SIGCONT)

    async def _send(self, commands: list[Command]) -> None:
        began = time.monotonic()
        for number, command in enumerate(commands):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            await self._user.send(command)
        self._sent += len(commands)
        self._sending_s += time.monotonic() - began

    async def _answered(self, commands: list[Command]) -> None:
        ids = {command["correlation_id"] for command in commands}
        await eventually(lambda: ids <= set(self.answers.all()), 40, "all answers", 0.05)

    def figures(self) -> dict[str, Any]:
        return {
            "rate": round(self._sent / self._sending_s, 1),
            **{f"{fault}_answered_s": _rounded(took) for fault, took in self._took.items()},
        }


def _rounded(seconds: list[float]) -> list[float]:
    return [round(one, 2) for one in seconds]


async def _end(process: Process) -> int:
    with suppress(ProcessLookupError):
        process.signal(signal.SIGCONT)
    return await process.end()


async def _told(user: Client) -> dict[str, Any]:
    """The registry in the words of those who ask it and are told by it."""
    listed = await user.request({"command": "list_tasks", "correlation_id": "tasks"})
    read = await user.request({"command": "get_symbols", "correlation_id": "global"})
    effective = {}
    for name in EXCHANGES:
        command = {"command": "get_symbols", "exchange": name, "correlation_id": f"of {name}"}
        effective[canonical_venue(name)] = (await user.request(command))["data"]["symbols"]
    sets = await eventually(lambda: _announced(user, read["data"]["revision"]), 10, "announced")
    for venue, one in sets.items():
        assert one.symbols == (effective[venue] if one.enabled else [])
    return {
        "symbols": read["data"]["symbols"],
        "effective": effective,
        "disabled": {venue for venue, one in sets.items() if not one.enabled},
        "tasks": {task["task_id"]: task_of(task) for task in listed["data"]["tasks"]},
    }


def _announced(user: Client, revision: Any) -> dict[str, SymbolSet] | None:
    """The latest announcement of each venue, once all are of this revision."""
    latest = {one.venue: one for one in user.announced}
    known = [one for one in latest.values() if one.revision.model_dump() == revision]
    return latest if len(known) == len(EXCHANGES) else None


def _expected(wishes: Wishes) -> dict[str, Any]:
    return {
        "symbols": wishes.symbols,
        "effective": {venue: wishes.effective(venue) for venue in map(canonical_venue, EXCHANGES)},
        "disabled": set(wishes.disabled),
        "tasks": wishes.tasks,
    }


def _check_answers(answers: dict[str, set[bytes]], account: Account) -> None:
    for id_ in account.effects:
        assert len(answers[id_]) == 1, f"{id_} was answered in different ways: {answers[id_]}"
        (body,) = answers[id_]
        check_answer(account, id_, orjson.loads(body))
