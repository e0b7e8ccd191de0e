"""The part of a candle stream that all venues share."""

from abc import abstractmethod

from simulator.candles import Candle, bucket
from simulator.frame import Frame
from simulator.happening import Event, Trigger
from simulator.market import MINUTE_MS, Market
from simulator.topic import Topic


class CandleTopic(Topic):
    """The open candle at each trade, and once more, closed, when its time is over."""

    triggers = (Trigger.TRADE, Trigger.SECOND)
    kind = "candles"

    def __init__(self, span: int, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self.span = span
        self._minute = bucket(market.now_ms // MINUTE_MS, span)  # may be ahead of the last candle

    def current(self, t_ms: int) -> Candle:
        return self.market.candles.current(self.span, t_ms // MINUTE_MS)

    @abstractmethod
    def message(self, candle: Candle, closed: bool, t_ms: int) -> object: ...

    def publish(self, event: Event) -> None:
        if self.current(event.t_ms).minute != self._minute:
            ended = self.market.candles.current(self.span, self._minute + self.span - 1)
            self._minute = self.current(event.t_ms).minute
            self._send(self._frame(ended, True, event.t_ms))
        super().publish(event)

    def render(self, event: Event) -> Frame | None:
        if event.trigger is Trigger.SECOND:
            return None
        return self._frame(self.current(event.t_ms), False, event.t_ms)

    def _frame(self, candle: Candle, closed: bool, t_ms: int) -> Frame:
        ids: dict[str, object] = {"start": candle.minute * MINUTE_MS, "closed": closed}
        return self.frame(self.message(candle, closed, t_ms), ids)
