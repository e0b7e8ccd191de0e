"""Coordinators over a log and a control queue in memory, and what a broker and a machine may do to
them. The log's reader and the leadership are the real ones; only the wires are played."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import orjson

from coordinator.commands import Command, parse
from coordinator.leadership import Known, Leadership, Sender
from coordinator.listings import Listings
from coordinator.log import RegistryLog
from coordinator.records import Claim, Operation, Record, Seed, decode, encode
from coordinator.roster import Roster
from shared.config import AppConfig
from shared.config.live import Live
from shared.errors import BrokerError, CommandError
from shared.venues import canonical_venue
from tests.coordinators import BTC, ETH, EXCHANGES
from tests.fakes import FakeClock

CONFIG = AppConfig(exchanges=EXCHANGES, symbols=(BTC, ETH))
SEED = Seed(
    registry="r",
    symbols=list(CONFIG.symbols),
    exchanges={canonical_venue(name): name for name in EXCHANGES},
)
#: Turns of the event loop without anything new after which nothing more comes.
_IDLE_TURNS = 60
_MOST_TURNS = 20_000


class Fate(Enum):
    """What becomes of a record on its way to the log."""

    LOST = "it never arrives, and no confirm comes"
    UNCONFIRMED = "it arrives, and no confirm comes"
    LATE = "no confirm comes, and it arrives when nobody waits for it any more"
    OVERTAKEN = "no confirm comes, and it arrives right behind the next claim"
    CUT = "it is on its way when its writer loses the control queue, and gives up its command"
    FROZEN = "its writer freezes between the decision and the sending"


class Stream:
    """The registry's log: what was appended stays, at its offset."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.late: list[bytes] = []
        self.overtaken: list[bytes] = []
        self._grown = asyncio.Event()

    def append(self, body: bytes) -> None:
        self.bodies.append(body)
        if isinstance(decode(body), Claim):
            self.bodies += self.overtaken
            self.overtaken.clear()
        self._grown.set()
        self._grown = asyncio.Event()

    async def at(self, offset: int) -> bytes:
        while offset >= len(self.bodies):
            await self._grown.wait()
        return self.bodies[offset]

    def records(self) -> list[tuple[int, Record]]:
        return [(offset, decode(body)) for offset, body in enumerate(self.bodies)]


class Subscription:
    """A consumer of the control queue: at most one message at a time is its."""

    def __init__(self, queue: "ControlQueue") -> None:
        self.holding: bytes | None = None
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queue = queue

    def ack(self) -> None:
        """Void where the broker has given the message to another."""
        if self in self._queue.consumers:
            self.holding = None
            self._queue.deliver()


class ControlQueue:
    """One active consumer: the first that subscribed, for as long as the broker thinks it alive."""

    def __init__(self) -> None:
        self.messages: deque[bytes] = deque()
        self.consumers: list[Subscription] = []
        self.delivered = 0

    def put(self, body: bytes) -> None:
        self.messages.append(body)
        self.deliver()

    def subscribe(self) -> Subscription:
        subscription = Subscription(self)
        self.consumers.append(subscription)
        self.deliver()
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Its message goes to the next, in its old place."""
        if subscription not in self.consumers:
            return
        self.consumers.remove(subscription)
        if subscription.holding is not None:
            self.messages.appendleft(subscription.holding)
        subscription.inbox.put_nowait(None)
        self.deliver()

    def deliver(self) -> None:
        if not self.consumers or not self.messages or self.consumers[0].holding is not None:
            return
        active = self.consumers[0]
        active.holding = self.messages.popleft()
        active.inbox.put_nowait(active.holding)
        self.delivered += 1


class _Outlet:
    """Appends to the log, as far as fate lets it."""

    connected = True

    def __init__(self, player: "Player") -> None:
        self._player = player

    async def record(self, body: bytes) -> None:
        player, stream = self._player, self._player.world.stream
        fate = player.fates.popleft() if player.fates else None
        if fate is Fate.FROZEN:
            player.freeze()
        await player.thawed.wait()
        if fate is Fate.CUT:
            player.lose_connection()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:  # it is on the wire already
            stream.late.append(body)
            raise
        if fate in (Fate.LOST, Fate.LATE, Fate.OVERTAKEN):
            stream.late += [body] if fate is Fate.LATE else []
            stream.overtaken += [body] if fate is Fate.OVERTAKEN else []
            raise BrokerError("not confirmed")
        stream.append(body)
        await asyncio.sleep(0)
        if fate is Fate.UNCONFIRMED:
            raise BrokerError("not confirmed")


class _Broker:
    """Connections that last, to a player's own view of the log."""

    def __init__(self, player: "Player") -> None:
        self._player = player

    async def keep(self, _purpose: str, session: Any) -> None:
        while True:
            try:
                await session(self)
            except BrokerError:
                await asyncio.sleep(0)

    async def channel(self) -> "_Broker":
        return self

    async def set_qos(self, _count: int) -> None:
        return

    async def declare(self, _channel: Any) -> None:
        return

    async def read(self, offset: int) -> AsyncIterator[Any]:
        while True:
            body = await self._player.world.stream.at(offset)
            await self._player.thawed.wait()
            self._player.world.read += 1
            yield _Delivered(offset, body)
            offset += 1


