"""The life of a process: start, run until a signal, stop in order, leave with a stated code."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from shared.clock import Clock
from shared.config import Settings
from shared.config.manager import ConfigManager
from shared.config.watching import ConfigWatch
from shared.errors import ConfigurationError
from shared.heap import give_back, trimmed
from shared.logs import configure_logging
from shared.tasks import ended

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

#: From the signal to the last confirmed message; supervisord's `stopwaitsecs` is longer.
STOP_DEADLINE_S = 10.0

log = logging.getLogger("main")


@dataclass(frozen=True, slots=True)
class Stop:
    """Set once, by SIGTERM or SIGINT or by the process itself."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        await self.event.wait()

    def request(self) -> None:
        self.event.set()


class Life:
    """What a process is run with: its settings now, and when to stop."""

    def __init__(self, manager: ConfigManager, stop: Stop) -> None:
        self.manager = manager
        self.stop = stop

    @property
    def settings(self) -> Settings:
        return self.manager.settings

    def on_change(self, reconfigure: Callable[[Settings], None]) -> None:
        """Have `reconfigure` told of settings that differ from those before."""
        self.manager.on_change.append(lambda settings, _: reconfigure(settings))


Main = Callable[[Life], Awaitable[None]]


def run(program: str, main: Main) -> int:
    """Load the settings, run `main` on uvloop until it returns; the process's exit code.

    `main` is expected to end within STOP_DEADLINE_S of a stop; then it is cancelled.
    """
    give_back()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to look at again
    try:
        manager = ConfigManager()
        configure_logging(manager.load_config(), program)
        manager.on_change.append(lambda settings, _: configure_logging(settings.config, program))
        uvloop.run(_guarded(main, manager))
    except (ConfigurationError, OSError, BaseExceptionGroup) as error:
        cause = _root(error)
        if not isinstance(cause, ConfigurationError | OSError):
            raise
        _complain((str(cause) or type(cause).__name__).splitlines()[0])
        return EXIT_CONFIG if isinstance(cause, ConfigurationError) else EXIT_FAILED
    return EXIT_OK


async def _guarded(main: Main, manager: ConfigManager) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(manager.config.performance.worker_threads))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request)
    work = asyncio.ensure_future(main(Life(manager, stop)))
    beside = [asyncio.ensure_future(one) for one in (trimmed(), ConfigWatch(manager).run())]
    for one in beside:
        one.add_done_callback(_tell_failure)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for one in beside:
        one.cancel()
    if not work.done():
        log.info("Stopping")
        await asyncio.wait({work}, timeout=STOP_DEADLINE_S)
    if not work.done():
        log.error("Not stopped after %.0f s: giving up what is left", STOP_DEADLINE_S)
        work.cancel()
        await asyncio.wait({work}, timeout=1)
        return
    await work


@asynccontextmanager
async def running(stop: Stop, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block and end it with the block.

    A failure in the background requests a stop, and is raised when the block has ended.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    for task in tasks:
        task.add_done_callback(lambda done: _request_if_failed(done, stop))
    try:
        yield
    finally:
        await ended(*tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):
            raise error


def _tell_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("What runs beside the work has ended: %r", error)


def _request_if_failed(task: asyncio.Task[None], stop: Stop) -> None:
    if not task.cancelled() and task.exception():
        stop.request()


async def every(seconds: float, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run `work` each `seconds`, for ever; a run that takes longer delays the next."""
    while True:
        started = clock.monotonic()
        await work()
        await clock.sleep(max(0.0, started + seconds - clock.monotonic()))


def _root(error: BaseException) -> BaseException:
    """The first error inside the groups that task groups make of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _complain(line: str) -> None:
    """One line on the log, and on stderr where logging was not configured yet."""
    if logging.getLogger().handlers:
        log.error("%s", line)
    else:
        sys.stderr.write(f"{line}\n")
