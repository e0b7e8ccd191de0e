"""The cycle: at each point of the grid one FuturesData a symbol, from its freshest parts."""

import logging

from shared.clock import Clock
from shared.errors import DataProcessingError
from shared.fact import Fact
from shared.kinds import FUTURES
from shared.messages import FuturesData
from shared.outbox import Outbox
from workers.collector.assembly import OPTIONAL_PARTS, Assembler
from workers.collector.grid import Grid
from workers.collector.intake import Intake
from workers.collector.parts import Parts

#: How often the grid is looked at; a point is served at most this much late.
TICK_S = 0.05
#: A new symbol's cycles count as errors only after this long, and after as long as its snapshot
#: may have to wait for its turn in the venue's budget.
WARM_UP_S = 30.0


class Cycle:
    """Counts every symbol cycle as a success or an error."""

    def __init__(
        self,
        assembler: Assembler,
        intake: Intake,
        outbox: Outbox,
        grid: Grid,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.success = 0
        self.errors = 0
        self._assembler = assembler
        self._intake = intake
        self._outbox = outbox
        self._grid = grid
        self._clock = clock
        self._log = log
        self._warm_until: dict[str, float] = {}  # symbols that never had a cycle yet
        self._failing: dict[str, str] = {}  # symbol to the reason that was logged

    def set_symbols(self, symbols: list[str], wait_s: float) -> None:
        """Serve these; `wait_s` is how long the snapshots of the new ones may take in all."""
        self._grid.set_symbols(symbols, self._clock.now_ms())
        deadline = self._clock.monotonic() + WARM_UP_S + wait_s
        known = self._warm_until
        self._warm_until = {symbol: known.get(symbol, deadline) for symbol in symbols}
        self._failing = {s: reason for s, reason in self._failing.items() if s in symbols}

    async def serve(self) -> None:
        """Every symbol that is due now."""
        for symbol, cycle_ms in self._grid.due(self._clock.now_ms()):
            parts = self._intake.parts.get(symbol)
            if parts is not None:
                self._serve(parts, cycle_ms)

    def _serve(self, parts: Parts, cycle_ms: int) -> None:
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        try:
            data = self._assembler.assemble(parts, now, now_ms)
        except DataProcessingError as error:
            self._on_error(parts.symbol, str(error), now)
            return
        self.success += 1
        self._warm_until[parts.symbol] = 0.0
        self._failing.pop(parts.symbol, None)
        self._log.info("Successfully collected %s", parts.symbol)
        self._warn_of_missing(parts, data)
        body = data.model_dump_json().encode()
        self._outbox.put(Fact(FUTURES, parts.symbol, body, now_ms, str(cycle_ms)))

    def _on_error(self, symbol: str, reason: str, now: float) -> None:
        if now < self._warm_until.get(symbol, 0.0):
            self._log.debug("Not collecting %s yet: %s", symbol, reason)
            return
        self.errors += 1
        cause = reason.partition(" is ")[0]  # without its age
        if self._failing.get(symbol) != cause:
            self._failing[symbol] = cause
            self._log.error("Failed to collect %s: %s", symbol, reason)

    def _warn_of_missing(self, parts: Parts, data: FuturesData) -> None:
        """One line when an optional part goes missing, not one a cycle."""
        missing = {name for name in OPTIONAL_PARTS if getattr(data, name) is None}
        for name in sorted(missing - parts.unavailable):
            self._log.warning("%s not available for %s", OPTIONAL_PARTS[name], parts.symbol)
        parts.unavailable = missing
