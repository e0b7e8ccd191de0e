"""Commands of the client library, against a real coordinator and against none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pydantic import TypeAdapter

from cli.broker_node import Node
from futures_fleet import CommandError, FleetClient, NoAnswerError
from futures_fleet.answers import DATA
from shared.broker import Broker
from shared.topology import CONTROL_QUEUE, RESPONSES, response_key, topology
from tests.coordinators import BTC, ETH, SOL, coordinator
from tests.facts import cut
from tests.waiting import eventually


async def test_symbols_by_short_names(broker_url: str, tmp_path: Path) -> None:
    async with coordinator(broker_url, tmp_path) as subject, FleetClient(broker_url) as fleet:
        await eventually(lambda: subject.log.registry.seeded, 20)
        added = await fleet.add_symbol("sol")
        assert added["current_symbols"] == [BTC, ETH, SOL]
        with pytest.raises(CommandError, match="already exists") as refused:
            await fleet.add_symbol("SOL-USDT")
        assert refused.value.code == "duplicate_symbol"
        removed = await fleet.remove_symbol("ethusdt")
        assert removed["current_symbols"] == [BTC, SOL]
        put = await fleet.set_symbols(["BTC", "ETH/USDT"])
        assert put["current_symbols"] == [BTC, ETH]
        own = await fleet.add_symbol("SOL", exchange="binance")
        assert own["current_symbols"] == [BTC, ETH, SOL]
        read = await fleet.get_symbols("binance")
        assert read["symbols"] == [BTC, ETH, SOL]
        assert (await fleet.get_symbols())["count"] == 2


async def test_who_expects_another_state_is_refused(broker_url: str, tmp_path: Path) -> None:
    async with coordinator(broker_url, tmp_path), FleetClient(broker_url) as fleet:
        state = await fleet.get_state()
        assert state.symbols == (BTC, ETH)
        await fleet.set_symbols(["SOL"], expected_revision=state.state_revision)
        with pytest.raises(CommandError) as refused:
            await fleet.set_symbols(["ETH"], expected_revision=state.state_revision)
        assert refused.value.code == "revision_conflict"
        assert refused.value.data["state_revision"] > state.state_revision
        assert (await fleet.get_state()).symbols == (SOL,)


async def test_answers_are_what_they_are_typed_as(broker_url: str, tmp_path: Path) -> None:
    def fits(command: str, data: Any) -> Any:
        return TypeAdapter(DATA[command]).validate_python(data, strict=True)

    async with coordinator(broker_url, tmp_path), FleetClient(broker_url) as fleet:
        fits("add_symbol", await fleet.add_symbol("top:5"))
        fits("remove_symbol", await fleet.remove_symbol("top:5"))
        fits("set_symbols", await fleet.set_symbols(["BTC"]))
        fits("get_symbols", await fleet.get_symbols())
        fits("get_statistics", await fleet.get_statistics())
        parameters = {"timeframe": "1m", "limit": 5}
        task = await fleet.add_task(
            "binance", "BTC", "ohlcv", 60, task_id="mine", parameters=parameters, priority=1
        )
        fits("add_task", task)
        listed = await fleet.list_tasks(exchange="binance", symbol="btc", kind="ohlcv", limit=5)
        assert [one["task_id"] for one in fits("list_tasks", listed)["tasks"]] == ["mine"]
        fits("remove_task", await fleet.remove_task("mine"))
        fits("disable_exchange", await fleet.disable_exchange("binance"))
        switched = fits("enable_exchange", await fleet.enable_exchange("binance"))
        assert switched["exchanges"]["binance"] is True
        fits("get_workers", await fleet.get_workers())
        fits("get_workers", await fleet.get_workers("binance"))
        state = await fleet.get_state()
        await fleet.add_symbol("ETH")
        history = fits("get_history", await fleet.get_history(limit=3))
        assert history["history"][0]["by"] == "guest"
        rolled = fits("rollback", await fleet.rollback(state.state_revision))
        assert rolled["current_symbols"] == [BTC]
        with pytest.raises(CommandError, match="never heard of"):
            await fleet.restart_worker("binance-0@nowhere")


async def test_many_commands_at_once_get_their_own_answers(broker_url: str, tmp_path: Path) -> None:
    async with coordinator(broker_url, tmp_path), FleetClient(broker_url) as fleet:
        names = [f"C{number}" for number in range(20)]
        answers = await asyncio.gather(*(fleet.add_symbol(name) for name in names))
        assert [one["symbol"] for one in answers] == [f"{name}/USDT:USDT" for name in names]


@asynccontextmanager
async def control_queue(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """The fleet's topology, and nobody who serves it but the test."""
    broker = Broker(url, "a test", topology("futures_data"), declares=True)
    async with await broker.connect("test") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        yield channel


