"""Totals that never fall, the block that people watch, and who is alive."""

from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from coordinator.applied import Applied, AppliedTable
from coordinator.commands import Command
from coordinator.opening import Bereft, opening
from coordinator.records import Claim, ConfigChange, Operation, Seed
from coordinator.registry import Registry
from coordinator.roster import FORGOTTEN_S, GONE_S, Roster
from coordinator.statistics import Totals, answer_data, block
from coordinator.tally import Tally
from shared.config import AppConfig
from shared.status import Heartbeat, State, Statistics
from tests.fakes import FakeClock

BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"


def beat(
    worker: str, epoch: str, success: int, state: State = "running", exchange: str = "binance"
) -> Heartbeat:
    return Heartbeat(
        role="collector",
        exchange=exchange,
        worker=worker,
        epoch=epoch,
        state=state,
        sent_at=1,
        revision=None,
        statistics=Statistics(success=success, errors=1, published=success, failed=2),
    )


def test_a_restarted_worker_adds_to_what_it_did_before() -> None:
    totals = Totals()
    for epoch, success in (("e1", 5), ("e1", 9), ("e2", 0), ("e2", 4)):
        totals.observe(beat("w", epoch, success))
    assert totals.by_exchange()["binance"].success == 13


def test_a_late_heartbeat_of_the_run_before_counts_once() -> None:
    totals = Totals()
    for epoch, success in (("e1", 5), ("e2", 1), ("e1", 6), ("e2", 2)):
        totals.observe(beat("w", epoch, success))
    assert totals.by_exchange()["binance"].success == 8


beats = st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 100))


@given(st.lists(beats, max_size=60), st.integers(0, 60))
def test_totals_never_fall_whatever_arrives_and_whenever_they_are_reloaded(
    arrived: list[tuple[str, int, int]], reload_at: int
) -> None:
    totals, before = Totals(), 0
    for number, (worker, epoch, success) in enumerate(arrived):
        if number == reload_at:
            totals = Totals.model_validate(orjson.loads(orjson.dumps(totals.model_dump())))
        totals.observe(beat(worker, f"e{epoch}", success))
        now = totals.by_exchange()["binance"].success
        assert now >= before
        before = now


def test_the_answer_names_every_exchange_and_only_errors_that_happened() -> None:
    data = answer_data(
        {"htx": Statistics(success=3, errors=5, published=2, failed=1)}, ["binance", "htx"]
    )
    assert data == {
        "exchange_success": {"binance": 0, "htx": 3},
        "exchange_errors": {"htx": 5},
        "rabbitmq_published": 2,
        "rabbitmq_failed": 1,
    }


def test_the_block_is_what_the_period_added() -> None:
    before = {"htx": Statistics(success=100, errors=1, published=90, failed=3)}
    after = {"htx": Statistics(success=112, errors=1, published=101, failed=4)}
    assert block(before, after, ["binance", "htx"], 60) == [
        "=== Statistics (last 60s) ===",
        "Binance: 0 success, 0 errors",
        "HTX: 12 success, 0 errors",
        "RabbitMQ: 11 published, 1 failed",
        "=============================",
    ]


async def test_an_answer_is_on_disk_before_it_is_told(tmp_path: Path) -> None:
    clock = FakeClock()
    tally = Tally(tmp_path, Roster(clock), clock)
    tally.observe(beat("w", "e1", 7))
    told = orjson.loads(await tally.answer(Command("get_statistics", "c"), Registry()))
    assert told["data"]["exchange_success"] == {"binance": 7}
    again = Tally(tmp_path, Roster(clock), clock)
    again.observe(beat("w", "e2", 1))
    told = orjson.loads(await again.answer(Command("get_statistics", "c"), Registry()))
    assert told["data"]["exchange_success"] == {"binance": 8}


async def test_damaged_statistics_start_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").write_text('{"workers": 5}')
    clock = FakeClock()
    told = await Tally(tmp_path, Roster(clock), clock).answer(
        Command("get_statistics", None), Registry()
    )
    assert orjson.loads(told)["data"]["rabbitmq_published"] == 0


def test_a_process_is_alive_until_it_is_silent_or_says_goodbye() -> None:
    clock = FakeClock()
    roster = Roster(clock)
    assert roster.hear(beat("w", "e1", 0)) is True
    assert roster.hear(beat("w", "e1", 0)) is False
    assert roster.hear(beat("w", "e1", 0, state="starting")) is True
    assert roster.hear(beat("w", "e2", 0)) is True
    assert [member.worker for member in roster.alive("collector")] == ["w"]
    clock.elapsed_s += GONE_S
    assert roster.alive("collector") == []
    assert roster.age_s("w") == GONE_S
    roster.hear(beat("v", "e1", 0, state="stopping"))
    assert roster.alive("collector") == []
    clock.elapsed_s += FORGOTTEN_S
    roster.hear(beat("v", "e1", 0))
    assert roster.age_s("w") is None


def test_the_oldest_answers_go_when_there_are_too_many_or_too_much() -> None:
    table = AppliedTable(max_ids=3, max_bytes=100)
    for number in range(5):
        table.put((None, str(number)), Applied("d", b"x" * 10))
    assert [id_ for (_, id_), _ in table] == ["2", "3", "4"]
    table.put((None, "big"), Applied("d", b"x" * 90))
    assert [id_ for (_, id_), _ in table] == ["big"]
    table.put(("me", "huge"), Applied("d", b"x" * 500))
    assert len(table) == 1
    assert table.bytes == 506
    table.put((None, "i"), Applied("d", b'{"a":"\\"}'))
    assert table.bytes == 1 + 9 + 5, "as a string within JSON"


def config(*symbols: str, exchanges: tuple[str, ...] = ("binance", "gateio")) -> AppConfig:
    return AppConfig(exchanges=exchanges, symbols=symbols)


def seeded() -> Registry:
    registry = Registry()
    registry.fold(0, Claim(by="a"))
    seed = opening(registry, None, config(BTC, ETH))
    assert isinstance(seed, Seed)
    registry.fold(1, Operation(by="a", epoch=1, op=seed))
    return registry


def test_an_empty_log_without_a_mirror_is_seeded() -> None:
    registry = seeded()
    assert registry.desired.symbols == (BTC, ETH)
    assert registry.exchanges == {"binance": "binance", "gate": "gateio"}


def test_an_empty_log_beside_a_mirror_is_left_alone() -> None:
    found = opening(Registry(), seeded().state(), config(BTC))
    assert found == Bereft(symbols=2)
    assert "fleet registry restore" in str(found)
    assert isinstance(opening(Registry(), Bereft(None), config(BTC)), Bereft)


def test_only_what_the_configuration_changed_is_applied() -> None:
    registry = seeded()
    assert opening(registry, None, config(BTC, ETH)) is None
    assert opening(registry, None, config(ETH, BTC)) is None
    change = opening(registry, None, config(ETH, SOL, exchanges=("gate", "htx")))
    assert change == ConfigChange(
        added=[SOL], removed=[BTC], exchanges={"htx": "htx"}, seen=[ETH, SOL]
    )
