"""Commands to the fleet and their answers, over one connection that is renewed for ever."""

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import DeliveryError
from aiormq.abc import DeliveredMessage

from futures_fleet._wire.backoff import Backoff
from futures_fleet._wire.broker import (
    PUBLISH_TIMEOUT_S,
    Broker,
    is_connection_error,
    own_queue,
)
from futures_fleet._wire.errors import BrokerError, ConfigurationError
from futures_fleet._wire.tasks import ended
from futures_fleet._wire.topology import COMMANDS, CONTROL_QUEUE, RESPONSES, response_key
from futures_fleet.commands import Command, fields_of
from futures_fleet.errors import CommandError, CredentialsError, NoAnswerError

_OPEN_S = 30.0
#: Where a command is answered that the fleet can not read.
_INVALID = "invalid"

Data = dict[str, Any]


@dataclass(slots=True, eq=False)
class _Asked:
    """A command on its way, the same bytes however often it is sent."""

    command: str
    message: aio_pika.Message
    answer: asyncio.Future[Data]
    trouble: str = ""  # why it could not be sent the last time


class Control:
    """Sends commands, each until it is answered; the fleet does a repeated one once."""

    def __init__(self, broker: Broker, role: str, user: str | None) -> None:
        self._broker = broker
        self._role = role
        self._user = user  # the broker vouches for it
        self._line: _Line | None = None
        self._closed = False
        self._looked_at = asyncio.Event()  # there is a line, or `_work` has failed, or we end
        self._work: asyncio.Task[None] | None = None
        self._trouble = f"no connection to {broker.address}"  # why there is no line
        self._asked: dict[str, _Asked] = {}  # by correlation id

    async def ask(self, command: Command, timeout_s: float) -> Data:
        """The `data` of the answer. Sent again, byte for byte, when the connection was lost.

        Raises CommandError, NoAnswerError and CredentialsError.
        """
        envelope = {"correlation_id": str(uuid.uuid4()), "timestamp": int(time.time())}
        fields = envelope | fields_of(command)
        answer = await self._answer(command.name, fields, timeout_s)
        data = answer.get("data")
        if answer.get("success") is True:
            return data if isinstance(data, dict) else {}
        code, message = str(answer.get("error")), str(answer.get("message"))
        raise CommandError(code, message, data if isinstance(data, dict) else None)

    async def close(self) -> None:
        self._closed = True
        self._looked_at.set()
        if self._work is not None:
            await ended(self._work)

    async def _answer(self, command: str, fields: Data, timeout_s: float) -> Data:
        correlation_id = fields["correlation_id"]
        if correlation_id in self._asked:
            raise ValueError(f"a command with correlation id {correlation_id} waits already")
        answer: asyncio.Future[Data] = asyncio.get_running_loop().create_future()
        asked = _Asked(command, self._message(correlation_id, fields), answer)
        self._asked[correlation_id] = asked
        try:
            async with asyncio.timeout(timeout_s):
                await self._insist(asked)
                return await answer
        except NoAnswerError:  # which is a TimeoutError
            raise
        except TimeoutError:
            why = asked.trouble or self._trouble
            text = f"no answer within {timeout_s:g} s"
            raise NoAnswerError(f"{text}: {why}" if why else text) from None
        finally:
            del self._asked[correlation_id]
            answer.cancel()

    def _message(self, correlation_id: str, fields: Data) -> aio_pika.Message:
        return aio_pika.Message(
            orjson.dumps(fields),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            correlation_id=correlation_id,
            user_id=self._user,
        )

    async def _insist(self, asked: _Asked) -> None:
        """Send on each new connection, and where nobody took it, until it is answered."""
        backoff = Backoff(0.2, 2.0)
        while not asked.answer.done():
            line = await self._open()
            try:
                await line.send(asked)
                asked.trouble = ""
                ends: set[asyncio.Future[Any]] = {asked.answer, line.over}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                continue
            except DeliveryError:
                asked.trouble = "the broker has no control queue, or it is full"
            except Exception as error:
                if not is_connection_error(error):
                    raise
                asked.trouble = str(error) or "the connection was lost"
                line.end()
            await asyncio.sleep(backoff.next_s())

    async def _open(self) -> "_Line":
        """The line, once there is one. Raises CredentialsError."""
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        while True:
            await self._looked_at.wait()
            if self._closed:
                raise NoAnswerError("the client was closed; what was asked for may still be done")
            if self._work.done():
                self._work.result()
            if self._line is not None and not self._line.over.done():
                return self._line
            self._looked_at.clear()

    async def _run(self) -> None:
        try:
            await self._broker.keep("commands", self._session)
        except ConfigurationError as error:
            raise CredentialsError(str(error)) from error
        finally:
            # After this task is done: whoever waits looks at how it ended.
            asyncio.get_running_loop().call_soon(self._looked_at.set)

    async def _session(self, connection: AbstractConnection) -> None:
        try:
            async with asyncio.timeout(_OPEN_S):
                line = await _Line.open(connection, self._role, self._broker.name, self._on_answer)
        except Exception as error:
            self._trouble = str(error) or "the broker refuses"
            raise
        try:
            self._line, self._trouble = line, ""
            self._looked_at.set()
            await asyncio.shield(line.over)
            raise BrokerError("the channel for commands was closed")
        finally:
            line.end()
            self._trouble = f"the connection to {self._broker.address} was lost"

    async def _on_answer(self, delivered: DeliveredMessage) -> None:
        try:
            answer = orjson.loads(delivered.body)
        except orjson.JSONDecodeError:
            return
        if not isinstance(answer, dict):
            return
        asked = self._asked.get(str(answer.get("correlation_id")))
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(answer)


class _Line:
    """A channel to the control queue, and a queue for the answers."""

    def __init__(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._channel = channel
        self._queue = queue
        self._heard: set[str] = set()
        channel.close_callbacks.add(lambda *_: self.end())

    @classmethod
    async def open(
        cls, connection: AbstractConnection, role: str, owner: str, on_answer: Any
    ) -> "_Line":
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await own_queue(channel, role, owner, [(RESPONSES, response_key(_INVALID))])
        underlay = await channel.get_underlay_channel()
        await underlay.basic_consume(queue.name, on_answer, no_ack=True)
        return cls(channel, queue)

    async def send(self, asked: _Asked) -> None:
        """Raises DeliveryError where no queue takes it."""
        if asked.command not in self._heard:
            # Before it goes out: no answer can come too early.
            await self._queue.bind(RESPONSES, response_key(asked.command), timeout=_OPEN_S)
            self._heard.add(asked.command)
        exchange = await self._channel.get_exchange(COMMANDS, ensure=False)
        await exchange.publish(
            asked.message, CONTROL_QUEUE, mandatory=True, timeout=PUBLISH_TIMEOUT_S
        )

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
