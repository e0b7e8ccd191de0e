"""Coordinators that race for the registry, with every order of kills, freezes, losses and late
writes that hypothesis finds: each command takes effect once, and is answered in one way."""

from collections import deque
from contextlib import suppress
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from coordinator.records import Claim, Operation, Record
from shared.errors import BrokerError
from tests.coordinator_play import Fate, World, deliveries
from tests.coordinators import BTC, ETH
from tests.registry_model import Command, Model, accounted, check_answer, mixed

NAMES = ("one", "two", "three")

names = st.sampled_from(NAMES)
seeds = st.lists(st.integers(0, 10_000), min_size=1, max_size=5)
#: How far the world goes on after a step: often in the middle of something.
turns = st.integers(0, 40)


class Races(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(*NAMES)
        self.commands: dict[str, Command] = {}
        self.forged: set[bytes] = set()

    @rule(seeds=seeds, go_on=turns)
    def command(self, seeds: list[int], go_on: int) -> None:
        """Clients ask for something new."""
        self._send(seeds)
        self.world.turn(go_on)

    @rule(fate=st.sampled_from(Fate), alone=st.booleans(), seeds=seeds, go_on=turns)
    def strike(self, fate: Fate, alone: bool, seeds: list[int], go_on: int) -> None:
        """Something happens to the leader's next record, just as commands come."""
        for name, player in list(self.world.players.items()):
            if player.log.leading:
                player.fates.append(fate)
            elif alone:
                self.world.kill(name)
        self._send(seeds)
        self.world.turn(go_on)

    def _send(self, seeds: list[int]) -> None:
        for seed in seeds:
            command = mixed(Random(seed), len(self.commands), rollbacks=True)
            self.commands[command["correlation_id"]] = command
            self.world.queue.put(orjson.dumps(command))

    @rule(which=st.integers(0), go_on=turns)
    def repeat(self, which: int, go_on: int) -> None:
        """A client that had no answer, or lost it, asks again."""
        if self.commands:
            command = list(self.commands.values())[which % len(self.commands)]
            self.world.queue.put(orjson.dumps(command))
        self.world.turn(go_on)

    @rule(which=st.integers(0), go_on=turns)
    def forge(self, which: int, go_on: int) -> None:
        """A client uses an id again for something else."""
        used = [orjson.loads(body) for body in self.world.answers if body not in self.forged]
        if used:
            id_ = used[which % len(used)]["correlation_id"]
            other = {"command": "set_symbols", "symbols": [], "correlation_id": id_, "timestamp": 1}
            self.forged.add(orjson.dumps(other))
            self.world.queue.put(orjson.dumps(other))
        self.world.turn(go_on)

    @rule(name=names, fate=st.sampled_from(Fate), go_on=turns)
    def doom(self, name: str, fate: Fate, go_on: int) -> None:
        """Something happens to the next record of a coordinator."""
        if name in self.world.players:
            self.world.players[name].fates.append(fate)
        self.world.turn(go_on)

    @rule(go_on=turns)
    def arrive(self, go_on: int) -> None:
        """The oldest late record reaches the log after all."""
        if self.world.stream.late:
            self.world.stream.append(self.world.stream.late.pop(0))
        self.world.turn(go_on)

    @rule(name=names, go_on=turns)
    def freeze(self, name: str, go_on: int) -> None:
        if name in self.world.players:
            self.world.players[name].freeze()
        self.world.turn(go_on)

    @rule(name=names, go_on=turns)
    def thaw(self, name: str, go_on: int) -> None:
        if name in self.world.players:
            self.world.players[name].thawed.set()
        self.world.turn(go_on)

    @rule(name=names, go_on=turns)
    def kill_or_start(self, name: str, go_on: int) -> None:
        if name in self.world.players:
            self.world.kill(name)
        else:
            self.world.start(name)
        self.world.turn(go_on)

    @rule(noticed=st.booleans(), go_on=turns)
    def hand_over(self, noticed: bool, go_on: int) -> None:
        """The broker takes the active consumer for dead; it may go on for a while."""
        if self.world.queue.consumers:
            active = self.world.queue.consumers[0]
            self.world.queue.drop(active)
            for player in self.world.players.values() if noticed else ():
                if player.subscription is active:
                    player.lose_connection()
        self.world.turn(go_on)

    @rule(seconds=st.sampled_from((0.3, 1.5)))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.elapsed_s += seconds

    @rule(fate=st.none() | st.sampled_from((Fate.LOST, Fate.UNCONFIRMED, Fate.LATE)))
    def snapshot(self, fate: Fate | None) -> None:
        """The leader writes down how things are; that may come late as well."""
        self.world.settle()
        for player in self.world.players.values():
            if player.log.leading and player.thawed.is_set():
                player.fates = deque([fate] if fate else [])
                with suppress(BrokerError):
                    self.world.do(player.snapshot())

    @invariant()
    def each_answer_is_one(self) -> None:
        self.world.check_alive()
        for body, answers in self.world.answers.items():
            assert len(answers) == 1, f"{body!r} was answered {answers}"

    def teardown(self) -> None:
        try:
            self.world.heal(*NAMES)
            self._check()
        finally:
            self.world.close()

    def _check(self) -> None:
        self.each_answer_is_one()
        records = self.world.stream.records()
        model = Model([BTC, ETH])
        account = accounted(records, self.commands, model)
        assert list(account.effects) == _effective(records)
        assert account.effects == dict.fromkeys(account.effects, 1)
        answered = {body: next(iter(some)) for body, some in self.world.answers.items()}
        for id_, command in self.commands.items():
            body = orjson.dumps(command)
            assert body in answered, f"{command} was never answered"
            check_answer(account, id_, orjson.loads(answered[body]))
        for body in self.forged:
            assert orjson.loads(answered[body])["error"] == "invalid_command"
        for player in self.world.players.values():
            assert player.log.registry.state() == account.registry.state()


def _effective(records: list[tuple[int, Record]]) -> list[str]:
    """The commands that took effect, in their order, by the rule alone: the writer leads in the
    epoch in which it decided, and the command is new."""
    leader, epoch, done = "", 0, list[str]()
    for _, record in records:
        if isinstance(record, Claim):
            leader, epoch = record.by, epoch + 1
        elif isinstance(record, Operation) and record.given:
            leads = (record.by, record.epoch) == (leader, epoch)
            done += [record.given.id] if leads and record.given.id not in done else []
    return done


def _explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Races,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_faults_loses_or_doubles_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.log.deliveries", deliveries)
    _explore(200, 40)


@pytest.mark.long
@pytest.mark.deadline(1200)
def test_no_long_order_of_faults_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coordinator.log.deliveries", deliveries)
    _explore(1500, 60)