async def taken(channel: aio_pika.abc.AbstractChannel) -> AbstractIncomingMessage:
    """The next command, off the queue."""
    queue = await channel.get_queue(CONTROL_QUEUE, ensure=False)
    async with asyncio.timeout(20), queue.iterator(no_ack=True) as messages:
        return await anext(messages)


async def test_a_command_whose_connection_was_lost_is_sent_again_as_it_was(
    broker_node: Node,
) -> None:
    url = broker_node.amqp_url
    async with FleetClient(url) as fleet:
        async with control_queue(url) as channel:
            asking = asyncio.create_task(fleet.set_symbols(["BTC"]))
            first = await taken(channel)
        await cut(broker_node)
        async with control_queue(url) as channel:
            second = await taken(channel)
            assert (second.body, second.correlation_id) == (first.body, first.correlation_id)
            assert first.user_id == "guest"
            body = {"correlation_id": second.correlation_id, "success": True, "data": {"count": 1}}
            responses = await channel.get_exchange(RESPONSES, ensure=False)
            for key, answer in (("add_symbol", b"{}"), ("set_symbols", orjson.dumps(body))):
                await responses.publish(
                    aio_pika.Message(answer), response_key(key), mandatory=False
                )
            assert (await asyncio.wait_for(asking, 20))["count"] == 1
    command = orjson.loads(first.body)
    assert command["command"] == "set_symbols"
    assert isinstance(command["timestamp"], int)


async def test_a_command_that_nobody_answers(broker_url: str) -> None:
    async with control_queue(broker_url), FleetClient(broker_url, timeout_s=0.5) as fleet:
        with pytest.raises(NoAnswerError, match=r"no answer within 0\.5 s$"):
            await fleet.get_symbols()


async def test_a_broker_without_a_fleet_is_told_apart(broker_url: str) -> None:
    async with FleetClient(broker_url, timeout_s=1.5) as fleet:
        with pytest.raises(NoAnswerError, match=r"within 1.5 s: .*futures_co"):
            await fleet.get_symbols()


async def test_a_broker_that_is_away_is_waited_for() -> None:
    async with FleetClient("amqp://guest:guest@127.0.0.1:1/", timeout_s=0.5) as fleet:
        with pytest.raises(NoAnswerError, match=r"no connection to 127\.0\.0\.1:1$"):
            await fleet.get_symbols()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(fleet.stream("#")), 0.5)


async def test_a_client_may_end_while_a_command_waits(broker_url: str) -> None:
    async with control_queue(broker_url) as channel, FleetClient(broker_url) as fleet:
        asking = asyncio.create_task(fleet.get_symbols())
        await taken(channel)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_who_waits_for_an_answer_is_told_that_the_client_was_closed(broker_url: str) -> None:
    async with control_queue(broker_url) as channel:
        async with FleetClient(broker_url) as fleet:
            asking = asyncio.create_task(fleet.add_symbol("SOL"))
            await taken(channel)
        with pytest.raises(NoAnswerError, match="may still be done"):
            await asyncio.wait_for(asking, 20)
