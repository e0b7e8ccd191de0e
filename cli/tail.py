"""`fleet tail`: messages as they come, one a line."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from cli.broker_address import ask, find_address
from cli.exits import Exit
from cli.output import print_json_line, say
from cli.place import Place
from shared.broker import own_queue
from shared.errors import BrokerError
from shared.topology import RESPONSES, STATUS

_LINE_CHARACTERS = 240
_STATUS_KINDS = frozenset(("heartbeat", "holdings", "markets"))


@dataclass(frozen=True, slots=True)
class Tail:
    """What to listen to, and as whom."""

    pattern: str
    exchange: str | None = None  # the AMQP exchange; None: as the pattern tells
    count: int | None = None  # end after so many
    role: Literal["client", "reader"] = "client"  # by which users may name their queues


def run_tail(place: Place, wish: Tail, as_json: bool) -> Exit:
    """Until `count` messages or Ctrl-C. Raises CommandFailed."""
    source = wish.exchange or exchange_of(wish.pattern, find_address(place).data_exchange)

    async def tail(connection: AbstractConnection) -> None:
        channel = await connection.channel()
        queue = await own_queue(channel, wish.role, "tail", [(source, wish.pattern)])
        left = wish.count
        async with queue.iterator(no_ack=True) as messages:
            async for message in messages:
                _print(message, as_json)
                left = None if left is None else left - 1
                if left == 0:
                    return
        raise BrokerError("the connection was lost")

    with suppress(KeyboardInterrupt):
        ask(place, "tail", tail)
    return Exit.OK


def exchange_of(pattern: str, data_exchange: str) -> str:
    """The AMQP exchange that a routing key pattern belongs to, by its first word."""
    first = pattern.partition(".")[0]
    if first in _STATUS_KINDS:
        return STATUS
    return RESPONSES if first == "control" else data_exchange


def line(routing_key: str, body: bytes, at_ms: int | None) -> str:
    """Time, key and as much of the body as a line takes; the whole is in `--json`."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else datetime.now(UTC)
    text = body.decode(errors="replace")
    if len(text) > _LINE_CHARACTERS:
        text = text[:_LINE_CHARACTERS] + "…"
    return f"{at:%H:%M:%S.%f}"[:-3] + f" {routing_key} {text}"


def _print(message: AbstractIncomingMessage, as_json: bool) -> None:
    key, headers = message.routing_key or "", message.headers
    if as_json:
        print_json_line(
            {"routing_key": key, "headers": _plain(headers), "body": _parsed(message.body)}
        )
        return
    received_at = headers.get("received_at")
    say(line(key, message.body, received_at if isinstance(received_at, int) else None))


def _plain(headers: Any) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else str(value) for name, value in headers.items()
    }


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
