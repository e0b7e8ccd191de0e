"""What a publisher holds that is not on the wire: in which order it goes, and how it is settled."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import aiormq

from shared.broker import CONNECTION_ERRORS, Broker
from shared.clock import Clock
from shared.publisher import STALLED_S, Bounds, Outcome, Publication, Settled, is_blocked

#: How often a publisher looks whether its broker still takes messages.
_LOOK_S = 0.1
#: A connection that stalls for so long without being blocked is given up, and what it did not
#: confirm is sent again: RabbitMQ 3.10 was seen to confirm nothing more after an alarm of 120 s.
_GIVE_UP_S = 15.0
#: A nacked message waits so long, twice as long the next time; a returned one of a spool, which
#: is tried until somebody declares a queue for it, up to `_RETRY_CAP_S`.
_RETRY_S = 0.1
_RETRY_CAP_S = 5.0

log = logging.getLogger("rabbitmq")

Oldest = Callable[[], Publication | None]


class Backlog:
    """Two lanes: what was offered, bounded in bytes, and behind it what a spool gives back.

    Messages that the broker refused wait apart, so that they hold up nobody.
    """

    def __init__(self, bounds: Bounds, settled: Settled, clock: Clock) -> None:
        self.bounds = bounds
        self.clock = clock
        self.unsettled = 0
        self.republished = 0
        self.stalled = False
        self.work = asyncio.Event()  # set whenever there may be something to send
        self._settled = settled
        self._waiting: deque[Publication] = deque()
        self._behind: deque[Publication] = deque()
        self._behind_sent = 0
        self._retrying: dict[Publication, asyncio.TimerHandle] = {}
        self._bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __bool__(self) -> bool:
        """Whether there is something to send now."""
        return bool(self._waiting) or (bool(self._behind) and self._may_send_behind)

    @property
    def _may_send_behind(self) -> bool:
        return self._behind_sent < self.bounds.unconfirmed // 2

    @property
    def waiting(self) -> int:
        """How many messages stand before one that is offered now."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def messages(self) -> Iterator[Publication]:
        yield from self._waiting
        yield from self._behind
        yield from self._retrying

    def offer(self, message: Publication) -> bool:
        if self._bytes + message.size > self.bounds.queued_bytes:
            return False
        self._begin()
        self._append(message)
        return True

    def offer_behind(self, message: Publication) -> bool:
        if len(self._behind) >= self.bounds.behind:
            return False
        self._begin()
        message.behind = True
        self._behind.append(message)
        self.work.set()
        return True

    @property
    def room_behind(self) -> int:
        return self.bounds.behind - len(self._behind)

    def withdraw(self) -> list[Publication]:
        withdrawn = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        for _ in withdrawn:
            self._end()
        return withdrawn

    def take(self) -> Publication:
        if not self._waiting:
            self._behind_sent += 1
            return self._behind.popleft()
        message = self._waiting.popleft()
        self._bytes -= message.size
        return message

    def put_back(self, messages: Sequence[Publication]) -> None:
        """Return messages of a connection that ended to the front, in their old order.

        What is perishable, returned or still waiting, ends with the connection.
        """
        self.stalled = False
        self.republished += len(messages)
        self._behind.extendleft(reversed([message for message in messages if message.behind]))
        self._behind_sent = 0
        own = [message for message in messages if not message.behind]
        queued, self._waiting = self._waiting, deque()
        self._bytes = 0
        for message in messages:
            message.returned = False
        for message in (*own, *queued):
            if message.perishable:
                self.settle(message, Outcome.EXPIRED)
            else:
                self._append(message)
        self.work.set()

    def confirmed(self, message: Publication) -> None:
        """The broker acked it: that is the end, unless it came back before."""
        if message.returned:
            message.returned = False
            self._try_again(message, Outcome.RETURNED)
        else:
            self._leaves_wire(message)
            self.settle(message, Outcome.CONFIRMED)

    def unencodable(self, message: Publication) -> None:
        self._leaves_wire(message)
        self.settle(message, Outcome.UNENCODABLE)

    def nacked(self, message: Publication) -> None:
        """Send it again, or settle it as refused where that was tried often enough."""
        self._try_again(message, Outcome.REFUSED)

    async def settled(self, deadline_s: float) -> bool:
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def settle(self, message: Publication, outcome: Outcome) -> None:
        self._end()
        self._settled(message, outcome)

    async def watch(self, connection: aiormq.abc.AbstractConnection, oldest: Oldest) -> None:
        """Keep `stalled` true to what this connection's broker does.

        Returns when the connection is not worth keeping: not blocked, and nothing confirmed.
        """
        sound_at = self.clock.monotonic()
        while self.clock.monotonic() - sound_at < _GIVE_UP_S:
            message = oldest()
            age = self.clock.monotonic() - message.sent_at if message else 0.0
            was, self.stalled = self.stalled, is_blocked(connection) or age > STALLED_S
            if is_blocked(connection) or not self.stalled:
                sound_at = self.clock.monotonic()
            if was and not self.stalled:
                self.work.set()
            await asyncio.sleep(_LOOK_S)
        self.work.set()

    def _try_again(self, message: Publication, otherwise: Outcome) -> None:
        self._leaves_wire(message)
        message.nacks += 1
        waits_for_queue = otherwise is Outcome.RETURNED and message.behind
        if message.nacks > self.bounds.nack_retries and not waits_for_queue:
            self.settle(message, otherwise)
            return
        delay_s = min(_RETRY_CAP_S, _RETRY_S * 2.0 ** min(message.nacks - 1, 10))
        timer = asyncio.get_running_loop().call_later(delay_s, self._retry, message)
        self._retrying[message] = timer

    def _retry(self, message: Publication) -> None:
        del self._retrying[message]
        self.republished += 1
        if message.behind:
            self._behind.append(message)
            self.work.set()
        else:
            self._append(message)

    def _leaves_wire(self, message: Publication) -> None:
        self._behind_sent -= message.behind

    def _append(self, message: Publication) -> None:
        self._waiting.append(message)
        self._bytes += message.size
        self.work.set()

    def _begin(self) -> None:
        self.unsettled += 1
        self._idle.clear()

    def _end(self) -> None:
        self.unsettled -= 1
        if not self.unsettled:
            self._idle.set()


class Queued:
    """The part of a publisher that is in front of its connection; see `shared.publisher`."""

    def __init__(self, backlog: Backlog) -> None:
        self.connected = False
        self._backlog = backlog
        self._served = False  # there was a connection before

    def offer(self, message: Publication) -> bool:
        return self._backlog.offer(message)

    def offer_behind(self, message: Publication) -> bool:
        return self._backlog.offer_behind(message)

    def withdraw(self) -> list[Publication]:
        return self._backlog.withdraw()

    @property
    def room_behind(self) -> int:
        return self._backlog.room_behind

    @property
    def stalled(self) -> bool:
        return self.connected and self._backlog.stalled

    @property
    def republished(self) -> int:
        return self._backlog.republished

    @property
    def pending(self) -> int:
        return self._backlog.unsettled

    async def drain(self, deadline_s: float) -> bool:
        return await self._backlog.settled(deadline_s)

    async def _declare_again(self, broker: Broker) -> None:
        """Before any connection but the first: what ended the last one may be that somebody
        deleted an exchange. Trouble with the topology itself is not ours to stop for."""
        again, self._served = self._served, True
        if not again or not broker.declares:
            return
        try:
            async with await broker.connect("declare") as connection:
                await broker.declare(await connection.channel(), queues=False)
        except CONNECTION_ERRORS as error:
            log.debug("The topology could not be declared again: %s", error)
