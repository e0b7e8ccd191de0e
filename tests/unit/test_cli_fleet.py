"""The commands that speak of the whole fleet, over answers as a coordinator gives them."""

from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from cli import control, errands, fleet_commands
from cli.errands import end_in, errand_of
from cli.exits import Exit
from cli.history import time_of
from cli.main import main
from cli.roster import degraded, missing
from cli.status import Status, as_dict
from shared import collection
from shared.broker import Broker
from shared.status import Heartbeat


class Fleet:
    """`fleet` from a shell; what it sends is kept, and answered from `data` or with `error`."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys
        self.sent: list[dict[str, Any]] = []
        self.data: dict[str, Any] | list[dict[str, Any]] = {}
        self.error: str | None = None
        patch.setattr(control, "request", self._answer)

    async def _answer(
        self, _broker: Broker, command: dict[str, Any], _timeout_s: float
    ) -> dict[str, Any]:
        self.sent.append(command)
        answer = {"command": command["command"], "message": "said"}
        if self.error:
            return answer | {"success": False, "error": self.error}
        data = self.data.pop(0) if isinstance(self.data, list) else self.data
        return answer | {"success": True, "data": data}

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        self._patch.setattr("sys.argv", ["fleet", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), self._capsys.readouterr().out


@pytest.fixture
def fleet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Fleet:
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    monkeypatch.setenv("FLEET_HOME", str(tmp_path))
    monkeypatch.setenv("FLEET_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("FLEET_HOST_ID", "here")
    return Fleet(monkeypatch, capsys)


def worker(name: str = "gate-0@a", state: str = "running", **fields: Any) -> dict[str, Any]:
    row = {"worker": name, "role": "collector", "exchange": "gateio", "host": "a", "state": state}
    counts = {"assigned": 2, "collected": 2, "live": 2, "lag": 0.0, "age_s": 1.2, "member": True}
    return row | counts | fields


def roster(*workers: dict[str, Any], live: int = 2) -> dict[str, Any]:
    symbols = {"enabled": True, "desired": 3, "assigned": 3, "live": live, "unlisted": ["X/Y:Y"]}
    return {
        "workers": list(workers or (worker(),)),
        "coordinators": [{"worker": "coordinator@a", "host": "a", "leader": True, "age_s": 0.3}],
        "agents": [{"worker": "agent@a", "host": "a", "state": "running", "age_s": 0.4}],
        "symbols": {"gateio": symbols},
    }


def test_workers_are_a_table_with_what_is_missing_as_the_exit_code(fleet: Fleet) -> None:
    fleet.data = roster()
    code, out = fleet.run("workers", "--exchange", "gateio")
    assert code == Exit.OK
    assert fleet.sent == [{"command": "get_workers", "exchange": "gateio"}]
    for words in ("gate-0@a", "running", "gateio", "coordinator@a", "leads", "agent@a"):
        assert words in out
    fleet.data = roster(live=1)
    assert fleet.run("workers")[0] == Exit.DEGRADED
    code, out = fleet.run("workers", "--json")
    assert (code, orjson.loads(out)["data"]) == (Exit.DEGRADED, fleet.data)


@pytest.mark.parametrize("state", ["suspect", "gone", "starting", "stopping"])
def test_a_member_that_does_not_run_degrades_the_fleet(state: str) -> None:
    assert not degraded(roster(worker()))
    assert degraded(roster(worker(), worker("gate-0@b", state)))
    assert not degraded(roster(worker(), worker("gate-0@b", state, member=False)))
    assert not degraded(roster(worker(), worker("okx-0@b", state, exchange="switched off")))


def test_counts_may_be_numbers_or_names() -> None:
    assert missing({"desired": 3, "live": 1, "unlisted": ["a"]}) == 1
    assert missing({"desired": ["a", "b"], "live": None, "unlisted": 2}) == 0
    assert missing({}) == 0


@pytest.mark.parametrize(
    ("error", "code"), [("timeout", Exit.UNREACHABLE), ("internal_error", Exit.FAILED)]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("workers",),
        ("workers", "restart", "gate-0@a"),
        ("exchange", "list"),
        ("exchange", "add", "okx"),
        ("exchange", "disable", "okx"),
        ("tasks", "list"),
        ("tasks", "add", "gate", "BTC", "ticker", "--interval", "1"),
        ("tasks", "remove", "x"),
        ("history",),
        ("rollback", "3"),
    ],
)
def test_a_refusal_is_1_and_no_answer_4(
    fleet: Fleet, arguments: tuple[str, ...], error: str, code: Exit
) -> None:
    fleet.error = error
    assert fleet.run(*arguments) == (code, "said\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("workers", "restart"),
        ("exchange",),
        ("exchange", "add"),
        ("tasks",),
        ("tasks", "add", "gate", "BTC", "ticker"),
        ("tasks", "add", "gate", "BTC", "horoscope", "--interval", "1"),
        ("rollback",),
        ("rollback", "yesterday"),
        ("history", "--limit", "0"),
        ("symbols", "list", "--revision", "3"),
    ],
)
def test_wrong_usage_is_2_and_sends_nothing(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    assert fleet.run(*arguments)[0] == Exit.USAGE
    assert fleet.sent == []


def test_an_errand_is_waited_for(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.data = {"worker": "gate-0@a", "host": "a", "errand": "17"}
    for end, code, words in (
        ({"ok": True, "text": "restarted collector-gate"}, Exit.OK, "restarted collector-gate"),
        ({"ok": False, "text": "no such program"}, Exit.FAILED, "no such program"),
        (None, Exit.DEGRADED, "nothing more was told"),
    ):
        monkeypatch.setattr(errands, "ask", lambda *_, end=end: end)
        got, out = fleet.run("workers", "restart", "gate-0@a")
        assert (got, words in out) == (code, True)
        got, out = fleet.run("workers", "restart", "gate-0@a", "--json")
        assert (got, orjson.loads(out)["outcome"]) == (code, end)
    assert fleet.sent[0] == {"command": "restart_worker", "worker": "gate-0@a"}
    assert fleet.run("workers", "restart", "gate-0@a", "--wait", "0") == (Exit.OK, "said\n")


def test_a_host_is_this_one_unless_another_is_named(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.data = {"exchange": "okx", "enabled": True, "errand": "1"}
    monkeypatch.setattr(errands, "ask", lambda *_: {"ok": True, "text": "done"})
    assert fleet.run("exchange", "add", "okx")[0] == Exit.OK
    assert fleet.run("exchange", "remove", "okx", "--host", "there")[0] == Exit.OK
    assert fleet.run("exchange", "disable", "okx", "--revision", "4")[0] == Exit.OK
    assert fleet.sent == [
        {"command": "enable_exchange", "exchange": "okx", "host": "here"},
        {"command": "disable_exchange", "exchange": "okx", "host": "there"},
        {"command": "disable_exchange", "exchange": "okx", "expected_revision": 4},
    ]


def test_exchanges_are_listed_with_their_hosts(fleet: Fleet) -> None:
    fleet.data = roster(worker(), worker("gate-0@b", host="b"))
    code, out = fleet.run("exchange", "list")
    assert code == Exit.OK
    assert "a, b" in out and "yes" in out
    assert orjson.loads(fleet.run("exchange", "list", "--json")[1])["exchanges"]["gateio"]


def test_tasks_are_read_page_after_page(fleet: Fleet) -> None:
    first = {"task_id": "a", "kind": "ticker", "state": "running", "owner": "gate-0@a"}
    second = {"task_id": "b", "kind": "ticker", "state": "failing"}
    pages = [
        {"tasks": [first], "count": 2, "next": "a"},
        {"tasks": [second], "count": 2, "next": None},
    ]
    fleet.data = list(pages)
    code, out = fleet.run("tasks", "list", "--symbol", "btc", "--json")
    assert code == Exit.DEGRADED
    assert orjson.loads(out) == {"tasks": [first, second], "count": 2}
    assert [command.get("after") for command in fleet.sent] == [None, "a"]
    assert fleet.sent[0]["symbol"] == "BTC/USDT:USDT"
    fleet.data = list(pages)
    code, out = fleet.run("tasks", "list", "--limit", "1")
    assert (code, "ticker" in out, "failing" in out) == (Exit.OK, True, False)
    fleet.data = {"tasks": [], "count": 0, "next": None}
    assert fleet.run("tasks", "list") == (Exit.OK, "no tasks\n")


def test_a_task_is_sent_with_what_was_given_alone(fleet: Fleet) -> None:
    fleet.data = {"task_id": "made", "tasks": 1}
    words = ("tasks", "add", "gate", "btc", "ohlcv", "--interval", "60", "--timeframe", "1m")
    assert fleet.run(*words) == (Exit.OK, "said\nmade\n")
    assert fleet.sent == [
        {
            "command": "add_task",
            "exchange": "gate",
            "symbol": "BTC/USDT:USDT",
            "kind": "ohlcv",
            "interval": 60.0,
            "parameters": {"timeframe": "1m"},
        }
    ]
    assert fleet.run("tasks", "remove", "made", "--revision", "3")[0] == Exit.OK
    assert fleet.sent[1] == {"command": "remove_task", "task_id": "made", "expected_revision": 3}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (fleet_commands.TaskKind, get_args(collection.TaskKind)),
        (fleet_commands.TaskDelivery, get_args(collection.TaskDelivery)),
    ],
)
def test_what_may_be_typed_is_what_is_meant(typed: type[StrEnum], meant: tuple[str, ...]) -> None:
    assert [one.value for one in typed] == list(meant)


def test_history_says_who_and_when(fleet: Fleet) -> None:
    note = {"state_revision": 7, "at": 1_800_000_000, "by": "eva", "command": "add_symbol"}
    fleet.data = {"history": [note | {"text": "added BTC"}], "count": 1}
    code, out = fleet.run("history", "--limit", "5", "--before", "9")
    assert code == Exit.OK
    assert "7" in out and "2027-01-15 08:00:00" in out and "eva" in out and "added BTC" in out
    assert fleet.sent == [{"command": "get_history", "limit": 5, "before": 9}]
    fleet.data = {"history": [], "count": 0}
    assert fleet.run("history") == (Exit.OK, "nothing was changed yet\n")
    assert fleet.run("rollback", "7", "--revision", "8")[0] == Exit.OK
    assert fleet.sent[-1] == {"command": "rollback", "to": 7, "expected_revision": 8}


def test_times_are_seconds_or_milliseconds() -> None:
    assert time_of(1_800_000_000) == time_of(1_800_000_000_000) == "2027-01-15 08:00:00"
    assert time_of(None) == "-" and time_of("now") == "now"


def test_several_symbols_expect_each_others_revision(fleet: Fleet) -> None:
    fleet.data = [{"state_revision": 5}, {"state_revision": 6}]
    assert fleet.run("symbols", "add", "btc", "eth", "--revision", "4")[0] == Exit.OK
    assert [command["expected_revision"] for command in fleet.sent] == [4, 5]
    fleet.error = "revision_conflict"
    assert fleet.run("symbols", "add", "btc", "eth", "--revision", "4")[0] == Exit.FAILED
    assert len(fleet.sent) == 3, "the first that fails is the last"
    assert fleet.run("symbols", "add", "btc", "eth")[0] == Exit.FAILED
    assert len(fleet.sent) == 5


def test_what_means_many_symbols_is_sent_as_it_is(fleet: Fleet) -> None:
    fleet.data = {"state_revision": 1}
    fleet.run("symbols", "add", "*/USDT:USDT", "TOP:50", "top:20:usdt")
    sent = [command["symbol"] for command in fleet.sent]
    assert sent == ["*/USDT:USDT", "top:50", "top:20:USDT"]


def agent(outcome: dict[str, Any]) -> Heartbeat:
    return Heartbeat(
        role="agent",
        exchange=None,
        worker="agent@a",
        epoch="agent@a/1",
        state="running",
        sent_at=1,
        revision=None,
        details={"errands": {"last": [{"id": "1", "ok": True}, outcome]}},
    )


def test_an_errand_is_found_by_its_id() -> None:
    assert end_in(agent({"id": "2", "ok": False}), "2") == {"id": "2", "ok": False}
    assert end_in(agent({"id": "2", "ok": False}), "3") is None
    assert errand_of({"success": True, "data": {"errand": "2"}}) == "2"
    assert errand_of({"success": True, "data": {}}) is None
    assert errand_of({"success": False, "error": "unavailable"}) is None


def test_the_whole_status_is_as_good_as_its_worst_part() -> None:
    beats = [agent({"id": "2"})]
    assert Status([], "", beats, "", roster()).exit is Exit.OK
    assert Status([], "", beats, "", roster(live=0)).exit is Exit.DEGRADED
    assert Status([], "", beats, "", None, "no answer").exit is Exit.DEGRADED
    assert Status(None, "away", beats, "", roster()).exit is Exit.OK
    assert Status(None, "away", None, "away").exit is Exit.UNREACHABLE
    told = as_dict(Status([], "", beats, "", roster()))
    assert told["fleet"] == roster() and told["heartbeats"][0]["worker"] == "agent@a"
