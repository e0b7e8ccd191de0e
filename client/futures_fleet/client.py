"""The client: streams of data, and commands to the fleet."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar, cast, overload

from yarl import URL

from futures_fleet import answers, commands
from futures_fleet._wire.broker import Broker
from futures_fleet._wire.collection import TaskKind
from futures_fleet._wire.topology import topology
from futures_fleet.control import Control
from futures_fleet.message import Message, Missed
from futures_fleet.shorthand import unified
from futures_fleet.stream import Stream, Subscription

D = TypeVar("D")
OnMissed = Callable[[Missed], object]

MIB = 1024 * 1024
#: How long a command waits for its answer: longer than a frozen coordinator is replaced in.
TIMEOUT_S = 30.0
_SCHEMES = ("amqp", "amqps")
_MAX_PATTERN_BYTES = 255
_MAX_NAME = 100  # of the 255 bytes that a queue's name may have


class FleetClient:
    """`async with FleetClient(url) as fleet`; all it opened is closed with the block.

    Nothing is connected before it is needed, and what is lost is connected again for ever.
    `name` stands in the names of connections and queues, the URL's user by default; `exchange`
    is the data exchange, and a `reader` brings queues that only readers may declare. Raises
    ValueError for what is no AMQP URL.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        exchange: str = "futures_data",
        reader: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        parsed = URL(url)
        if parsed.scheme not in _SCHEMES or not parsed.host:
            raise ValueError("the address of a broker begins with amqp:// or amqps:// and a host")
        user = parsed.user or "guest"  # whom the AMQP library takes where there is none
        self._owner = (name or parsed.user or socket.gethostname())[:_MAX_NAME]
        self._role = "reader" if reader else "client"
        self._exchange = exchange
        self._timeout_s = timeout_s
        self._broker = Broker(url, self._owner, topology(exchange), declares=False)
        external = parsed.query.get("auth", "").lower() == "external"
        self._control = Control(self._broker, self._role, None if external else user)
        self._streams: set[Stream[Any]] = set()
        self._closed = False

    async def __aenter__(self) -> "FleetClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all streams and the connections."""
        self._closed = True
        await asyncio.gather(self._control.close(), *(one.close() for one in [*self._streams]))

    # --- data

    @overload
    def stream(
        self,
        *patterns: str,
        missed: Literal[False] = False,
        on_missed: OnMissed | None = None,
        grace_s: float = 2.0,
        buffer_bytes: int = 64 * MIB,
    ) -> Stream[Message]: ...
    @overload
    def stream(
        self,
        *patterns: str,
        missed: Literal[True],
        on_missed: OnMissed | None = None,
        grace_s: float = 2.0,
        buffer_bytes: int = 64 * MIB,
    ) -> Stream[Message | Missed]: ...
    def stream(
        self,
        *patterns: str,
        missed: bool = False,
        on_missed: OnMissed | None = None,
        grace_s: float = 2.0,
        buffer_bytes: int = 64 * MIB,
    ) -> Stream[Any]:
        """Messages whose routing keys fit any of the patterns, `trades.binance.*`, `ticker.#`.

        What did not come is counted, told to `on_missed`, and with `missed` handed out among the
        messages as `Missed`: after `grace_s`, in which late ones may come. `buffer_bytes` bounds
        what waits in memory for a reader that lags; beyond it the oldest are dropped, and missed.
        Raises ValueError for patterns that AMQP can not carry.
        """
        if self._closed:
            raise RuntimeError("the client is closed")
        if not patterns:
            raise ValueError("a stream needs a pattern of routing keys")
        for pattern in patterns:
            if not pattern or len(pattern.encode()) > _MAX_PATTERN_BYTES:
                raise ValueError(f"a pattern has 1 to {_MAX_PATTERN_BYTES} bytes")
            if "/" in pattern:
                raise ValueError(f"no routing key holds a slash: {pattern!r}, see symbol_key")
        subscription = Subscription(
            exchange=self._exchange,
            patterns=tuple(dict.fromkeys(patterns)),
            role=self._role,
            owner=self._owner,
            missed=missed,
            on_missed=on_missed,
            grace_s=grace_s,
            buffer_bytes=buffer_bytes,
        )
        stream: Stream[Any] = Stream(self._broker, subscription, self._streams.discard)
        self._streams.add(stream)
        return stream

    # --- symbols

    async def add_symbol(
        self,
        symbol: str,
        exchange: str | None = None,
        expected_revision: int | None = None,
    ) -> answers.SymbolAdded:
        """Collect a symbol, `BTC/USDT:USDT` or short `BTC`, or all that `*/USDT:USDT` or `top:50`
        stands for; on one exchange or on all. All commands raise CommandError, NoAnswerError and
        CredentialsError."""
        command = commands.AddSymbol(
            symbol=unified(symbol), exchange=exchange, expected_revision=expected_revision
        )
        return await self._ask(command, answers.SymbolAdded)

    async def remove_symbol(
        self,
        symbol: str,
        exchange: str | None = None,
        expected_revision: int | None = None,
    ) -> answers.SymbolRemoved:
        """Collect a symbol no more."""
        command = commands.RemoveSymbol(
            symbol=unified(symbol), exchange=exchange, expected_revision=expected_revision
        )
        return await self._ask(command, answers.SymbolRemoved)

    async def set_symbols(
        self,
        symbols: Sequence[str],
        exchange: str | None = None,
        expected_revision: int | None = None,
    ) -> answers.SymbolsSet:
        """Collect these and no others."""
        command = commands.SetSymbols(
            symbols=[unified(symbol) for symbol in symbols],
            exchange=exchange,
            expected_revision=expected_revision,
        )
        return await self._ask(command, answers.SymbolsSet)

    async def get_symbols(self, exchange: str | None = None) -> answers.Symbols:
        """What is collected, in the order in which it was added."""
        return await self._ask(commands.GetSymbols(exchange=exchange), answers.Symbols)

    async def get_state(self, exchange: str | None = None) -> answers.State:
        """The symbols, and the revision to hand to a command as `expected_revision`."""
        data = await self.get_symbols(exchange)
        return answers.State(tuple(data["symbols"]), data["state_revision"])

    async def get_statistics(self) -> answers.Statistics:
        """FuturesData of the whole fleet since its first start."""
        return await self._ask(commands.GetStatistics(), answers.Statistics)

    # --- tasks

    async def add_task(
        self,
        exchange: str,
        symbol: str,
        kind: TaskKind,
        interval: float,
        **options: Any,
    ) -> answers.TaskAdded:
        """Collect `kind` of a symbol each `interval` seconds, besides what the symbol implies.

        Options: `task_id`, `parameters` (`timeframe`, `depth`, `limit`), `priority` 1 … 9,
        `delivery` (`lossless`, `latest`, `sampled` with `sample_ms`), `expected_revision`. Raises
        pydantic's ValidationError, a ValueError, for what no task can have.
        """
        command = commands.AddTask(
            exchange=exchange, symbol=unified(symbol), kind=kind, interval=interval, **options
        )
        return await self._ask(command, answers.TaskAdded)

    async def remove_task(
        self, task_id: str, expected_revision: int | None = None
    ) -> answers.TaskRemoved:
        """End a task."""
        command = commands.RemoveTask(task_id=task_id, expected_revision=expected_revision)
        return await self._ask(command, answers.TaskRemoved)

    async def list_tasks(
        self,
        exchange: str | None = None,
        symbol: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> answers.Tasks:
        """Tasks with their owners and states; `after` is `next` of the page before."""
        command = commands.ListTasks(
            exchange=exchange,
            symbol=None if symbol is None else unified(symbol),
            kind=kind,
            limit=limit,
            after=after,
        )
        return await self._ask(command, answers.Tasks)

    # --- the fleet

    async def enable_exchange(
        self,
        exchange: str,
        host: str | None = None,
        expected_revision: int | None = None,
    ) -> answers.ExchangeSwitched:
        """Collect a venue: wherever it has workers, or with `host` by a worker started there."""
        command = commands.EnableExchange(
            exchange=exchange, host=host, expected_revision=expected_revision
        )
        return await self._ask(command, answers.ExchangeSwitched)

    async def disable_exchange(
        self,
        exchange: str,
        host: str | None = None,
        expected_revision: int | None = None,
    ) -> answers.ExchangeSwitched:
        """Collect a venue no more, nowhere or not on that host."""
        command = commands.DisableExchange(
            exchange=exchange, host=host, expected_revision=expected_revision
        )
        return await self._ask(command, answers.ExchangeSwitched)

    async def get_workers(self, exchange: str | None = None) -> answers.Workers:
        """Who works, on what, and how far each is."""
        return await self._ask(commands.GetWorkers(exchange=exchange), answers.Workers)

    async def get_history(
        self, limit: int | None = None, before: int | None = None
    ) -> answers.History:
        """What was done to the registry."""
        return await self._ask(commands.GetHistory(limit=limit, before=before), answers.History)

    async def rollback(self, to: int, expected_revision: int | None = None) -> answers.RolledBack:
        """Make symbols, tasks and switches what they were at state revision `to`."""
        command = commands.Rollback(to=to, expected_revision=expected_revision)
        return await self._ask(command, answers.RolledBack)

    async def restart_worker(self, worker: str) -> answers.WorkerRestarted:
        """Have its host restart a worker, `binance-0@host`."""
        return await self._ask(commands.RestartWorker(worker=worker), answers.WorkerRestarted)

    async def reload_config(self, host: str | None = None) -> answers.ConfigReloaded:
        """Have all hosts, or one, look at their configuration now."""
        return await self._ask(commands.ReloadConfig(host=host), answers.ConfigReloaded)

    async def trip_breaker(
        self, exchange: str, endpoint: str | None = None, seconds: float | None = None
    ) -> answers.BreakerOrdered:
        """Have a venue's collectors leave its REST alone, or one sort of its endpoints (`prices`,
        `books`, `history`, `markets`), for some seconds or until it is reset."""
        command = commands.TripBreaker.model_validate(
            {"exchange": exchange, "endpoint": endpoint, "seconds": seconds}
        )
        return await self._ask(command, answers.BreakerOrdered)

    async def reset_breaker(
        self, exchange: str, endpoint: str | None = None
    ) -> answers.BreakerOrdered:
        """Have them ask it again, whatever has failed."""
        command = commands.ResetBreaker.model_validate({"exchange": exchange, "endpoint": endpoint})
        return await self._ask(command, answers.BreakerOrdered)

    async def _ask(self, command: commands.Command, _form: type[D]) -> D:
        """`_form` says what the data is like; it is handed over as it came."""
        if self._closed:
            raise RuntimeError("the client is closed")
        return cast(D, await self._control.ask(command, self._timeout_s))
