"""The collector process of one venue, from its start to its ordered end."""

import asyncio
import logging
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from shared.broker import Broker
from shared.clock import Clock
from shared.config import Settings
from shared.config.live import Live
from shared.custody import SpoolPlace
from shared.errors import ExchangeError
from shared.monitoring import monitor_of
from shared.outbox import Origin, Outbox
from shared.sequence import Sequences
from shared.service import Stop, every, running
from shared.status import HEARTBEAT_S, State
from shared.vitals import Vitals
from workers.collector.access import Access
from workers.collector.assembly import Assembler
from workers.collector.books.keeper import BookKeeper
from workers.collector.books.tops import BookTops
from workers.collector.bulk import BulkCycle
from workers.collector.candles.candles import Candles
from workers.collector.catalogue import CATALOGUE
from workers.collector.catalogue.row import StreamKind, Subscription
from workers.collector.client import VenueClient
from workers.collector.continuity.continuity import Continuity, Wanted
from workers.collector.continuity.feeds import Feeds
from workers.collector.cycle import TICK_S, WARM_UP_S, Cycle
from workers.collector.desired import DesiredSymbols
from workers.collector.events import (
    Acknowledged,
    BookUpdate,
    Candle,
    Liquidated,
    Print,
    Quote,
    Summary,
    Unread,
)
from workers.collector.grid import Grid
from workers.collector.heartbeat import heartbeat, market_list
from workers.collector.intake import Intake
from workers.collector.liquidations import Liquidations
from workers.collector.listings import Listings
from workers.collector.market_file import MarketFile
from workers.collector.overview.funding import PredictedFundings
from workers.collector.overview.interest import OpenInterests
from workers.collector.overview.overview import Overviews
from workers.collector.overview.settlements import Settlements
from workers.collector.publishing import Publishing
from workers.collector.quarantine import Quarantine
from workers.collector.quotes import Quotes
from workers.collector.recording.recorder import Recorder
from workers.collector.requests.live import LiveAnswers
from workers.collector.requests.service import RequestService
from workers.collector.schedule.schedule import Schedule
from workers.collector.schedule.tightness import Gauge
from workers.collector.sharing.answers import Answers
from workers.collector.sharing.sharing import Member, Sharing
from workers.collector.spending import budget_of
from workers.collector.status import StatusTeller, Tidings
from workers.collector.streams import Streams
from workers.collector.tasks.tasks import Sources, Tasks
from workers.collector.trades.trades import Trades
from workers.collector.wellness import venue_probe

_DRAIN_S = 5.0
#: How long a worker that stops waits for others to take up what it has, where there are others;
#: and how long until the last message is confirmed. See `shared.service.STOP_DEADLINE_S`.
_HAND_OVER_S = 5.0
_STOP_S = 8.5