class _Delivered:
    def __init__(self, offset: int, body: bytes) -> None:
        self.body = body
        self.headers = {"x-stream-offset": offset}

    async def ack(self) -> None:
        await asyncio.sleep(0)


class _NoMirror:
    def load(self) -> None:
        return None


def deliveries(channel: Any, _queue: str, arguments: Any) -> AsyncIterator[Any]:
    """In place of the one that reads from a broker."""
    offset = arguments["x-stream-offset"]
    reading: AsyncIterator[Any] = channel.read(0 if offset == "first" else offset)
    return reading


class Player:
    """A run of a coordinator: it knows nothing but what it reads in the log."""

    def __init__(self, world: "World", instance: str) -> None:
        self.world = world
        self.instance = instance
        self.fates: deque[Fate] = deque()
        self.thawed = asyncio.Event()
        self.thawed.set()
        broker: Any = _Broker(self)
        outlet: Any = _Outlet(self)
        mirror: Any = _NoMirror()
        self.log = RegistryLog(broker, outlet, instance, world.clock)
        known = Known(Listings(world.clock), Roster(world.clock))
        self.leadership = Leadership(self.log, mirror, known, Live(CONFIG), world.clock)
        self.subscription: Subscription | None = None
        self._session: asyncio.Task[None] | None = None
        self.tasks = [asyncio.create_task(self.log.run()), asyncio.create_task(self._serve())]

    def freeze(self) -> None:
        """Nothing of it moves, and it does not know."""
        self.thawed.clear()

    def lose_connection(self) -> None:
        """It notices that the broker has let go of it, whatever it is about."""
        if self._session is not None:
            self._session.cancel()

    async def kill(self) -> None:
        """At once, and what it knew is gone."""
        tasks = [*self.tasks, *([self._session] if self._session else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def snapshot(self) -> None:
        """As the leader does from time to time."""
        async with self.leadership._one_at_a_time:
            if self.log.leading and not self.log.in_doubt:
                await self.leadership.snapshot()

    async def _serve(self) -> None:
        while True:
            self.subscription = self.world.queue.subscribe()
            self._session = asyncio.create_task(self._serve_on(self.subscription))
            await asyncio.wait({self._session})
            self.world.queue.drop(self.subscription)
            if not self._session.cancelled() and (error := self._session.exception()):
                raise error
            await asyncio.sleep(0)

    async def _serve_on(self, subscription: Subscription) -> None:
        """As `coordinator.control` does: answered, then acknowledged, else left to another."""
        while (body := await subscription.inbox.get()) is not None:
            await self.thawed.wait()
            try:
                answer = await self._answer(body)
            except BrokerError:
                return
            await self.thawed.wait()
            self.world.take_answer(body, answer)
            subscription.ack()

    async def _answer(self, body: bytes) -> bytes:
        command = parse(body)
        assert isinstance(command, Command), command
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        try:
            return await self.leadership.write(command, Sender(None, digest))
        except CommandError as error:
            return orjson.dumps({"success": False, "error": error.code})


class World:
    """All of it, moved by the test a few turns of its event loop at a time."""

    def __init__(self, *names: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.stream = Stream()
        self.queue = ControlQueue()
        self.answers: dict[bytes, set[bytes]] = {}  # by the command's body
        self.players: dict[str, Player] = {}
        self.answered = 0
        self.read = 0  # records, by whomever
        self._runs = 0
        self.stream.append(encode(Claim(by="who seeded it")))
        self.stream.append(encode(Operation(by="who seeded it", epoch=1, op=SEED)))
        for name in names:
            self.start(name)

    def start(self, name: str) -> None:
        """A new run, which remembers nothing."""
        self._runs += 1
        self.players[name] = self.do(self._started(f"{name}/{self._runs}"))

    async def _started(self, instance: str) -> Player:
        return Player(self, instance)

    def kill(self, name: str) -> None:
        player = self.players.pop(name)
        self.do(player.kill())
        if player.subscription is not None:
            self.queue.drop(player.subscription)

    def take_answer(self, command: bytes, answer: bytes) -> None:
        self.answers.setdefault(command, set()).add(answer)
        self.answered += 1

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def turn(self, turns: int) -> None:
        self.do(self._turned(turns))

    def settle(self) -> None:
        """Until nothing moves any more. Fails where that does not come."""
        for _ in range(_MOST_TURNS // _IDLE_TURNS):
            before = self._progress()
            self.turn(_IDLE_TURNS)
            if self._progress() == before:
                return
        raise AssertionError("the coordinators never come to rest")

    def heal(self, *names: str) -> None:
        """No more faults: everybody is there, and what was late has come."""
        for name in names:
            if name not in self.players:
                self.start(name)
        for player in self.players.values():
            player.fates.clear()
            player.thawed.set()
        late = [*self.stream.late, *self.stream.overtaken]
        self.stream.late, self.stream.overtaken = [], []
        for body in late:
            self.stream.append(body)
        self.settle()

    def check_alive(self) -> None:
        """Raises what a task ended with; none of them ever ends."""
        for player in self.players.values():
            for task in player.tasks:
                if task.done():
                    task.result()

    def close(self) -> None:
        for name in list(self.players):
            self.kill(name)
        self.do(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _progress(self) -> tuple[int, ...]:
        return len(self.stream.bodies), self.queue.delivered, self.answered, self.read

    @staticmethod
    async def _turned(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
