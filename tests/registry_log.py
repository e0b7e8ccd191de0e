"""The registry's log, read by a test from its beginning to its end."""

from collections import Counter

import aio_pika

from coordinator.deliveries import deliveries
from coordinator.records import Claim, Operation, Record, decode, encode
from coordinator.registry import Registry, Verdict
from shared.topology import REGISTRY_EXCHANGE, REGISTRY_STREAM
from tests.coordinators import Client


async def log_of(user: Client) -> list[tuple[int, Record]]:
    """The whole log, up to a record of our own: whoever led does not lead any more."""
    channel = user.channel
    await channel.set_qos(200)
    end = Claim(by="the test")
    exchange = await channel.get_exchange(REGISTRY_EXCHANGE, ensure=False)
    await exchange.publish(record_message(end), REGISTRY_STREAM)
    records: list[tuple[int, Record]] = []
    async for message in deliveries(channel, REGISTRY_STREAM, {"x-stream-offset": "first"}):
        await message.ack()
        record = decode(message.body)
        if record == end:
            return records
        offset = message.headers["x-stream-offset"]
        assert isinstance(offset, int)
        records.append((offset, record))
    raise AssertionError("unreachable")


def record_message(record: Record) -> aio_pika.Message:
    return aio_pika.Message(encode(record), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)


def folded(records: list[tuple[int, Record]]) -> tuple[Registry, Counter[str]]:
    """The state of a log, and how often each command took effect."""
    registry, effects = Registry(), Counter[str]()
    for offset, record in records:
        verdict = registry.fold(offset, record)
        if verdict is Verdict.APPLIED and isinstance(record, Operation) and record.given:
            effects[record.given.id] += 1
    return registry, effects