class Collector:
    """Wires one venue's parts together; `run` is the story."""

    outbox_class: type[Outbox] = Outbox

    def __init__(
        self, settings: Settings, venue: str, exchange: str, clock: Clock, index: int = 0
    ) -> None:
        """`index` tells the workers of a venue on one host apart."""
        config, row = settings.config, CATALOGUE[venue]
        self.row = row
        self.program = f"collector-{venue}" if index == 0 else f"collector-{venue}-{index}"
        self.worker = f"{venue}-{index}@{settings.environment.host_id}"
        self.egress = settings.environment.egress
        self.epoch = f"{self.worker}/{clock.now_ms()}"
        self.exchange = exchange
        self.state: State = "starting"
        self.log = logging.getLogger(exchange)
        self.clock = clock
        self.collection = Live(config.collection)
        self.vitals = Vitals(clock)
        state_dir = settings.state_dir(self.program)
        self.sequences = Sequences(state_dir / "sequences.json", self.epoch)
        self.broker = Broker.of(settings, self.program)
        origin = Origin(exchange, self.worker, self.epoch)
        self.outbox = self.outbox_class(
            self.broker,
            origin,
            self.sequences,
            clock,
            batches=config.rabbitmq.batches,
            spool=SpoolPlace.of(settings, venue, self.worker),
        )
        self.quarantine = Quarantine(self.log)
        publishing = Publishing(exchange, self.outbox, self.quarantine, clock)
        self.intake = Intake(publishing)
        self.budget = budget_of(settings, row, clock)
        self.client = VenueClient(row, Access.of(settings, venue), self.budget, clock)
        gauge = Gauge(self.budget, self.client.breakers, self.vitals, clock)
        self.schedule = Schedule(gauge, clock)
        self.client.send_frames_to(self.intake)
        self.recorder: Recorder | None = None
        if config.venue(venue).record:
            self.record_by(Recorder.of(settings, venue, clock))
        self.client.breakers.on_change = self._on_breaker
        self.client.venue_clock.on_change = self._on_skew
        markets = MarketFile(state_dir / "markets.zst", self.client.addresses, clock)
        self.listings = Listings(self.client, markets, clock, self.log)
        self.streams = Streams(self.client, clock, self.log)
        self.books = BookKeeper(row.book, self.client, clock, self.log)
        self.timeframes = config.collection.timeframes
        self.candles = Candles(row.candles, publishing, self.client, self.log, self.timeframes)
        self.candles.time.offset_ms = lambda: self.client.venue_clock.offset_ms
        self.bulk = BulkCycle(
            row, self.client, self.intake, self.collection, self.schedule, self.log
        )
        self.settlements = Settlements(
            row.funding_history,
            self.client.fetch_settlements,
            lambda: self.intake.parts,
            publishing,
            self.log,
        )
        self.overviews = self._overviews(publishing)
        self.bulk.on_update = self.overviews.apply
        self.trades = Trades(
            publishing, dense=row.trades.dense, large=config.collection.large_trade
        )
        self.trades.venue_ahead = lambda: self.client.venue_clock.offset_ms
        self.continuity = Continuity(
            row,
            publishing,
            origin,
            Feeds(
                self.client,
                self.streams,
                self.books,
                self.trades,
                self.candles,
                self.settlements,
            ),
            state_dir / "watermarks.json",
        )
        self.tasks = self._tasks(publishing)
        self._route(publishing)
        self.cycle = Cycle(
            Assembler(exchange, row.book.depth, self.collection),
            self.intake,
            self.outbox,
            Grid(round(config.collection.interval_seconds * 1000)),
            clock,
            self.log,
        )
        self._serve_others(settings)
        self._join(venue, origin, state_dir, list(config.symbols))

    def _serve_others(self, settings: Settings) -> None:
        """What others ask of this venue, and how well it is."""
        self.health = Live(settings.config.health)
        self.monitor = monitor_of(settings, self.vitals, self.clock)
        self.monitor.add_health_check(f"exchange_{self.exchange}", venue_probe(self))
        depth = self.row.book.depth
        live = LiveAnswers(
            lambda: self.intake.parts, self.client.listed, depth, self.collection, self.clock
        )
        self.requests = RequestService(settings, self.exchange, self.worker, self.client, live)

    def _join(self, venue: str, origin: Origin, state_dir: Path, seed: list[str]) -> None:
        """What the coordinator and the venue's other workers are told and say."""
        self.desired = DesiredSymbols(
            self.worker, venue, self.exchange, state_dir / "symbols.json", seed
        )
        self.desired.on_order = self.client.breakers.obey
        self.sharing = Sharing(
            Member(self.row, origin, self.egress),
            self.desired,
            self.continuity,
            self.trades,
            self.timeframes,
            state_dir / "peers.json",
        )
        self.answers = Answers(self.worker, self.exchange, self.egress, self.desired, self.clock)
        self.answers.take = self.bulk.take
        self.bulk.asks, self.bulk.on_answer = self.answers.asks, self.answers.told
        tidings = Tidings(
            partial(heartbeat, self),
            partial(market_list, self),
            lambda: self.sharing.holdings(self.state),
        )
        self.status = StatusTeller(self.broker, tidings)

    def _route(self, publishing: Publishing) -> None:
        """Who takes the events of each type, and who hears of what."""
        tops = BookTops(publishing, self.collection.value.orderbook_depth)
        tops.on_unsound = self.books.doubt
        self.books.on_changed = tops.changed
        self.books.resubscribe = self.streams.resubscribe
        self.streams.on_lost = self.continuity.lost
        self.continuity.hurry_rest = self.bulk.hurry
        self.schedule.put(self.settlements.question())
        self.listings.on_change = self._on_listings
        self.client.on_unlisted = self.bulk.on_unsaid = self.listings.doubt
        self.intake.on_awaited = self.continuity.on_awaited
        self.intake.route(Quote, Quotes(publishing).take)
        self.intake.route(Liquidated, Liquidations(publishing).take)
        self.intake.route(Summary, self.overviews.take)
        self.intake.route(Print, self.trades.take)
        self.intake.route(BookUpdate, self.books.take)
        self.intake.route(Unread, self.books.unread)
        self.intake.route(Candle, self.candles.take)
        self.intake.route(Acknowledged, self.continuity.on_acknowledged)

    def reconfigure(self, settings: Settings) -> None:
        """Take up what needs no restart, see `shared.config.changes.LIVE`."""
        self.collection.value = settings.config.collection
        self.trades.large = settings.config.collection.large_trade
        self.requests.reconfigure(settings)
        self.health.value = settings.config.health

    def record_by(self, recorder: Recorder) -> None:
        """Keep what passes on the wire, from the start of `run` to its end."""
        self.recorder = recorder
        self.client.record_by(recorder.tap)

    def _on_breaker(self, what: str, state: str, reason: str) -> None:
        of = f"REST of the venue ({what})" if what else "REST of the venue"
        if state == "CLOSED" and self.client.breakers.state == "CLOSED":
            self.log.info("%s answers again", of)
        elif state == "OPEN":
            self.log.warning("%s is left alone for a while: %s", of, reason)

    def _on_skew(self, skewed: bool) -> None:
        offset_s = (self.client.venue_clock.offset_ms or 0.0) / 1000
        if skewed:
            self.log.warning("The venue's clock is %+.1f s from ours", offset_s)
        else:
            self.log.info("The venue's clock and ours agree again")

    def _overviews(self, publishing: Publishing) -> Overviews:
        """Whatever is said of a symbol beside its prices, and who hears of it."""
        listeners = (
            OpenInterests(publishing).heard,
            PredictedFundings(publishing, self.collection).heard,
            self.settlements.heard,
        )
        return Overviews(publishing, self.collection, listeners)

    def _tasks(self, publishing: Publishing) -> Tasks:
        sources = Sources(
            parts=lambda: self.intake.parts,
            client=self.client,
            heard=self.overviews.apply,
            look_for_trades=self.continuity.refill.look,
            trades=self.trades,
            candles=self.candles,
            page=self.row.candles.page,
            timeframes=self.timeframes,
            collection=self.collection,
        )
        return Tasks(sources, publishing, self.schedule)

    async def run(self, stop: Stop) -> None:
        """Collect until `stop`; then feeds first, what they gave next, the broker last."""
        saving = every(HEARTBEAT_S, self._save_sequences, self.clock)
        passing_on, serving = self.answers.run(self.broker), self.requests.run(self.broker)
        telling = (self.status.run(), self.vitals.run(), self.monitor.run())
        work = (self.outbox.run(), *telling, saving, passing_on, serving)
        async with self.recorder or nullcontext(), running(stop, *work):
            listening = self.desired.listen(self.broker, self.egress)
            async with running(stop, listening, self._collect()):
                await stop.wait()
                self.state, end = "stopping", self.clock.monotonic() + _STOP_S
                self.status.hurry()
                await self.sharing.hand_over(_HAND_OVER_S)
            self.sharing.let_go()
            self.status.hurry()
            await self.streams.stop()
            await self.continuity.finish()
            drain_s = min(_DRAIN_S, end - self.clock.monotonic())
            await asyncio.gather(self._leave_venue(), self._drain(drain_s))
            await self.continuity.finish()
        await self._save_sequences()

    async def _leave_venue(self) -> None:
        try:
            await self.client.close()
        except ExchangeError as error:
            self.log.debug("The venue did not let go: %s", error)
        await self.requests.close()
        await self.budget.close()

    async def _drain(self, deadline_s: float) -> None:
        if not await self.outbox.drain(deadline_s):
            self.log.error("%d messages were not confirmed in time", self.outbox.pending)

    async def _collect(self) -> None:
        await self.listings.load()
        self.status.markets_changed()
        self.state = "running"
        self.status.hurry()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sharing.run())
            tasks.create_task(self._follow_desired())
            tasks.create_task(self.schedule.run())
            tasks.create_task(self.overviews.run(lambda: self.intake.parts))
            tasks.create_task(self._serve_cycles())
            tasks.create_task(self.books.run())
            tasks.create_task(self.candles.run())
            tasks.create_task(self.continuity.run())
            tasks.create_task(self.listings.run())
            tasks.create_task(self.client.venue_clock.run(self.client.ask_time))

    async def _serve_cycles(self) -> None:
        """Starts with the first connection: a fleet starts as a whole, its broker last of all.

        One that stays away longer is no reason to wait; what it misses is counted.
        """
        deadline = self.clock.monotonic() + WARM_UP_S
        while not self.outbox.connected and self.clock.monotonic() < deadline:
            await self.clock.sleep(TICK_S)
        await every(TICK_S, self.cycle.serve, self.clock)

    def _on_listings(self) -> None:
        self.desired.changed.set()
        self.status.markets_changed()

    async def _follow_desired(self) -> None:
        while True:
            await self.desired.changed.wait()
            self.desired.changed.clear()
            revision = self.desired.revision
            listed = self.listings.listed(self.sharing.wanted(self.intake.parts))
            self.sharing.share_budget(self.budget)
            streams = self._subscriptions(listed)
            added = set(listed) - set(self.intake.parts)
            self.intake.set_markets([self.client.markets[symbol] for symbol in listed])
            self.bulk.catch_up(added)
            self.cycle.set_symbols(listed, self._snapshots_s(len(added)))
            self.books.set_symbols(self.intake.parts.values())
            self.candles.set_symbols(self.intake.parts.values())
            wanted = Wanted(streams, self.listings.unlisted, revision)
            self.continuity.set_symbols(self.intake.parts, wanted)
            self.sharing.collected(listed)
            self.tasks.set_tasks(self.desired.tasks, self.intake.parts)
            self.streams.apply(streams)

    def _subscriptions(self, symbols: list[str]) -> list[Subscription]:
        return [
            Subscription(kind, symbol, timeframe)
            for symbol in symbols
            for kind in self.row.streams
            for timeframe in (self.timeframes if kind is StreamKind.CANDLES else ("",))
        ]

    def _snapshots_s(self, books: int) -> float:
        """How long the budget takes to let so many snapshots go, when half of it is for others."""
        return 2 * self.row.snapshots_s(books)

    async def _save_sequences(self) -> None:
        """A disk that refuses costs the next run's first messages their `prev_seq`, no more."""
        try:
            await self.sequences.save()
        except OSError as error:
            self.log.error("The sequence numbers can not be kept on disk: %s", error)
