"""The client's side of the control queue: send a command, await its answer."""

import asyncio
import time
import uuid
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import DeliveryError

from shared.broker import CONNECTION_ERRORS, PUBLISH_TIMEOUT_S, Broker, own_queue
from shared.errors import BrokerError
from shared.topology import COMMANDS, CONTROL_QUEUE, RESPONSES, response_key

#: What `error` may be in an answer.
ERROR_CODES = {
    "invalid_json": "the body is not JSON",
    "invalid_command": "a field is missing or wrong; the message names each",
    "unknown_command": "no command has this name",
    "duplicate_symbol": "it stands there already",
    "symbol_not_found": "it does not stand there",
    "duplicate_task": "a task has this id already",
    "task_not_found": "no task has this id",
    "revision_conflict": "the state moved since it was read: read again",
    "unauthorized": "the message carries no `user_id`, which this fleet requires",
    "unavailable": "the registry's log is lost, or the host's agent is gone",
    "internal_error": "a defect of the coordinator",
    "timeout": "made by the client: no answer came in time",
}

_CLOSE_TIMEOUT_S = 2.0


async def request(broker: Broker, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """The answer to a command of the control API; one with error `timeout` where none came.

    A correlation id and a timestamp are added where `command` has none. After a timeout the
    command may still be done; repeated with the same id and timestamp it is done once.
    Raises BrokerError where the broker can not be reached or has no control queue.
    """
    command = {"correlation_id": str(uuid.uuid4()), "timestamp": int(time.time())} | command
    connection = await broker.connect("control")
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchanged(connection, broker, command)
    except TimeoutError:
        return _timed_out(command, timeout_s)
    except CONNECTION_ERRORS as error:
        raise BrokerError(f"the command was not sent to {broker.address}: {error}") from error
    finally:
        await _closed(connection)


async def _exchanged(
    connection: AbstractConnection, broker: Broker, command: dict[str, Any]
) -> dict[str, Any]:
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
    keys = (response_key(command["command"]), response_key("invalid"))
    # Bound before the command goes out: no answer can come too early.
    queue = await own_queue(channel, "client", broker.name, [(RESPONSES, key) for key in keys])
    await _send(channel, command, broker.user)
    return await _answer(queue, command["correlation_id"])


async def _send(channel: AbstractChannel, command: dict[str, Any], user: str | None) -> None:
    """Through the exchange: the queue's arguments are the coordinator's business. The broker
    vouches for the user, or refuses the message."""
    message = aio_pika.Message(
        orjson.dumps(command),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        correlation_id=command["correlation_id"],
        user_id=user,
    )
    exchange = await channel.get_exchange(COMMANDS, ensure=False)
    try:
        await exchange.publish(message, CONTROL_QUEUE, mandatory=True, timeout=PUBLISH_TIMEOUT_S)
    except DeliveryError as error:
        raise BrokerError("the broker has no control queue, or it is full") from error


async def _answer(queue: AbstractQueue, correlation_id: str) -> dict[str, Any]:
    async with queue.iterator(no_ack=True) as messages:
        async for message in messages:
            answer = _parsed(message.body)
            if answer.get("correlation_id") == correlation_id:
                return answer
    raise BrokerError("the connection was lost before the answer came")


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _timed_out(command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    return {
        "correlation_id": command["correlation_id"],
        "success": False,
        "command": command["command"],
        "message": f"No answer within {timeout_s:g} s",
        "error": "timeout",
        "timestamp": int(time.time()),
    }


async def _closed(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()
    except CONNECTION_ERRORS:
        return
