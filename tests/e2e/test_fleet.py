"""A whole fleet under supervisord, driven from outside: by AMQP, by supervisorctl, by kill -9."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from cli.demo_layout import EXCHANGES as VENUES
from cli.endpoints import Endpoints, read_endpoints
from cli.supervisor import Supervisor
from tests.venues import TRADE_ID_FIELDS
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.deadline(150)]

BTC, ETH, SOL, DOGE = (f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "DOGE"))
KEPT = "kept_by_test"


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Endpoints]:
    """A demo that delivers."""
    home = tmp_path_factory.mktemp("fleet")
    environment = {k: v for k, v in os.environ.items() if k != "AMQP_URL"}
    log = (home / "out.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "fleet"), "demo"),
        env=environment | {"FLEET_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        endpoints = await eventually(lambda: read_endpoints(home / "endpoints.json"), 30, "up")
        delivering = home / "out.log"
        await eventually(lambda: b"venues deliver" in delivering.read_bytes(), 60, "delivering")
        yield endpoints
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 60)
        log.close()


class Client:
    """A plain AMQP client, which knows nothing of our code."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.messages: list[AbstractIncomingMessage] = []

    async def __aenter__(self) -> "Client":
        self._connection = await aio_pika.connect(self._url)
        self.channel = await self._connection.channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def listen(self, exchange: str, *patterns: str) -> None:
        queue = await self.channel.declare_queue(exclusive=True)
        for pattern in patterns:
            await queue.bind(exchange, pattern)

        async def take(message: AbstractIncomingMessage) -> None:
            self.messages.append(message)

        await queue.consume(take, no_ack=True)

    async def command(self, name: str, **fields: Any) -> Any:
        """Publish to the queue itself, wait for the answer with our correlation id."""
        correlation_id = str(uuid.uuid4())
        body = {"command": name, "correlation_id": correlation_id, "timestamp": int(time.time())}
        await self.channel.default_exchange.publish(
            aio_pika.Message(orjson.dumps(body | fields)), "futures_collector_control"
        )

        def answer() -> Any:
            for message in self.messages:
                if message.routing_key == f"control.response.{name}":
                    content = orjson.loads(message.body)
                    if content["correlation_id"] == correlation_id:
                        return content
            return None

        return await eventually(answer, 10, f"an answer to {name}")

    def routing_keys(self) -> set[str]:
        return {message.routing_key or "" for message in self.messages}


async def test_the_five_commands_answer_as_promised(fleet: Endpoints) -> None:
    async with Client(fleet.amqp_url) as client:
        await client.listen("futures_collector_responses", "control.response.#")
        answer = await client.command("get_symbols")
        assert answer["success"] is True
        assert answer["command"] == "get_symbols"
        assert answer["message"] == "Symbols retrieved successfully"
        assert answer["data"]["symbols"] == [BTC, ETH, SOL]
        assert answer["data"]["count"] == 3
        assert abs(answer["timestamp"] - time.time()) < 5

        await asyncio.sleep(6)  # each collector repeats its market list within 5 s
        answer = await client.command("add_symbol", symbol="LINK/USDT:USDT")
        assert answer["message"] == "Symbol LINK/USDT:USDT added successfully"
        assert answer["data"]["symbol"] == "LINK/USDT:USDT"
        assert answer["data"]["current_symbols"] == [BTC, ETH, SOL, "LINK/USDT:USDT"]
        assert set(answer["data"]["listed_on"]) == set(VENUES)
        answer = await client.command("add_symbol", symbol="LINK/USDT:USDT")
        assert (answer["success"], answer["error"]) == (False, "duplicate_symbol")
        assert answer["message"] == "Symbol LINK/USDT:USDT already exists"

        answer = await client.command("remove_symbol", symbol="LINK/USDT:USDT")
        assert answer["message"] == "Symbol LINK/USDT:USDT removed successfully"
        assert answer["data"]["current_symbols"] == [BTC, ETH, SOL]
        answer = await client.command("remove_symbol", symbol="LINK/USDT:USDT")
        assert answer["error"] == "symbol_not_found"

        answer = await client.command("set_symbols", symbols=[SOL, BTC, ETH])
        assert answer["data"]["current_symbols"] == [SOL, BTC, ETH]

        async def counted() -> Any:
            data = (await client.command("get_statistics"))["data"]
            return data if min(data["exchange_success"].values()) > 0 else None

        data = await eventually(counted, 15, "success of all venues")
        assert set(data["exchange_success"]) == set(VENUES)
        assert data["rabbitmq_published"] > 0
        assert data["rabbitmq_failed"] == 0


