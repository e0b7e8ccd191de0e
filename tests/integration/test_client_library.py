"""Streams of the client library, against a real broker."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from cli.broker_node import Node
from futures_fleet import (
    CredentialsError,
    FleetClient,
    Message,
    Missed,
    Stream,
    Ticker,
    Trade,
    symbol_key,
)
from futures_fleet.deliveries import usable
from tests.coordinators import BTC, ROOT
from tests.facts import KEY, NOW_MS, Speaker, cut, message, speaker
from tests.waiting import eventually

A, B = "binance-0@a/1", "binance-0@b/1"
TICKER = "ticker.binance.BTCUSDT"


def ticker(seq: int, at: int, epoch: str = A) -> Message:
    body = {
        "exchange": "binance", "symbol": BTC, "bid": 1.0, "ask": 2.0, "bid_size": 1.0, "ask_size": 1.0,
        "last": 1.5, "timestamp": at, "received_at": at + 1,
    }  # fmt: skip
    return message(seq, TICKER, epoch, raw=orjson.dumps(body))


@asynccontextmanager
async def reading(
    url: str, *patterns: str, **options: Any
) -> AsyncIterator[tuple[Speaker, Stream[Any]]]:
    """A speaker, and a stream that hears it."""
    async with speaker(url) as speaks, FleetClient(url) as fleet:
        stream = fleet.stream(*patterns, **options)
        async with asyncio.timeout(20):
            await stream.ready()
        yield speaks, stream


async def heard(stream: Stream[Any], count: int) -> list[Any]:
    """The next so many that are handed out."""
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


async def test_messages_come_typed_and_in_order(broker_url: str) -> None:
    async with reading(broker_url, "trades.binance.*", "ticker.#") as (speaks, stream):
        await speaks.say(message(1, key="trades.bybit.BTCUSDT"))
        await speaks.say(message(1))
        await speaks.say(ticker(1, NOW_MS))
        await speaks.say(message(2))
        got = await heard(stream, 3)
    assert [one.routing_key for one in got] == [KEY, TICKER, KEY]
    assert [type(one.body) for one in got] == [Trade, Ticker, Trade]
    assert [one.seq for one in got] == [1, 1, 2]
    assert (got[0].exchange, got[0].symbol, got[0].worker) == ("binance", BTC, "a@h")
    assert got[0].raw == message(1).raw


async def test_what_did_not_come_is_told_in_its_place(broker_url: str) -> None:
    told: list[Missed] = []
    options: dict[str, Any] = {"missed": True, "on_missed": told.append, "grace_s": 0.2}
    async with reading(broker_url, "trades.#", **options) as (speaks, stream):
        for seq in (7, 8, 11):
            await speaks.say(message(seq))
        got = await heard(stream, 4)
        assert [getattr(one, "seq", None) for one in got] == [7, 8, 11, None]
        assert got[3] == told[0] == Missed(KEY, "a@h/1", 8, 2)
        assert stream.missed == 2
        await speaks.say(message(9))
        assert (await heard(stream, 1))[0].seq == 9
        assert stream.missed == 1


async def test_what_comes_late_was_not_missed(broker_url: str) -> None:
    async with reading(broker_url, "trades.#", missed=True, grace_s=30) as (speaks, stream):
        for seq in (1, 3, 2, 4):
            await speaks.say(message(seq))
        got = await heard(stream, 4)
        assert [one.seq for one in got] == [1, 3, 2, 4]
    assert stream.missed == 0


async def test_a_hole_at_the_end_is_told_when_the_stream_is_closed(broker_url: str) -> None:
    told: list[Missed] = []
    async with reading(broker_url, "trades.#", on_missed=told.append) as (speaks, stream):
        for seq in (1, 5):
            await speaks.say(message(seq))
        await heard(stream, 2)
        assert told == []
    assert [missed.count for missed in told] == [3]
    assert stream.missed == 3


async def test_while_a_symbol_moves_each_fact_comes_once(broker_url: str) -> None:
    """Two workers have it for a while; the second one's venue time runs behind."""
    async with reading(broker_url, "#") as (speaks, stream):
        for number in range(1, 31):
            said: Any = {"id_": f"binance:{BTC}:trades:{number}"}
            if number <= 20:
                await speaks.say(message(number, epoch=A, **said))
                await speaks.say(ticker(number, NOW_MS + 10 * number, A))
            if number > 10:
                await speaks.say(message(number - 10, epoch=B, **said))
                await speaks.say(ticker(number - 10, NOW_MS + 10 * number - 5, B))
        got = await heard(stream, 30 + 20 + 10)
        trades = [one.message_id.rpartition(":")[2] for one in got if one.kind == "trades"]
        assert trades == [str(number) for number in range(1, 31)]
        times = [one.body.timestamp for one in got if one.kind == "ticker"]
        assert times == sorted(times)
        assert (stream.duplicates, stream.superseded, stream.missed) == (10, 10, 0)


