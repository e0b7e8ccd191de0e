"""The control queue: commands in, answers out, acknowledged last of all."""

import asyncio
import hashlib
import logging
from collections import Counter
from dataclasses import dataclass

import orjson
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from coordinator.answers import failure
from coordinator.commands import Command, Refusal, parse
from coordinator.deliveries import deliveries
from coordinator.errands import Errands
from coordinator.fields import MAX_CORRELATION_ID_BYTES, shown
from coordinator.leadership import Leadership, Sender
from coordinator.log import LeadershipLostError, OutdatedError
from coordinator.outlet import TICK, Outlet
from coordinator.tally import Tally
from shared.broker import Broker
from shared.clock import Clock
from shared.config import AppConfig
from shared.config.live import Live
from shared.errors import BrokerError, CommandError
from shared.topology import CONTROL_QUEUE

#: Where a message is answered that holds no command of ours. Never a client's text: a key that
#: the broker refuses would cost the channel.
_INVALID = "invalid"
_LOGGED_BYTES = 500
#: How often a coordinator that does not understand the log looks whether it does.
_STAND_BACK_S = 1.0

log = logging.getLogger("control")


@dataclass(frozen=True, slots=True)
class Desks:
    """Who answers what."""

    leadership: Leadership
    tally: Tally
    errands: Errands


class Control:
    """Serves commands one at a time, on the one coordinator that the broker has chosen."""

    def __init__(
        self,
        broker: Broker,
        outlet: Outlet,
        desks: Desks,
        clock: Clock,
        config: Live[AppConfig],
    ) -> None:
        self.answered = 0
        self.refused: Counter[str] = Counter()  # by error code
        self._broker = broker
        self._outlet = outlet
        self._leadership = desks.leadership
        self._tally = desks.tally
        self._errands = desks.errands
        self._clock = clock
        self._config = config
        self.busy = asyncio.Lock()  # held while a message is served

    async def run(self) -> None:
        await self._broker.keep("coordinator control", self._session)

    async def _session(self, connection: AbstractConnection) -> None:
        """Serve until leadership is lost; the message at hand then goes to who leads."""
        while self._leadership.outdated:
            await self._clock.sleep(_STAND_BACK_S)
        channel = await connection.channel()
        await channel.set_qos(1)
        await self._broker.declare(channel)
        # Nobody is told that it became the active consumer: a message has to arrive for that.
        await self._outlet.tick()
        async for message in deliveries(channel, CONTROL_QUEUE):
            async with self.busy:
                try:
                    await self._serve(message)
                except LeadershipLostError as error:
                    log.warning("A command is left to another coordinator: %s", error)
                    return
                except OutdatedError:
                    return

    async def _serve(self, message: AbstractIncomingMessage) -> None:
        if message.type == TICK and not message.body:
            await self._claim()
        else:
            await self._answer(message)
        await message.ack()

    async def _claim(self) -> None:
        try:
            await self._leadership.claim()
        except CommandError as error:
            log.debug("%s", error)

    async def _answer(self, message: AbstractIncomingMessage) -> None:
        parsed = self._parsed(message)
        log.info("Command %s", _described(parsed))
        answer = await self._answered(parsed, message)
        self.answered += 1
        key = parsed.name if isinstance(parsed, Command) or parsed.known else _INVALID
        log.info("Answer on %s: %s", key, answer[:_LOGGED_BYTES].decode(errors="replace"))
        await self._outlet.answer(key or _INVALID, answer, parsed.correlation_id)
        if message.reply_to:
            taken = await self._outlet.reply(message.reply_to, answer, parsed.correlation_id)
            if not taken:
                log.info("Nobody took the answer at %s", shown(message.reply_to))

    def _parsed(self, message: AbstractIncomingMessage) -> Command | Refusal:
        property_id = _decodable(message.correlation_id)
        try:
            parsed = parse(message.body, property_id)
        except Exception:  # no message may end a coordinator, for the next one gets it then
            log.exception("A message could not be read")
            return Refusal("invalid_command", "The body can not be read", property_id)
        if self._config.value.control.require_user and not message.user_id:
            known = isinstance(parsed, Command) or parsed.known
            text = "The message carries no user_id, which this fleet requires"
            return Refusal("unauthorized", text, parsed.correlation_id, parsed.name, known)
        return parsed

    async def _answered(self, parsed: Command | Refusal, message: AbstractIncomingMessage) -> bytes:
        if isinstance(parsed, Refusal):
            return self._failure(parsed, parsed.code, parsed.message)
        try:
            return await self._done(parsed, message)
        except CommandError as error:
            return self._failure(parsed, error.code, str(error))
        except BrokerError:
            raise
        except Exception:
            log.exception("Command %s failed", _described(parsed))
            return self._failure(parsed, "internal_error", "Internal error")

    async def _done(self, command: Command, message: AbstractIncomingMessage) -> bytes:
        digest = hashlib.blake2b(message.body, digest_size=16).hexdigest()
        sender = Sender(message.user_id or None, digest)
        if command.is_errand:
            return await self._errands.answer(command, sender)
        if command.writes:
            return await self._leadership.write(command, sender)
        if command.name == "get_statistics":
            await self._leadership.claim()
            return await self._tally.answer(command, self._leadership.registry)
        return await self._leadership.read(command)

    def _failure(self, parsed: Command | Refusal, code: str, message: str) -> bytes:
        self.refused[code] += 1
        now_s = self._clock.now_ms() // 1000
        return orjson.dumps(failure(parsed.name, parsed.correlation_id, code, message, now_s))


def _decodable(text: str | None) -> str | None:
    """A correlation id as an answer can carry it; what is none is no id."""
    if text is None:
        return None
    try:
        fits = len(text.encode()) <= MAX_CORRELATION_ID_BYTES and text.isprintable()
        return text if fits else None
    except UnicodeEncodeError:
        return None


def _described(parsed: Command | Refusal) -> str:
    """One line for the log, safe whatever the client wrote."""
    sender = f"({shown(parsed.correlation_id or 'no correlation id')})"
    if isinstance(parsed, Refusal):
        return f"{parsed.name or '?'} {sender}: {parsed.code}"
    symbols = ", ".join(map(shown, parsed.symbols[:5]))
    more = f" and {len(parsed.symbols) - 5} more" if len(parsed.symbols) > 5 else ""
    return " ".join(filter(None, (parsed.name, symbols + more, parsed.venue, sender)))
