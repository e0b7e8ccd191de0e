"""The collector process of one venue, from its start to its ordered end."""

import asyncio
import logging

from shared.broker import Broker
from shared.budget import Budget
from shared.clock import Clock
from shared.config import Settings, VenueKeys
from shared.errors import ExchangeError
from shared.kinds import FUTURES
from shared.outbox import Origin, Outbox
from shared.retry import Backoff
from shared.sequence import Sequences
from shared.service import Stop, every, running
from shared.status import HEARTBEAT_S, Heartbeat, MarketList, State, Statistics
from workers.collector.assembly import Assembler
from workers.collector.books import INTERVAL_S, BookTops
from workers.collector.bulk import BulkCycle
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
from workers.collector.cycle import TICK_S, WARM_UP_S, Cycle
from workers.collector.desired import DesiredSymbols
from workers.collector.grid import Grid
from workers.collector.intake import Intake
from workers.collector.quarantine import Quarantine
from workers.collector.status import StatusTeller
from workers.collector.streams import Streams

_DRAIN_S = 5.0
_MARKETS_REFRESH_S = 300.0


class Collector:
    """Wires one venue's parts together; `run` is the story."""

    def __init__(self, settings: Settings, venue: str, exchange: str, clock: Clock) -> None:
        config, row = settings.config, CATALOGUE[venue]
        self.row = row
        self.program = f"collector-{venue}"
        self.worker = f"{venue}-0@{settings.environment.host_id}"
        self.epoch = f"{self.worker}/{clock.now_ms()}"
        self.exchange = exchange
        self.state: State = "starting"
        self.log = logging.getLogger(exchange)
        self.clock = clock
        state_dir = settings.state_dir(self.program)
        self.sequences = Sequences(state_dir / "sequences.json", self.epoch)
        self.broker = Broker.of(settings, self.program)
        self.outbox = Outbox(
            self.broker,
            Origin(exchange, self.worker, self.epoch),
            self.sequences,
            clock,
            batches=config.rabbitmq.batches,
        )
        self.quarantine = Quarantine(self.log)
        self.intake = Intake(exchange, self.outbox, self.quarantine, clock)
        self.client = VenueClient(
            row,
            config.venue(venue),
            settings.keys.get(venue, VenueKeys()),
            Budget({venue: row.limit}, clock),
            clock,
        )
        self.client.send_frames_to(self.intake)
        self.streams = Streams(self.client, self.intake, clock, self.log)
        self.bulk = BulkCycle(row, self.client, self.intake, config.collection, clock, self.log)
        self.books = BookTops(exchange, self.intake, self.outbox, self.quarantine, clock)
        self.cycle = Cycle(
            Assembler(exchange, row.depth, config.collection.max_age),
            self.intake,
            self.outbox,
            Grid(round(config.collection.interval_seconds * 1000)),
            clock,
            self.log,
        )
        self.desired = DesiredSymbols(
            venue, exchange, state_dir / "symbols.json", list(config.symbols)
        )
        self.status = StatusTeller(self.broker, self._heartbeat, self._market_list)

    async def run(self, stop: Stop) -> None:
        """Collect until `stop`; then feeds first, what they gave next, the broker last."""
        saving = every(HEARTBEAT_S, self._save_sequences, self.clock)
        async with running(stop, self.outbox.run(), self.status.run(), saving):
            listening = self.desired.listen(self.broker, self.worker)
            async with running(stop, listening, self._collect()):
                await stop.wait()
                self.state = "stopping"
            await self.streams.stop()
            await asyncio.gather(self._leave_venue(), self._drain())
        await self._save_sequences()

    async def _leave_venue(self) -> None:
        try:
            await self.client.close()
        except ExchangeError as error:
            self.log.debug("The venue did not let go: %s", error)

    async def _drain(self) -> None:
        if not await self.outbox.drain(_DRAIN_S):
            self.log.error("%d messages were not confirmed in time", self.outbox.pending)

    async def _collect(self) -> None:
        await self._load_markets()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_desired())
            tasks.create_task(self.bulk.run())
            tasks.create_task(self._serve_cycles())
            tasks.create_task(every(INTERVAL_S, self.books.publish, self.clock))
            tasks.create_task(self._refresh_markets())

    async def _serve_cycles(self) -> None:
        """Starts with the first connection: a fleet starts as a whole, its broker last of all.

        One that stays away longer is no reason to wait; what it misses is counted.
        """
        deadline = self.clock.monotonic() + WARM_UP_S
        while not self.outbox.connected and self.clock.monotonic() < deadline:
            await self.clock.sleep(TICK_S)
        await every(TICK_S, self.cycle.serve, self.clock)

    async def _load_markets(self) -> None:
        """Until it works: a venue that is down at our start is no reason to end."""
        backoff = Backoff(1.0, 30.0)
        while True:
            try:
                await self.client.load_markets()
                break
            except ExchangeError as error:
                self.log.error("Failed to load markets: %s", error)
                await self.clock.sleep(backoff.next_s())
        self.intake.markets_by_id = self.client.markets_by_id
        self.log.info("%d contracts are listed", len(self.client.markets))
        self.status.markets_changed()
        self.state = "running"

    async def _refresh_markets(self) -> None:
        """New listings, every few minutes, for symbols that were not listed so far."""
        while True:
            await self.clock.sleep(_MARKETS_REFRESH_S)
            if set(self.desired.symbols) <= set(self.client.markets):
                continue
            try:
                await self.client.load_markets()
            except ExchangeError as error:
                self.log.warning("Failed to refresh the markets: %s", error)
                continue
            self.intake.markets_by_id = self.client.markets_by_id
            self.desired.changed.set()
            self.status.markets_changed()

    async def _follow_desired(self) -> None:
        while True:
            await self.desired.changed.wait()
            self.desired.changed.clear()
            wanted = self.desired.symbols
            listed = [symbol for symbol in wanted if symbol in self.client.markets]
            for symbol in set(wanted) - set(listed):
                self.log.debug("Symbol %s not available on exchange", symbol)
            added = set(listed) - set(self.intake.parts)
            self.intake.set_markets([self.client.markets[symbol] for symbol in listed])
            self.bulk.catch_up(added)
            self.cycle.set_symbols(listed, self._snapshots_s(len(added)))
            await self.streams.apply(listed)

    def _snapshots_s(self, books: int) -> float:
        """How long the budget takes to let so many snapshots go, when half of it is for others."""
        return 2 * books * (self.row.snapshot_weight or 0) / self.row.limit.per_second

    def _heartbeat(self) -> Heartbeat:
        counts = self.outbox.ledger[FUTURES.name]
        return Heartbeat(
            role="collector",
            exchange=self.exchange,
            worker=self.worker,
            epoch=self.epoch,
            state=self.state,
            sent_at=self.clock.now_ms(),
            revision=self.desired.revision,
            statistics=Statistics(
                success=self.cycle.success,
                errors=self.cycle.errors,
                published=counts.confirmed,
                failed=counts.dropped.total(),
            ),
            details={
                "symbols": len(self.intake.parts),
                "kinds": self.outbox.ledger.as_dict(),
                "set_aside": self.quarantine.total,
                "unwanted": self.intake.unwanted,
                "book_resyncs": self.streams.resyncs,
                "rest_failures": self.bulk.failures,
            },
        )

    def _market_list(self) -> MarketList:
        return MarketList(
            exchange=self.exchange, worker=self.worker, symbols=list(self.client.markets)
        )

    async def _save_sequences(self) -> None:
        """A disk that refuses costs the next run's first messages their `prev_seq`, no more."""
        try:
            await self.sequences.save()
        except OSError as error:
            self.log.error("The sequence numbers can not be kept on disk: %s", error)
