"""What a demo has seen so far, folded from the fleet's messages: no network, no terminal."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.errors import DataProcessingError
from shared.status import Heartbeat, MarketList
from shared.symbols import symbol_of_key


@dataclass(slots=True)
class Cell:
    """One symbol of one venue."""

    futures: int = 0
    trades: int = 0
    last: float | None = None
    bid: float | None = None
    ask: float | None = None
    seen_at: float | None = None  # monotonic seconds, of the last FuturesData
    futures_before: int = 0  # the count when the clock started

    @property
    def counted(self) -> int:
        return self.futures - self.futures_before


@dataclass(slots=True)
class Board:
    """All symbols of all venues."""

    exchanges: tuple[str, ...]
    symbols: tuple[str, ...]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    listed: dict[str, set[str]] = field(default_factory=dict)  # by venues that have told
    heartbeats: dict[str, Heartbeat] = field(default_factory=dict)  # by epoch: runs, not workers
    counting: bool = False
    failed_before: dict[str, int] = field(default_factory=dict)  # by epoch, when the clock started

    def take(self, routing_key: str, body: bytes, now_s: float) -> None:
        """A message of `futures_data` or `futures_status`; one of another kind is passed over."""
        kind = routing_key.partition(".")[0]
        if kind == "futures":
            self._take_futures(orjson.loads(body), now_s)
        elif kind == "trades":
            self._take_trade(routing_key)
        elif kind == "heartbeat":
            self._take_heartbeat(Heartbeat.model_validate_json(body))
        elif kind == "markets":
            markets = MarketList.model_validate_json(body)
            self.listed[markets.exchange] = set(markets.symbols)

    def expected(self, exchange: str) -> list[str]:
        """The symbols that a venue should deliver: all, until it tells which of them it lists."""
        listed = self.listed.get(exchange)
        return [symbol for symbol in self.symbols if listed is None or symbol in listed]

    def delivering(self) -> list[str]:
        """Venues which have delivered FuturesData."""
        seen = {exchange for (exchange, _), cell in self.cells.items() if cell.futures}
        return [exchange for exchange in self.exchanges if exchange in seen]

    @property
    def all_delivering(self) -> bool:
        return len(self.delivering()) == len(self.exchanges)

    @property
    def all_told(self) -> bool:
        """Every venue has told which symbols it lists."""
        return set(self.exchanges) <= set(self.listed)

    def errors(self, exchange: str) -> int:
        """Symbol cycles that failed, and messages that the broker did not take since the clock
        started: before that it was not up yet."""
        runs = [beat for beat in self.heartbeats.values() if beat.exchange == exchange]
        errors = sum(beat.statistics.errors for beat in runs)
        if not self.counting:
            return errors
        failed = (
            beat.statistics.failed - self.failed_before.get(beat.epoch, beat.statistics.failed)
            for beat in runs
        )
        return errors + sum(failed)

    def start_counting(self) -> None:
        self.counting = True
        for cell in self.cells.values():
            cell.futures_before = cell.futures

    def cell(self, exchange: str, symbol: str) -> Cell:
        return self.cells.setdefault((exchange, symbol), Cell())

    def shortcomings(self, least: int) -> list[str]:
        """Why the demo has failed: every symbol that delivered fewer than `least` messages since
        the clock started, every venue that counted errors. Empty: it has not."""
        found = []
        for exchange in self.exchanges:
            for symbol in self.expected(exchange):
                count = self.cell(exchange, symbol).counted
                if count < least:
                    found.append(f"{exchange} {symbol}: {count} messages, at least {least} are due")
            if errors := self.errors(exchange):
                found.append(f"{exchange}: {errors} errors counted")
        return found

    def _take_futures(self, body: dict[str, Any], now_s: float) -> None:
        cell = self.cell(body["exchange"], body["symbol"])
        ticker = body["ticker"]
        cell.futures += 1
        cell.last, cell.bid, cell.ask = ticker["last"], ticker["bid"], ticker["ask"]
        cell.seen_at = now_s

    def _take_heartbeat(self, beat: Heartbeat) -> None:
        if self.counting and beat.epoch not in self.failed_before:
            # What was not told yet when the clock started belongs to the time before.
            began_later = beat.epoch not in self.heartbeats
            self.failed_before[beat.epoch] = 0 if began_later else beat.statistics.failed
        self.heartbeats[beat.epoch] = beat

    def _take_trade(self, routing_key: str) -> None:
        _, exchange, key = routing_key.split(".")
        try:
            self.cell(exchange, symbol_of_key(key)).trades += 1
        except DataProcessingError:
            return


def least_due(seconds: float, interval_s: float) -> int:
    """FuturesData that a symbol delivers at least in `seconds`: one an interval, less the one at
    each end that may fall outside."""
    return max(1, int(seconds // interval_s) - 2)
