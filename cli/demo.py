"""`fleet demo`: a whole fleet on simulated venues, from nothing to a live table and back."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live

from cli.board import Board, least_due
from cli.broker_node import speaks_amqp
from cli.demo_layout import EXCHANGES, INTERVAL_S, SYMBOLS, DemoLayout
from cli.exits import CommandFailed, Exit
from cli.guards import only_one, refuse_second_fleet, refuse_white_space
from cli.host import Host
from cli.leftovers import clear
from cli.place import Place, remove_socket
from cli.supervisor import broken
from cli.table import live_table, plain_line, summary_table
from cli.watch import watch
from shared.broker import Broker
from shared.topology import topology

#: How long all venues may take to deliver; without a verdict to give nobody is in a hurry.
DELIVERY_TIMEOUT_S = 90.0
_FRAME_S = 0.5
_LINE_S = 5.0
_POLL_S = 0.05


def run_demo(place: Place, seconds: float | None) -> Exit:
    """Blocks until Ctrl-C, or until `seconds` after all venues deliver; nothing is left running.

    Raises CommandFailed and ConfigurationError.
    """
    refuse_white_space(place)
    with only_one(place.home / "demo.lock", "a demo runs"):
        refuse_second_fleet(place, beside_demo=True)
        clear(place.demo)
        layout = DemoLayout.choose(place)
        layout.write()
        demo = Demo(layout, seconds)
        try:
            demo.host.start()
            layout.endpoints(demo.host.pid).write(place.endpoints)
            return asyncio.run(demo.play())
        finally:
            demo.end()


@dataclass(slots=True)
class Demo:
    """One run: starts its clock when it is made."""

    layout: DemoLayout
    seconds: float | None
    console: Console = field(default_factory=Console)
    board: Board = field(default_factory=lambda: Board(EXCHANGES, SYMBOLS))
    host: Host = field(init=False)
    started: float = field(default_factory=time.monotonic)
    _delivering: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.host = self.layout.host

    @property
    def up_s(self) -> float:
        return time.monotonic() - self.started

    async def play(self) -> Exit:
        """Watch and show until the end; what the exit code will be."""
        self._introduce()
        async with _stop_on_signals() as stop:
            watching = asyncio.create_task(self._watch())
            showing = asyncio.create_task(self._show())
            ending = asyncio.create_task(self._until_the_end())
            stopped = asyncio.create_task(stop.wait())
            tasks = {watching, showing, ending, stopped}
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            if stopped in done:
                self.console.print(summary_table(self.board))
                return Exit.OK if self.seconds is None else Exit.FAILED
            for task in done:
                task.result()
            return self._conclude()

    def end(self) -> None:
        """Stop everything, whatever state it is in. A second Ctrl-C makes it abrupt."""
        place = self.layout.place
        self._say("Stopping …")
        before = [(number, signal.signal(number, _hurry)) for number in _SIGNALS]
        try:
            self.host.stop()
        except CommandFailed as error:
            self._say(str(error))
        except KeyboardInterrupt:
            self._say("At once, then.")
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            clear(place.demo, patience_s=0)
            place.endpoints.unlink(missing_ok=True)
            remove_socket(self.host.socket)
        self._say(f"Stopped. Logs are in {_shown(place.demo / 'logs')}/.")

    async def _watch(self) -> None:
        await self._until_broker_answers()
        broker = Broker(
            self.layout.broker.amqp_url, "fleet-demo", topology("futures_data"), declares=True
        )
        await watch(broker, self._take)

    async def _until_broker_answers(self) -> None:
        # Asked so often, we are connected before any collector is, and miss nothing.
        while True:
            if await asyncio.to_thread(speaks_amqp, self.layout.broker.ports.amqp):
                return
            await asyncio.sleep(_POLL_S)

    def _take(self, routing_key: str, body: bytes, now_s: float) -> None:
        self.board.take(routing_key, body, now_s)
        if self.board.all_delivering and self.board.all_told:
            self._delivering.set()

    async def _show(self) -> None:
        if not self.console.is_terminal:
            while True:
                await asyncio.sleep(_LINE_S)
                self._say(plain_line(self.board, self.up_s))
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(live_table(self.board, time.monotonic()), refresh=True)
                await asyncio.sleep(_FRAME_S)

    async def _until_the_end(self) -> None:
        """Until the verdict is due, or supervisord has gone."""
        while not self._delivering.is_set():
            self._check(time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._delivering.wait(), _FRAME_S)
        self._say(f"All {len(EXCHANGES)} venues deliver, {self.up_s:.1f} s after the start.")
        self.board.start_counting()
        until = time.monotonic() + self.seconds if self.seconds is not None else float("inf")
        while time.monotonic() < until:
            self._check(float("-inf"))
            await asyncio.sleep(min(_FRAME_S, max(0.0, until - time.monotonic())))

    def _check(self, now_s: float) -> None:
        if self.host.ended():
            raise CommandFailed("supervisord has ended by itself; see its log")
        late = self.seconds is not None and now_s > self.started + DELIVERY_TIMEOUT_S
        if late:
            missing = sorted(set(EXCHANGES) - set(self.board.delivering()))
            names = ", ".join(missing) or "a market list"
            raise CommandFailed(
                f"nothing from {names} after {DELIVERY_TIMEOUT_S:.0f} s. {self._diagnosis()}"
            )

    def _diagnosis(self) -> str:
        programs = broken(self.host.supervisor.programs())
        states = "; ".join(f"{p.name} {p.state} {p.description}, log {p.log}" for p in programs)
        return states or f"All programs run; their logs: {self.layout.place.demo / 'logs'}"

    def _introduce(self) -> None:
        layout = self.layout
        # A config.json of one's own may name a broker, which would be asked in place of ours.
        is_named = layout.place.config_path.exists()
        named = f"FLEET_CONFIG={_shown(layout.place.demo / 'config.json')} " if is_named else ""
        self._say(
            "futures-fleet demo: RabbitMQ, coordinator and five collectors under supervisord.\n"
            "The venues are SIMULATED: servers on this machine that speak the venues' protocols.\n"
            "No price below is real, and nothing leaves this machine.\n"
            "\n"
            f"  queues      {layout.broker.management_url}  (user demo, password demo)\n"
            f"  broker      {layout.broker.amqp_url}\n"
            f"  logs        {_shown(layout.place.demo / 'logs')}/\n"
            "  in another terminal\n"
            f"              {named}.venv/bin/fleet status\n"
            f"              {named}.venv/bin/fleet tail 'trades.binance.*'\n"
            f"              {named}.venv/bin/fleet symbols add DOGE\n"
            f"              {named}.venv/bin/python scripts/control_client.py get_statistics\n"
        )
        until = "Ctrl-C" if self.seconds is None else f"{self.seconds:g} s of all venues delivering"
        self._say(f"Starting; runs until {until}.")

    def _conclude(self) -> Exit:
        assert self.seconds is not None
        self.console.print(summary_table(self.board))
        found = self.board.shortcomings(least_due(self.seconds, INTERVAL_S))
        for line in found:
            self._say(f"FAILED  {line}")
        if not found:
            self._say(f"Every listed symbol of every venue delivered for {self.seconds:g} s.")
        return Exit.FAILED if found else Exit.OK

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _hurry(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@asynccontextmanager
async def _stop_on_signals() -> AsyncIterator[asyncio.Event]:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _shown(path: Path) -> str:
    """Relative to where the user stands, where that is shorter."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
