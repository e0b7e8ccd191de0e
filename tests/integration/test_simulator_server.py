"""The simulator as a process: its line, its limits, its truth log and its end."""

import asyncio
import gzip
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import orjson

LINE = re.compile(r"simulator listening on http://127\.0\.0\.1:(\d+) \((.*)\)")


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    command = (sys.executable, "-m", "simulator", "--port", "0", "--symbols", "3", *arguments)
    running = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert running.stdout is not None
    try:
        line = (await asyncio.wait_for(running.stdout.readline(), 10)).decode()
        found = LINE.match(line)
        assert found, line
        yield running, int(found[1])
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_it_stops_at_once_and_leaves_a_complete_log(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    async with (
        process("--truth", str(path)) as (running, port),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://127.0.0.1:{port}/gate/v4/ws/usdt", autoclose=False) as socket,
    ):
        await socket.send_json(
            {"id": 1, "channel": "futures.trades", "event": "subscribe", "payload": ["BTC_USDT"]}
        )
        assert (await socket.receive_json())["result"] == {"status": "success"}
        ids = [(await socket.receive_json())["result"][0]["id"] for _ in range(2)]
        asked = monotonic()
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 5) == 0
        assert monotonic() - asked < 2
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    told = [id_ for line in lines if line["event"] == "sent" for id_ in line["ids"]["id"]]
    assert told[:2] == ids
    assert ids[1] == ids[0] + 1
    assert {"open", "received", "sent", "close"} <= {line["event"] for line in lines}


async def test_over_the_limit_is_a_429_until_the_window_ends() -> None:
    async with process() as (_, port), aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/binance/fapi/v1/ticker/24hr"
        # 2400 a minute at 40 each; twice that, since a minute may end in between.
        answers = [await http.get(url) for _ in range(121)]
    refused = next(answer for answer in answers if answer.status == 429)
    used = [int(answer.headers["X-MBX-USED-WEIGHT-1M"]) for answer in answers]
    assert {one for one, answer in zip(used, answers, strict=True) if answer.status == 200} == {
        *range(40, 2401, 40)
    }
    assert answers.index(refused) >= 60
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert (await refused.json())["code"] == -1003


async def test_each_client_gets_only_what_it_asked_for() -> None:
    async with process("--ticker-rate", "50") as (_, port), aiohttp.ClientSession() as http:
        base = f"ws://127.0.0.1:{port}/binance"
        async with (
            http.ws_connect(f"{base}/public/ws/0") as book,
            http.ws_connect(f"{base}/market/ws/1") as market,
        ):
            streams = ["btcusdt@bookTicker", "btcusdt@ticker", "nopeusdt@bookTicker"]
            for socket in (book, market):
                await socket.send_json({"method": "SUBSCRIBE", "params": streams, "id": 5})
                assert await socket.receive_json() == {"result": None, "id": 5}
            assert {(await book.receive_json())["e"] for _ in range(5)} == {"bookTicker"}
            assert {(await market.receive_json())["e"] for _ in range(5)} == {"24hrTicker"}
            async with http.get(f"http://127.0.0.1:{port}/_subscriptions") as answer:
                told = await answer.json()
        assert told["binance"] == {"BTC/USDT:USDT": ["btcusdt@bookTicker", "btcusdt@ticker"]}


async def test_unknown_symbols_are_refused_in_each_venues_words() -> None:
    commands: dict[str, tuple[Any, str, Any]] = {
        "bybit/v5/public/linear": (
            {"op": "subscribe", "req_id": 3, "args": ["tickers.NOPE"]},
            "success",
            False,
        ),
        "bitget/v2/ws/public": (
            {"op": "subscribe", "args": [{"instType": "USDT-FUTURES", "channel": "x"}]},
            "code",
            30001,
        ),
        "htx/linear-swap-ws": ({"sub": "market.NO-USDT.bbo", "id": "1"}, "status", "error"),
        "gate/v4/ws/usdt": (
            {"channel": "futures.tickers", "event": "subscribe", "payload": ["NO"], "id": 1},
            "result",
            {"status": "fail"},
        ),
        "okx/ws/v5/public": (
            {"op": "subscribe", "args": [{"channel": "trades", "instId": "NO-USDT-SWAP"}]},
            "code",
            "60018",
        ),
        "okx/ws/v5/business": (
            {"op": "subscribe", "args": [{"channel": "trades", "instId": "BTC-USDT-SWAP"}]},
            "code",
            "60018",
        ),
        "coinbaseinternational/ws/api/v2": (
            {
                "jsonrpc": "2.0",
                "id": 3,
                "method": "public/subscribe",
                "params": {"channels": ["quote.NO_USDC-PERPETUAL"]},
            },
            "result",
            [],
        ),
    }
    async with process() as (_, port), aiohttp.ClientSession() as http:
        for path, (command, field, value) in commands.items():
            async with http.ws_connect(f"ws://127.0.0.1:{port}/{path}") as socket:
                await socket.send_json(command)
                assert decoded(await socket.receive())[field] == value


def decoded(message: aiohttp.WSMessage) -> Any:
    data = message.data
    return orjson.loads(gzip.decompress(data) if isinstance(data, bytes) else data)