async def test_a_symbol_that_is_added_flows_everywhere_within_ten_seconds(
    fleet: Endpoints,
) -> None:
    async with Client(fleet.amqp_url) as client:
        await client.listen("futures_collector_responses", "control.response.#")
        await client.listen("futures_data", "futures.*.DOGEUSDT")
        assert (await client.command("add_symbol", symbol=DOGE))["success"]
        wanted = {f"futures.{venue}.DOGEUSDT" for venue in VENUES}
        await eventually(lambda: wanted <= client.routing_keys(), 10, "DOGE on all venues")


async def test_the_restart_of_one_collector_costs_the_others_nothing(fleet: Endpoints) -> None:
    async with Client(fleet.amqp_url) as client:
        await client.listen("futures_data", "#")
        await asyncio.sleep(1)
        before = len(client.messages)
        conf = Path(fleet.config).parent / "supervisord.conf"
        control = [str(Path(sys.executable).parent / "supervisorctl"), "-c", str(conf)]
        done = await asyncio.to_thread(
            subprocess.run,
            [*control, "restart", "collector-bybit"],
            capture_output=True,
            check=True,
        )
        assert b"started" in done.stdout

        def restarted() -> bool:
            return any(
                ".bybit." in (m.routing_key or "") and "prev_epoch" in m.headers
                for m in client.messages[before:]
            )

        await eventually(restarted, 15, "bybit flows again, and says what came before")
        await asyncio.sleep(1)
    last: dict[tuple[Any, str], int] = {}
    for message in client.messages:
        key = message.routing_key or ""
        if ".bybit." in key:
            continue
        stream, number = (message.headers["epoch"], key), message.headers["seq"]
        assert isinstance(number, int)
        assert last.get(stream, number - 1) == number - 1
        last[stream] = number
    assert len({epoch for epoch, _ in last}) == len(VENUES) - 1


async def test_a_killed_broker_costs_no_trade_and_no_process(fleet: Endpoints) -> None:
    supervisor = Supervisor(Path(fleet.supervisor_socket))
    pids = {p.name: p.pid for p in supervisor.programs() if p.name != "broker"}
    beam = int((Path(fleet.config).parent / "broker" / "pid").read_text())
    async with Client(fleet.amqp_url) as client:
        kept = await client.channel.declare_queue(KEPT, durable=True)
        await kept.bind("futures_data", "trades.#")
        await asyncio.sleep(2)
    started_ns = time.time_ns() - 1_000_000_000
    os.kill(beam, signal.SIGKILL)

    async def back() -> bool:
        try:
            async with Client(fleet.amqp_url) as client:
                await client.listen("futures_data", "futures.#")
                wanted = len(VENUES)
                await eventually(
                    lambda: len({k.split(".")[1] for k in client.routing_keys()}) == wanted, 12
                )
        except (OSError, aio_pika.exceptions.AMQPError, AssertionError):
            return False
        return True

    await eventually(back, 60, "all venues deliver again")
    assert {p.name: p.pid for p in supervisor.programs() if p.name != "broker"} == pids
    ended_ns = time.time_ns()
    await asyncio.sleep(1.5)
    received = await _kept_trades(fleet)
    sent = await _sent_trades(fleet, started_ns, ended_ns)
    assert len(sent) > 100
    assert sent - set(received) == set()
    # What was in flight when the broker died comes twice, with the same id; nothing else does.
    assert len(received) - len(set(received)) <= 200


async def _kept_trades(fleet: Endpoints) -> list[tuple[str, str, str]]:
    trades = []
    async with Client(fleet.amqp_url) as client:
        queue = await client.channel.get_queue(KEPT)
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            body = orjson.loads(message.body)
            trades.append((body["exchange"], body["symbol"], body["id"]))
        await queue.delete(if_unused=False, if_empty=False)
    return trades


async def _sent_trades(
    fleet: Endpoints, started_ns: int, ended_ns: int
) -> set[tuple[str, str, str]]:
    """What the simulated venues say they sent in that time."""
    events: list[tuple[str, Any]] = []
    async with aiohttp.ClientSession() as session:
        for venue in VENUES:
            url = f"{fleet.simulator_url}/_truth?after=0&venue={venue}"
            async with session.get(url) as response:
                events += ((venue, event) for event in (await response.json())["lines"])
    return {
        (venue, event["symbol"], str(trade_id))
        for venue, event in events
        if event["event"] == "sent" and "rade" in event["channel"]
        if started_ns < event["t"] < ended_ns
        for trade_id in event["ids"][TRADE_ID_FIELDS[venue]]
    }
