"""A running venue: its markets, who follows which stream, and its dialect."""

from collections.abc import Callable, Iterator
from time import time
from typing import TypeVar

from simulator.dialect import Dialect
from simulator.market import Market, Rates, Trigger
from simulator.session import Session
from simulator.topic import Topic
from simulator.truth import Truth
from simulator.universe import Instrument
from simulator.weights import Meter

T = TypeVar("T", bound=Topic)


class Venue:
    """Markets that nobody follows stand still until somebody asks."""

    def __init__(self, name: str, markets: list[Market], truth: Truth) -> None:
        self.name = name
        self.truth = truth
        self.meter = Meter()
        self.sessions: dict[int, Session] = {}
        self.dialect: Dialect
        self.markets = markets
        self._by_id = {market.instrument.id: market for market in markets}
        self._topics: dict[tuple[str, str], Topic] = {}
        self._followers: dict[Market, dict[Trigger, list[Topic]]] = {}

    # --- markets

    def market(self, id_: str) -> Market | None:
        """The market with the venue's own id, brought up to now."""
        market = self._by_id.get(id_)
        if market is not None:
            self._refresh(market)
        return market

    def all_markets(self) -> Iterator[Market]:
        for market in self.markets:
            self._refresh(market)
            yield market

    def settled(self, now_ms: float) -> list[Market]:
        """All markets for a stream of all symbols, those that sleep brought up to `now_ms`."""
        for market in self.markets:
            if market not in self._followers:
                market.catch_up(now_ms)
        return self.markets

    def _refresh(self, market: Market) -> None:
        if market in self._followers:
            self._drive(market, self._followers[market], time() * 1000)
        else:
            market.catch_up(time() * 1000)

    def rouse(self, now_ms: float) -> None:
        """Keep sleeping markets from falling far behind, one at a time."""
        idle = [market for market in self.markets if market not in self._followers]
        if idle:
            min(idle, key=lambda market: market.due_ms).catch_up(now_ms)

    # --- streams

    def topic(self, market: Market, channel: str, make: Callable[[Market, str], T]) -> Topic:
        """The shared stream `channel` of `market`, made when first asked for."""
        found = self._topics.get((market.instrument.id, channel))
        return found if found is not None else make(market, channel)

    def join(self, topic: Topic, session: Session) -> None:
        market = topic.market
        self._topics[market.instrument.id, topic.channel] = topic
        followers = self._followers.setdefault(market, {trigger: [] for trigger in Trigger})
        if not topic.subscribers:
            for trigger in topic.triggers:
                followers[trigger].append(topic)
        topic.subscribers[session] = None

    def leave(self, topic: Topic, session: Session) -> None:
        topic.subscribers.pop(session, None)
        if topic.subscribers:
            return
        self._topics.pop((topic.market.instrument.id, topic.channel), None)
        followers = self._followers.get(topic.market, {})
        for trigger in topic.triggers:
            followers[trigger].remove(topic)
        if not any(followers.values()):
            self._followers.pop(topic.market, None)

    @property
    def followed(self) -> bool:
        return bool(self._followers)

    def drive(self, now_ms: float) -> None:
        """Let everything happen that is due, and push it."""
        for market, followers in list(self._followers.items()):
            if market.due_ms <= now_ms:
                self._drive(market, followers, now_ms)

    @staticmethod
    def _drive(market: Market, followers: dict[Trigger, list[Topic]], now_ms: float) -> None:
        for event in market.advance(now_ms):
            for topic in followers[event.trigger]:
                topic.publish(event)

    def subscriptions(self) -> dict[str, list[str]]:
        """Channels in force by unified symbol."""
        found: dict[str, list[str]] = {}
        for topic in self._topics.values():
            found.setdefault(topic.symbol, []).append(topic.channel)
        return found


def open_venue(
    dialect: type[Dialect],
    instruments: list[Instrument],
    seed: int,
    rates: Rates,
    truth: Truth,
) -> Venue:
    start_ms = int(time() * 1000)
    markets = [Market(instrument, seed, rates, start_ms) for instrument in instruments]
    venue = Venue(dialect.name, markets, truth)
    venue.dialect = dialect(venue)
    return venue
