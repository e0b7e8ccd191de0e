"""Commands that a host's agent carries out, and how they end."""

import asyncio
from contextlib import suppress
from typing import Any

from aio_pika.abc import AbstractConnection, AbstractQueue
from pydantic import ValidationError

from cli.broker_address import ask
from cli.control import outcome, send
from cli.exits import Exit
from cli.output import print_json, say
from cli.place import Place
from shared.broker import own_queue
from shared.errors import BrokerError
from shared.status import Heartbeat
from shared.topology import STATUS


def run_errand(place: Place, command: dict[str, Any], wait_s: float, as_json: bool) -> Exit:
    """Send the command, and wait for what the agent says of its errand; degraded where that does
    not come in time: the errand may still be done."""
    answer = send(place, command)
    errand = errand_of(answer)
    if errand is None or wait_s == 0:
        _tell(answer, as_json)
        return outcome(answer)
    end = ask(place, "errand", lambda connection: _end(connection, errand, wait_s))
    if as_json:
        print_json(answer | {"outcome": end})
    elif end is None:
        say(f"{answer['message']}; nothing more was told within {wait_s:g} s: see fleet status")
    else:
        say(end["text"])
    if end is None:
        return Exit.DEGRADED
    return Exit.OK if end["ok"] else Exit.FAILED


def errand_of(answer: dict[str, Any]) -> str | None:
    """The id of the errand that a command was turned into."""
    if not answer.get("success"):
        return None
    errand = answer["data"].get("errand")
    return errand if isinstance(errand, str) else None


def end_in(beat: Heartbeat, errand: str) -> dict[str, Any] | None:
    """What an agent's heartbeat says of an errand that is over."""
    told = beat.details.get("errands", {}).get("last", ())
    return next((dict(outcome) for outcome in told if outcome.get("id") == errand), None)


async def _end(connection: AbstractConnection, errand: str, wait_s: float) -> dict[str, Any] | None:
    channel = await connection.channel()
    queue = await own_queue(channel, "client", "errand", [(STATUS, "heartbeat.agent.#")])
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            return await _heard(queue, errand)
    return None


async def _heard(queue: AbstractQueue, errand: str) -> dict[str, Any]:
    async with queue.iterator(no_ack=True) as messages:
        async for message in messages:
            if (end := _end_in(message.body, errand)) is not None:
                return end
    raise BrokerError("the connection was lost before the errand's end was told")


def _end_in(body: bytes, errand: str) -> dict[str, Any] | None:
    try:
        return end_in(Heartbeat.model_validate_json(body), errand)
    except ValidationError:
        return None


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        say(answer["message"])
