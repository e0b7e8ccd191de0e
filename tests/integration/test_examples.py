"""The examples do what they say."""

import asyncio
import sys
from pathlib import Path

import aio_pika
import orjson

from shared.broker import Broker
from shared.topology import topology
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


async def test_the_reader_of_trades_says_what_it_missed(broker_url: str) -> None:
    broker = Broker(broker_url, "test", topology("futures_data"), declares=True)
    async with await broker.connect("publish") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        exchange = await channel.get_exchange("futures_data")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "trades.py"), broker_url),
            stdout=asyncio.subprocess.PIPE,
        )
        lines: list[str] = []

        async def read() -> None:
            assert process.stdout is not None
            async for line in process.stdout:
                lines.append(line.decode().strip())

        reading = asyncio.create_task(read())

        async def say(key: str, epoch: str, seq: int) -> None:
            body = orjson.dumps({"key": key, "seq": seq})
            message = aio_pika.Message(body, headers={"epoch": epoch, "seq": seq})
            await exchange.publish(message, f"trades.x.{key}")

        async def heard() -> bool:
            if not lines:
                await say("HELLO", "a", 1)
            return bool(lines)

        await eventually(heard, 10, poll_s=0.1)
        # A hole of 2, a late one from a spool, a new epoch that starts anew, another key.
        said = [("BTC", "a", 7), ("BTC", "a", 8), ("BTC", "a", 11), ("BTC", "a", 9)]
        said += [("BTC", "a", 12), ("BTC", "b", 1), ("ETH", "a", 1), ("ETH", "a", 2)]
        for key, epoch, seq in said:
            await say(key, epoch, seq)
        await eventually(lambda: any('"ETH","seq":2' in line for line in lines), 5)
        process.terminate()
        await process.wait()
        await reading
    assert [line for line in lines if line.startswith("missed")] == ["missed 2 of trades.x.BTC"]
    assert sum('"BTC"' in line for line in lines) == 6
