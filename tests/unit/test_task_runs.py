"""How collection tasks start, change, fail and end."""

from typing import get_args

import pytest

from shared.collection import TaskKind
from shared.messages import TaskResult
from tests.desk import Desk, task
from tests.recording import BTC
from workers.collector.schedule.tightness import Factors
from workers.collector.unified import Market

ETH = "ETH/USDT:USDT"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_kinds_of_tasks_and_of_results_are_the_same() -> None:
    annotation = TaskResult.model_fields["kind"].annotation
    assert set(get_args(annotation)) == set(get_args(TaskKind))


async def test_where_things_are_tight_results_come_less_often_and_later_again(desk: Desk) -> None:
    desk.factors = Factors(process=4)
    desk.have(task())
    await desk.run(16, desk.quote)
    assert 4 <= len(desk.results()) <= 5
    assert desk.tasks.counts()["widened"] == 4
    assert desk.tasks.counts()["late"] >= 9
    desk.factors = Factors()
    before = len(desk.results())
    await desk.run(10, desk.quote)
    assert 8 <= len(desk.results()) - before <= 11


async def test_a_task_with_another_content_starts_again_and_one_that_is_gone_ends(
    desk: Desk,
) -> None:
    desk.have(task(), task(task_id="other"))
    await desk.run(3, desk.quote)
    desk.have(task(interval=5), task(task_id="other"))
    before = len(desk.results("t")), len(desk.results("other"))
    await desk.run(10, desk.quote)
    assert 2 <= len(desk.results("t")) - before[0] <= 3
    assert 9 <= len(desk.results("other")) - before[1] <= 11
    assert {one.interval for one in desk.results("t")[before[0] :]} == {5.0}
    runs = desk.tasks.counts()["runs"]
    desk.have(task(task_id="other"))
    count = len(desk.results("t"))
    await desk.run(10, desk.quote)
    assert len(desk.results("t")) == count
    assert desk.tasks.counts()["runs"] >= runs + 9  # which never fall
    desk.have()
    assert desk.tasks.counts() == {}


async def test_a_task_ends_with_its_symbol_and_takes_its_questions_along(desk: Desk) -> None:
    desk.intake.set_markets([desk.market, Market(ETH, "ETH", 1.0)])
    tasks = [task(), task(task_id="eth", symbol=ETH), task("trades", "elsewhere", symbol="SOL")]
    desk.have(*tasks)
    await desk.run(4)
    assert desk.tasks.counts()["running"] == 2
    desk.intake.set_markets([desk.market])
    desk.have(*tasks)
    asked = len([one for one in desk.client.asked if ETH in one])
    assert asked >= 3
    await desk.run(5)
    assert len([one for one in desk.client.asked if ETH in one]) == asked
    assert desk.tasks.counts()["running"] == 1


async def test_a_symbol_that_is_gone_before_its_tasks_is_said(desk: Desk) -> None:
    desk.have(*(task(kind, kind) for kind in ("ticker", "orderbook", "trades", "funding")))
    desk.intake.set_markets([])
    await desk.run(3)
    assert set(desk.failing().values()) == {"its symbol is not collected"}
    assert desk.results() == []


async def test_a_sampled_task_keeps_its_pace_and_all_go_out_as_they_ask(desk: Desk) -> None:
    desk.have(
        task(task_id="s", delivery="sampled", sample_ms=3000),
        task(task_id="l", delivery="lossless"),
        task(task_id="n"),
    )
    await desk.run(12, desk.quote)
    assert 4 <= len(desk.results("s")) <= 5
    kinds = {fact.tail: fact.kind.label for fact in desk.facts if fact.kind.name == "task"}
    assert kinds == {"s": "task.latest", "l": "task", "n": "task.latest"}
    assert {fact.symbol for fact in desk.facts} == {BTC}


async def test_a_heartbeat_names_some_that_fail_and_counts_the_others(desk: Desk) -> None:
    desk.client.down = True
    desk.have(*(task(task_id=f"task-{n}" + 50 * "x") for n in range(30)))
    await desk.run(5)
    told = desk.tasks.counts()
    reasons = list(told["failing"].values())
    assert (told["running"], len(reasons) + told["more_failing"]) == (0, 30)
    assert 6 < len(reasons) < 30
    assert reasons == ["away"] * 5 + [""] * (len(reasons) - 5)
    assert len(str(told)) < 1000
