"""The command line client, as a user types it, and the function it is made of."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker import Broker
from shared.control import request
from shared.errors import BrokerError
from shared.topology import CONTROL_QUEUE, topology
from tests.coordinators import BTC, ETH, ROOT, SOL, client, coordinator
from tests.waiting import eventually

SCRIPT = ROOT / "scripts" / "control_client.py"
UNREACHABLE = "amqp://guest:guest@127.0.0.1:1/"


async def typed(cwd: Path, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the script; no variable of ours leaks into it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLEET_", "AMQP_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), *arguments),
        cwd=cwd,
        env=kept | {"FLEET_CONFIG": "none.json", "FLEET_HOME": str(cwd / "home")} | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def answered(cwd: Path, url: str, *arguments: str) -> dict[str, Any]:
    code, out, _ = await typed(cwd, *arguments, AMQP_URL=url)
    answer: dict[str, Any] = orjson.loads(out)
    assert code == (0 if answer["success"] else 1)
    return answer


async def test_the_documented_examples(broker_url: str, tmp_path: Path) -> None:
    async with coordinator(broker_url, tmp_path) as subject, asyncio.timeout(60):
        await eventually(lambda: subject.log.registry.seeded, 20)
        added = await answered(tmp_path, broker_url, "add_symbol", SOL)
        assert added["data"]["current_symbols"] == [BTC, ETH, SOL]
        again = await answered(tmp_path, broker_url, "add_symbol", "SOL")
        assert again["error"] == "duplicate_symbol"
        removed = await answered(tmp_path, broker_url, "remove_symbol", ETH)
        assert removed["data"]["current_symbols"] == [BTC, SOL]
        put = await answered(tmp_path, broker_url, "set_symbols", f"{BTC}, {ETH}")
        assert put["data"]["current_symbols"] == [BTC, ETH]
        read = await answered(tmp_path, broker_url, "get_symbols")
        assert read["data"]["symbols"] == [BTC, ETH]
        statistics = await answered(tmp_path, broker_url, "get_statistics", "--timeout", "5")
        assert set(statistics["data"]) >= {"exchange_success", "rabbitmq_published"}


@pytest.mark.parametrize(
    ("typed_words", "command"),
    [
        (("get_workers",), {}),
        (("get_history", "--limit", "3", "--before", "9"), {"limit": 3, "before": 9}),
        (("rollback", "7"), {"to": 7}),
        (("restart_worker", "gate-0@a"), {"worker": "gate-0@a"}),
        (("enable_exchange", "okx", "--host", "b"), {"exchange": "okx", "host": "b"}),
        (("disable_exchange", "okx"), {"exchange": "okx"}),
        (
            ("remove_task", "t", "--expected-revision", "2"),
            {"task_id": "t", "expected_revision": 2},
        ),
        (("list_tasks", "--symbol", "BTC", "--kind", "ticker"), {"symbol": BTC, "kind": "ticker"}),
        (("add_symbol", "top:50"), {"symbol": "top:50"}),
        (("set_symbols", "BTC, */USDT:USDT"), {"symbols": [BTC, "*/USDT:USDT"]}),
        (
            ("add_task", "gate", "BTC", "ohlcv", "60", "--timeframe", "1m", "--rows", "5"),
            {
                "exchange": "gate",
                "symbol": BTC,
                "kind": "ohlcv",
                "interval": 60.0,
                "parameters": {"timeframe": "1m", "limit": 5},
            },
        ),
    ],
)
async def test_every_command_goes_out_as_it_was_typed(
    broker_url: str, tmp_path: Path, typed_words: tuple[str, ...], command: dict[str, Any]
) -> None:
    async with client(broker_url) as fleet:
        await typed(tmp_path, *typed_words, "--timeout", "0.3", AMQP_URL=broker_url)
        queue = await fleet.channel.get_queue(CONTROL_QUEUE)
        bodies: list[bytes] = []

        async def take(message: AbstractIncomingMessage) -> None:
            bodies.append(message.body)

        await queue.consume(take, no_ack=True)
        await eventually(lambda: bodies, 10, "a command")
    sent = orjson.loads(bodies[0])
    assert sent.pop("correlation_id") and sent.pop("timestamp")
    assert sent == {"command": typed_words[0]} | command


async def test_nobody_answers_in_time(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url):
        answer = await answered(tmp_path, broker_url, "--timeout", "0.3", "get_symbols")
    assert (answer["error"], answer["success"], answer["command"]) == (
        "timeout",
        False,
        "get_symbols",
    )


async def test_the_address_of_a_running_fleet_is_found(broker_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "endpoints.json").write_bytes(orjson.dumps({"amqp_url": broker_url}))
    async with coordinator(broker_url, tmp_path) as subject:
        await eventually(lambda: subject.log.registry.seeded, 20)
        code, out, err = await typed(tmp_path, "get_symbols")
    assert (code, err) == (0, "")
    assert orjson.loads(out)["data"]["count"] == 2


@pytest.mark.parametrize(
    ("arguments", "env", "expected"),
    [
        ((), {}, 2),
        (("paint_it_black",), {}, 2),
        (("add_symbol",), {}, 2),
        (("get_symbols", "--timeout", "0"), {}, 2),
        (("get_symbols", "--timeout", "soon"), {}, 2),
        (("rollback",), {}, 2),
        (("rollback", "-1"), {}, 2),
        (("rollback", "9" * 30), {}, 2),
        (("add_task", "gate", "BTC", "ticker", "soon"), {}, 2),
        (("get_symbols",), {}, 78),
        (("get_symbols",), {"AMQP_URL": "http://127.0.0.1"}, 78),
        (("get_symbols",), {"AMQP_URL": UNREACHABLE}, 4),
    ],
)
async def test_exit_codes(
    tmp_path: Path, arguments: tuple[str, ...], env: dict[str, str], expected: int
) -> None:
    code, out, err = await typed(tmp_path, *arguments, **env)
    assert (code, out) == (expected, "")
    if expected != 2:
        assert len(err.splitlines()) == 1


async def test_refused_credentials_are_a_matter_of_configuration(
    broker_url: str, tmp_path: Path
) -> None:
    url = broker_url.replace("guest:guest", "guest:wrong")
    code, _, err = await typed(tmp_path, "get_symbols", AMQP_URL=url)
    assert (code, len(err.splitlines())) == (78, 1)


async def test_a_broker_without_a_fleet_is_told_apart(broker_url: str, tmp_path: Path) -> None:
    code, _, err = await typed(tmp_path, "get_symbols", AMQP_URL=broker_url)
    assert (code, len(err.splitlines())) == (4, 1)


async def test_a_request_matches_its_own_answer(broker_url: str, tmp_path: Path) -> None:
    broker = Broker(broker_url, "a test", topology("futures_data"), declares=False)
    async with coordinator(broker_url, tmp_path) as subject:
        await eventually(lambda: subject.log.registry.seeded, 20)
        answers = await asyncio.gather(
            *(request(broker, {"command": "get_symbols", "n": n}, 10) for n in range(5)),
            request(broker, {"command": "add_symbol", "symbol": SOL, "correlation_id": "x"}, 10),
            request(broker, {"command": "no such"}, 10),
        )
    assert [answer["success"] for answer in answers] == [True] * 6 + [False]
    assert answers[5]["correlation_id"] == "x"
    assert len({answer["correlation_id"] for answer in answers}) == 7


async def test_a_request_never_declares_the_control_queue(broker_url: str) -> None:
    broker = Broker(broker_url, "a test", topology("futures_data"), declares=True)
    with pytest.raises(BrokerError):
        await request(broker, {"command": "get_symbols"}, 2)
    connection = await broker.connect("check")
    async with connection:
        channel = await connection.channel()
        with pytest.raises(Exception, match=f"no queue '{CONTROL_QUEUE}'"):
            await channel.get_queue(CONTROL_QUEUE)
