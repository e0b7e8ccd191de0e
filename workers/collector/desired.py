"""Which symbols to collect: told by the coordinator, kept on disk for a start without it."""

import asyncio
import logging
from pathlib import Path

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic import ValidationError

from shared.broker import Broker, own_queue
from shared.errors import ConfigurationError
from shared.files import read_json, write_json
from shared.symbolset import Revision, SymbolSet
from shared.topology import SYMBOLS

log = logging.getLogger("main")


class DesiredSymbols:
    """The last good symbol set, and what arrives on `futures_symbols` since."""

    def __init__(self, venue: str, exchange: str, path: Path, seed: list[str]) -> None:
        """Starts from what `path` keeps, else from `seed`, the config's own list."""
        self.changed = asyncio.Event()
        self._venue = venue
        self._exchange = exchange
        self._path = path
        kept = _parsed(read_json(path))
        self.symbols = kept.symbols if kept else seed
        self.revision: Revision | None = kept.revision if kept else None
        self.changed.set()
        if kept:
            log.info("Starting with the %d symbols that were collected last", len(kept.symbols))

    async def listen(self, broker: Broker, worker: str) -> None:
        """Apply what the coordinator announces, for ever. Raises ConfigurationError where the
        fleet knows this venue by another name."""

        async def session(connection: AbstractConnection) -> None:
            channel = await connection.channel()
            await broker.declare(channel, queues=False)
            queue = await own_queue(channel, "collector", worker, [(SYMBOLS, "")])
            async with queue.iterator(no_ack=True) as messages:
                async for message in messages:
                    self._on_message(message)

        await broker.keep("control", session)

    def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            announced = SymbolSet.model_validate_json(message.body)
        except ValidationError:
            log.warning("An announcement of symbols does not validate: ignored")
            return
        if announced.venue == self._venue:
            self.apply(announced)

    def apply(self, announced: SymbolSet) -> None:
        """Take a newer revision. Raises ConfigurationError, see `listen`."""
        if announced.exchange != self._exchange:
            raise ConfigurationError(
                f"the fleet calls this venue {announced.exchange!r}, the config {self._exchange!r}"
            )
        mine, theirs = self.revision, announced.revision
        if not theirs.replaces(mine):
            return
        if mine is not None and mine.registry != theirs.registry:
            log.warning("The registry is a new one (%s): taking its symbols", theirs.registry)
        self.revision = theirs
        self.symbols = announced.symbols
        self.changed.set()
        try:
            write_json(self._path, announced.model_dump())
        except OSError as error:
            log.error("The symbol set can not be kept on disk: %s", error)


def _parsed(content: object) -> SymbolSet | None:
    try:
        return SymbolSet.model_validate(content)
    except ValidationError:
        return None
