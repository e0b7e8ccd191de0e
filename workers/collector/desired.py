"""Which symbols to collect: told by the coordinator, kept on disk for a start without it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic import ValidationError

from shared.broker import Broker, own_queue
from shared.collection import CollectionTask
from shared.errors import ConfigurationError
from shared.files import read_json, write_json
from shared.orders import ORDER, BreakerOrder
from shared.status import Holdings
from shared.symbolset import Revision, SymbolSet
from shared.topology import (
    BATCHES,
    MAILBOX,
    STATUS,
    SYMBOLS,
    bulk_key,
    holdings_key,
    holdings_pattern,
)

log = logging.getLogger("main")


class DesiredSymbols:
    """The last good symbol set, and what arrives on `futures_symbols` since; with it comes what the
    venue's other workers say that they have."""

    def __init__(self, worker: str, venue: str, exchange: str, path: Path, seed: list[str]) -> None:
        """Starts from what `path` keeps, else from `seed`, the config's own list."""
        self.changed = asyncio.Event()
        self.mailbox: str | None = None  # our queue on the broker, while it is there
        self.on_holdings: Callable[[Holdings], None] = lambda _holdings: None
        self.on_answer: Callable[[bytes], None] = lambda _body: None
        self.on_order: Callable[[BreakerOrder], None] = lambda _order: None
        self._worker = worker
        self._venue = venue
        self._exchange = exchange
        self._path = path
        self._seed = seed
        self.told = _parsed(read_json(path))
        self.changed.set()
        if self.told:
            log.info("Starting with the %d symbols that were collected last", len(self.symbols))

    @property
    def symbols(self) -> list[str]:
        """Those that this worker shall collect."""
        return self._seed if self.told is None else self.told.owned_by(self._worker)

    @property
    def tasks(self) -> list[CollectionTask]:
        """Those of the venue, whoever collects their symbols."""
        return [] if self.told is None else self.told.tasks

    @property
    def revision(self) -> Revision | None:
        return None if self.told is None else self.told.revision

    @property
    def is_shared(self) -> bool:
        """Whether other workers have symbols of this venue."""
        return self.told is not None and bool(self.told.peers_of(self._worker))

    async def listen(self, broker: Broker, egress: str) -> None:
        """Apply what the coordinator announces, for ever, and hand on what other workers say, and
        what they pass on to those with our `egress`. Raises ConfigurationError where the fleet
        knows this venue by another name."""
        bindings = [
            (SYMBOLS, ""),
            (STATUS, holdings_pattern(self._exchange)),
            (BATCHES, bulk_key(self._exchange, egress)),
        ]

        async def session(connection: AbstractConnection) -> None:
            channel = await connection.channel()
            await broker.declare(channel, queues=False)
            queue = await own_queue(channel, "collector", self._worker, bindings)
            await queue.bind(MAILBOX, queue.name)  # pings and orders
            self.mailbox = queue.name
            try:
                async with queue.iterator(no_ack=True) as messages:
                    async for message in messages:
                        self._on_message(message)
            finally:
                self.mailbox = None

        await broker.keep("control", session)

    def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            if message.exchange == SYMBOLS:
                announced = SymbolSet.model_validate_json(message.body)
                if announced.venue == self._venue:
                    self.apply(announced)
            elif message.exchange == STATUS:
                self._on_holdings(message)
            elif message.exchange == BATCHES:
                self.on_answer(message.body)
            elif message.type == ORDER:
                self.on_order(BreakerOrder.model_validate_json(message.body))
        except ValidationError:
            log.warning("A message on %s does not validate: ignored", message.exchange)

    def _on_holdings(self, message: AbstractIncomingMessage) -> None:
        holdings = Holdings.model_validate_json(message.body)
        if message.routing_key == holdings_key(holdings.exchange, holdings.worker):
            self.on_holdings(holdings)

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
        self.told = announced
        self.changed.set()
        try:
            write_json(self._path, announced.model_dump(mode="json"))
        except OSError as error:
            log.error("The symbol set can not be kept on disk: %s", error)


def _parsed(content: object) -> SymbolSet | None:
    try:
        return SymbolSet.model_validate(content)
    except ValidationError:
        return None
