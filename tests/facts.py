"""Messages of the data exchange for the client library: made, and said by a raw publisher."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel

from cli.broker_node import Node
from futures_fleet.message import Message
from shared.broker import Broker
from shared.topology import topology

KEY = "trades.binance.BTCUSDT"
NOW_MS = 1_800_000_000_000


def trade(number: int, **changes: Any) -> bytes:
    """The body of a trade whose id is `number`."""
    body = {
        "exchange": "binance",
        "symbol": "BTC/USDT:USDT",
        "id": str(number),
        "price": 100.5,
        "amount": 0.25,
        "side": "buy",
        "timestamp": NOW_MS + number,
        "received_at": NOW_MS + number + 5,
        "source": "stream",
        "fills": 1,
        "large": False,
    }
    return orjson.dumps(body | changes)


def message(
    seq: int,
    key: str = KEY,
    epoch: str = "a@h/1",
    *,
    id_: str | None = None,
    lossless: bool | None = None,
    raw: bytes | None = None,
    previous: tuple[str, int] | None = None,
    received_at: int | None = None,
) -> Message:
    """As a stream reads it. Trades have ids of their own by number, others none to speak of."""
    kind = key.partition(".")[0]
    return Message(
        routing_key=key,
        raw=trade(seq) if raw is None else raw,
        kind=kind,
        message_id=id_ or f"{epoch}:{key}:{seq}",
        worker=epoch.partition("/")[0],
        epoch=epoch,
        seq=seq,
        received_at=NOW_MS + seq if received_at is None else received_at,
        lossless=kind == "trades" if lossless is None else lossless,
        previous=previous,
    )


class Speaker:
    """Says what workers would."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel

    async def say(self, one: Message, **changed: Any) -> None:
        """Publish a message; `changed` headers, or None for those that shall not be there."""
        headers: dict[str, Any] = {
            "seq": one.seq,
            "epoch": one.epoch,
            "worker": one.worker,
            "schema": 1,
            "received_at": one.received_at,
        }
        if one.previous is not None:
            headers |= {"prev_epoch": one.previous[0], "prev_seq": one.previous[1]}
        headers = {name: v for name, v in (headers | changed).items() if v is not None}
        exchange = await self.channel.get_exchange("futures_data", ensure=False)
        properties = aio_pika.Message(
            one.raw,
            content_type="application/json",
            type=one.kind,
            message_id=one.message_id,
            delivery_mode=2 if one.lossless else 1,
            headers=headers,
        )
        await exchange.publish(properties, one.routing_key, mandatory=False)


@asynccontextmanager
async def speaker(url: str) -> AsyncIterator[Speaker]:
    """On a broker where the fleet's topology is declared."""
    broker = Broker(url, "test speaker", topology("futures_data"), declares=True)
    async with await broker.connect("publish") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        yield Speaker(channel)


async def cut(node: Node) -> None:
    """Every connection to the test's vhost is gone."""
    arguments = ("close_all_connections", "-p", node.vhost, "a test")
    await asyncio.to_thread(node.ctl, *arguments)
