"""`fleet doctor --exchange`: whether a venue answers what the fleet asks it, by its collector."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from cli.broker_address import find_address, run_on
from cli.checks import Check
from cli.place import Place
from cli.requests import manager_of
from shared.config import load_config
from shared.errors import CryptoCollectorException, ExchangeError
from shared.exchange_manager import ExchangeManager

#: A venue whose clock is further from ours is worth a word.
_SKEW_S = 2.0
_TIMEOUT_S = 30.0
_CANDLES = 100
_MINUTE_MS = 60_000


def check_exchange(place: Place, exchange: str, top: int) -> list[Check]:
    """Connectivity, the `top` symbols by turnover, one page of candles from
    `collection.start_date` on. Raises CommandFailed where the broker is away."""
    address = find_address(place)
    broker = address.broker("fleet-doctor")

    async def checked() -> list[Check]:
        async with manager_of(place, broker) as manager:
            return await _Patient(manager, exchange, top, _start_ms(place)).examined()

    return run_on(address, broker, checked())


def _start_ms(place: Place) -> int:
    """Midnight (UTC) of the start date; a day ago where there is none."""
    start = None
    if place.config_path.exists():
        start = load_config(place.config_path).collection.start_date
    if start is None:
        moment = datetime.now(UTC) - timedelta(days=1)
    else:
        moment = datetime(start.year, start.month, start.day, tzinfo=UTC)
    return int(moment.timestamp() * 1000) // _MINUTE_MS * _MINUTE_MS


class _Patient:
    def __init__(self, manager: ExchangeManager, exchange: str, top: int, start_ms: int) -> None:
        self._manager, self._exchange = manager, exchange
        self._top, self._start_ms = top, start_ms

    async def examined(self) -> list[Check]:
        """All checks; one that fails costs no other its place, but for that of a collector."""
        try:
            status = await self._manager.get_exchange_status(self._exchange)
        except ExchangeError:
            return [Check("collector", "fail", f"no collector of {self._exchange} is heard of")]
        well: Literal["ok", "warn"] = "ok" if status["status"] == "healthy" else "warn"
        text = (
            f"{status['status']}, score {status['health_score']:g}, "
            f"breaker {status['circuit_breaker']}, {status['symbols']} symbols listed"
        )
        checks = [Check("collector", well, text)]
        steps: tuple[tuple[str, Callable[[], Awaitable[Check]]], ...] = (
            ("venue", self._time),
            ("top", self._ranking),
            ("candles", self._candles),
        )
        for name, step in steps:
            try:
                checks.append(await step())
            except CryptoCollectorException as error:
                checks.append(Check(name, "fail", f"{type(error).__name__}: {error}"))
        return checks

    async def _time(self) -> Check:
        began, now = time.monotonic(), time.time()
        venue_ms = await self._asked("fetch_time")
        took_s = time.monotonic() - began
        apart_s = venue_ms / 1000 - (now + took_s / 2)
        text = f"answers in {1000 * took_s:.0f} ms, its clock is {apart_s:+.1f} s from ours"
        return Check("venue", "ok" if abs(apart_s) < _SKEW_S + took_s else "warn", text)

    async def _ranking(self) -> Check:
        ranked = self._manager.top_symbols(self._exchange, self._top)
        if not ranked:
            return Check("top", "warn", "its collector does not know the turnovers yet")
        return Check("top", "ok", f"top {len(ranked)} by turnover: {', '.join(ranked)}")

    async def _candles(self) -> Check:
        ranked = self._manager.top_symbols(self._exchange, 1)
        symbol = ranked[0] if ranked else "BTC/USDT:USDT"
        asked = ("fetch_ohlcv", symbol, "1m")
        try:
            rows = await self._asked(*asked, self._start_ms, _CANDLES)
        except ExchangeError:  # as some venues answer about what is too long ago
            rows = []
        rows = rows or await self._asked(*asked, None, _CANDLES)
        if not rows:
            return Check("candles", "fail", f"none of {symbol}")
        text = f"{len(rows)} of {symbol}, 1m, from {_day(rows[0][0])} on"
        if rows[0][0] <= self._start_ms + _MINUTE_MS:
            return Check("candles", "ok", text)
        return Check("candles", "warn", f"{text}, none at {_day(self._start_ms)}")

    async def _asked(self, method: str, *arguments: Any) -> Any:
        return await self._manager.execute_request(
            method, *arguments, exchange_id=self._exchange, timeout=_TIMEOUT_S, max_age=0
        )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