async def test_a_lost_connection_is_renewed_and_what_it_cost_is_told(broker_node: Node) -> None:
    url = broker_node.amqp_url
    async with FleetClient(url) as fleet:
        stream = fleet.stream("#", missed=True, grace_s=0.1)
        async with speaker(url) as speaks:
            await asyncio.wait_for(stream.ready(), 20)
            await speaks.say(message(1))
            await speaks.say(message(1, "trades.binance.ETHUSDT"))
            assert [one.seq for one in await heard(stream, 2)] == [1, 1]
        await cut(broker_node)
        async with speaker(url) as speaks:
            arrived = asyncio.create_task(anext(stream))
            seq = 5
            while not arrived.done():
                await speaks.say(message(seq := seq + 1))
                await asyncio.sleep(0.05)
            first = await arrived
            assert isinstance(first, Message)
            await speaks.say(message(40, "trades.binance.ETHUSDT", "a@h/2"))
            rest = [first]
            while not (isinstance(rest[-1], Message) and rest[-1].epoch == "a@h/2"):
                rest += await heard(stream, 1)
            rest += await heard(stream, 1) if stream.missed == 0 else []
    missed = [one for one in rest if isinstance(one, Missed)]
    assert Missed(KEY, "a@h/1", 1, first.seq - 2) in missed
    assert Missed("trades.binance.ETHUSDT", "a@h/2", 0, None) in missed
    assert (stream.missed, stream.breaks) == (first.seq - 2, 1)


async def test_a_reader_that_lags_is_told_what_it_lost(broker_url: str) -> None:
    count = 2_000
    async with reading(broker_url, "trades.#", buffer_bytes=100_000) as (speaks, stream):
        await speaks.say(message(1))
        assert (await heard(stream, 1))[0].seq == 1
        for seq in range(2, count):
            await speaks.say(message(seq))
        await eventually(lambda: stream.dropped > 0, 10)
        await speaks.say(message(count))
        seqs: list[int] = []
        while not seqs or seqs[-1] != count:
            seqs += [one.seq for one in await heard(stream, 1)]
    assert len(seqs) + stream.dropped == count - 1
    assert stream.missed == stream.dropped
    assert seqs == sorted(seqs)


