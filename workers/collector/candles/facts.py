"""Candles as messages: made, checked, counted, and handed to the outbox."""

from collections.abc import Callable, Iterable
from typing import Literal

from pydantic import ValidationError

from shared.encoding import encoded
from shared.fact import Fact
from shared.kinds import CANDLE, OPEN_CANDLE
from shared.messages import Ohlcv
from workers.collector.assembly import base_units
from workers.collector.candles.series import CandleSeries
from workers.collector.events import Candle
from workers.collector.publishing import Publishing

Source = Literal["stream", "backfill"]


class CandleFacts:
    """The way out of all candles of a venue."""

    def __init__(self, publishing: Publishing) -> None:
        self.corrections = 0
        #: Told of each closed candle that is published.
        self.on_closed: Callable[[Ohlcv], None] = lambda _candle: None
        self._publishing = publishing
        self._open_counts = publishing.outbox.ledger[OPEN_CANDLE.label]

    def closed(
        self, series: CandleSeries, event: Candle, received_at: int, source: Source = "stream"
    ) -> Ohlcv | None:
        """The closed candle of an event; None, counted and set aside, where it is not valid."""
        try:
            return self._made(series, event, received_at, source, closed=True)
        except ValidationError as error:
            self._publishing.reject(CANDLE, series.symbol, error, event)
            return None

    def refuse(self, symbol: str, event: Candle, error: Exception) -> None:
        """Count a frame that can not be true, and set it aside."""
        self._publishing.reject(CANDLE, symbol, error, event)

    def publish(self, candles: Iterable[Ohlcv]) -> None:
        """Closed candles, each with its revision."""
        for candle in candles:
            self.corrections += candle.rev > 0
            key = f"{candle.timeframe}:{candle.start}:{candle.rev}"
            body = encoded(candle.__dict__)
            self._publishing.put(
                Fact(CANDLE, candle.symbol, body, candle.received_at, key, candle.timeframe)
            )
            self.on_closed(candle)

    def publish_open(self, series: CandleSeries, event: Candle) -> None:
        try:
            candle = self._made(series, event, series.open_received_at, "stream", closed=False)
        except ValidationError as error:
            self._publishing.reject(OPEN_CANDLE, series.symbol, error, event)
            return
        body = encoded(candle.__dict__)
        received_at, tail = candle.received_at, candle.timeframe
        self._publishing.put(Fact(OPEN_CANDLE, candle.symbol, body, received_at, tail=tail))

    def repeated(self) -> None:
        """Count a frame of a closed candle that says nothing new."""
        self._publishing.repeated(CANDLE)

    def conflated(self) -> None:
        """Count a frame of an open candle that a newer one replaced."""
        self._open_counts.received += 1
        self._open_counts.conflated += 1

    def _made(
        self, series: CandleSeries, event: Candle, received_at: int, source: Source, *, closed: bool
    ) -> Ohlcv:
        return Ohlcv(
            exchange=self._publishing.exchange,
            symbol=series.symbol,
            timeframe=series.timeframe,
            start=event.start,
            end=event.start + series.span_ms,
            open=event.open,
            high=event.high,
            low=event.low,
            close=event.close,
            volume=base_units(event.volume, series.unit),
            quote_volume=event.quote_volume,
            closed=closed,
            source=source,
            timestamp=event.timestamp,
            received_at=received_at,
        )