@pytest.mark.parametrize("direct", [True, False])
async def test_deliveries_are_whole_and_in_order(
    broker_url: str, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    """Where aiormq puts them together, and in its public way: bodies of none, one and many frames."""
    assert usable(), "aiormq has changed: see futures_fleet.deliveries"
    monkeypatch.setattr("futures_fleet.stream.usable", lambda: direct)
    bodies = [b"{}", b"", b"x" * 131_064, b"y" * 300_000, b"[1]"]
    async with reading(broker_url, "#") as (speaks, stream):
        for seq, body in enumerate(bodies, start=1):
            await speaks.say(message(seq, raw=body))
        got = await heard(stream, len(bodies))
    assert [one.raw for one in got] == bodies
    assert [one.seq for one in got] == [1, 2, 3, 4, 5]


async def test_what_is_no_message_of_the_fleet_is_counted(broker_url: str) -> None:
    async with reading(broker_url, "trades.#") as (speaks, stream):
        await speaks.say(message(1), seq=None)
        await speaks.say(message(1), epoch=5)
        await speaks.say(message(1), seq="1")
        await speaks.say(message(2))
        assert [one.seq for one in await heard(stream, 1)] == [2]
        assert stream.refused == 3


async def test_a_handler_that_fails_costs_no_message(broker_url: str) -> None:
    calls = 0

    def fails(_: Missed) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("a defect of the program")

    options = {"on_missed": fails, "grace_s": 0.0}
    async with reading(broker_url, "trades.#", **options) as (speaks, stream):
        for seq in (1, 5, 6):
            await speaks.say(message(seq))
        assert [one.seq for one in await heard(stream, 3)] == [1, 5, 6]
        await stream.close()
    assert calls == 1


async def test_what_is_awaited_of_a_stream_that_is_closed_ends(broker_url: str) -> None:
    async with FleetClient(broker_url) as fleet:
        stream = fleet.stream("trades.#")
        ready = asyncio.create_task(stream.ready())
        await asyncio.sleep(0)
        await stream.close()
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(ready, 5)


async def test_a_symbol_is_no_word_of_a_key(broker_url: str) -> None:
    async with FleetClient(broker_url) as fleet:
        with pytest.raises(ValueError, match="symbol_key"):
            fleet.stream("trades.*.BTC/USDT:USDT")
        fleet.stream(f"trades.*.{symbol_key(BTC)}")


async def test_credentials_that_never_worked_are_an_error(broker_url: str) -> None:
    async with FleetClient(broker_url.replace("guest:guest", "guest:wrong")) as fleet:
        for attempt in (fleet.stream("#").ready(), anext(fleet.stream("#")), fleet.get_symbols()):
            with pytest.raises(CredentialsError):
                await asyncio.wait_for(attempt, 20)


async def test_a_stream_waits_for_the_fleets_exchange(broker_url: str) -> None:
    async with FleetClient(broker_url) as fleet:
        ready = asyncio.create_task(fleet.stream("#").ready())
        done, _ = await asyncio.wait({ready}, timeout=0.5)
        assert not done
        async with speaker(broker_url):
            await asyncio.wait_for(ready, 20)


async def test_the_end_of_a_client_ends_its_streams(broker_url: str) -> None:
    got: list[Any] = []

    async def read(stream: Stream[Message]) -> None:
        async for one in stream:
            got.append(one)

    async with speaker(broker_url) as speaks:
        async with FleetClient(broker_url) as fleet:
            stream = fleet.stream("trades.#")
            work = asyncio.create_task(read(stream))
            await asyncio.wait_for(stream.ready(), 20)
            await speaks.say(message(1))
            await eventually(lambda: got, 10)
        await asyncio.wait_for(work, 5)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_cancelled_reader_has_lost_nothing(broker_url: str) -> None:
    async with reading(broker_url, "trades.#") as (speaks, stream):
        for seq in range(1, 1001):
            await speaks.say(message(seq))
        seqs: list[int] = []

        async def read() -> None:
            async for one in stream:
                seqs.append(one.seq)

        while len(seqs) < 1000:
            work = asyncio.create_task(read())
            await asyncio.sleep(0.001)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
    assert seqs == list(range(1, 1001))


async def test_queues_are_named_by_role_and_bounded(broker_node: Node) -> None:
    url = broker_node.amqp_url
    columns = ("name", "arguments", "exclusive")
    reading, naming = FleetClient(url, reader=True), FleetClient(url, name="mine")
    async with speaker(url), reading as readers, naming as named:
        await asyncio.wait_for(readers.stream("#").ready(), 20)
        await asyncio.wait_for(named.stream("#").ready(), 20)
        listed = await asyncio.to_thread(
            broker_node.ctl, "list_queues", "-q", "-p", broker_node.vhost, *columns
        )
    roles = ("futures_reader", "futures_client")
    own = [line for line in listed.splitlines() if line.startswith(roles)]
    assert sorted(line.split("\t")[0].rpartition(".")[0] for line in own) == [
        "futures_client.mine",
        "futures_reader.guest",
    ]
    for line in own:
        assert "x-max-length-bytes" in line
        assert "drop-head" in line
        assert line.endswith("true")


async def test_the_example_reads_trades_and_says_what_it_missed(broker_url: str) -> None:
    async with speaker(broker_url) as speaks:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "library.py"), broker_url, "trades.#"),
            env=os.environ | {"PYTHONPATH": str(ROOT / "client")},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = asyncio.create_task(process.stdout.readline())
        seq = 0
        while not line.done():
            await speaks.say(message(seq := seq + 1))
            await asyncio.sleep(0.05)
        assert (await line).decode().strip() == f"binance {BTC} buy 0.25 100.5"
        await speaks.say(message(seq + 3))
        async with asyncio.timeout(20):
            while (said := (await process.stdout.readline()).decode().strip()).startswith(
                "binance"
            ):
                pass
        assert said == f"missed 2 of {KEY}"
        process.terminate()
        await process.wait()
