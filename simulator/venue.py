"""A running venue: its markets, who follows which stream, and its dialect."""

from collections.abc import Callable, Iterator
from time import time
from typing import TypeVar

from simulator.dialect import Dialect
from simulator.faults.faults import Faults
from simulator.happening import Rates, Trigger
from simulator.market import Market
from simulator.session import Session
from simulator.topic import Topic
from simulator.truth import Truth
from simulator.universe import Instrument
from simulator.weights import Meter

T = TypeVar("T", bound=Topic)


class Venue:
    """Markets that nobody follows stand still until somebody asks."""

    def __init__(self, name: str, markets: list[Market], rates: Rates, truth: Truth) -> None:
        self.name = name
        self.truth = truth
        self.meter = Meter()
        self.rates = rates
        self.skew_ms = 0.0
        self.faults = Faults(self)
        self.sessions: dict[int, Session] = {}
        self.dialect: Dialect
        self.markets = markets
        self._by_id = {market.instrument.id: market for market in markets}
        self._topics: dict[tuple[str, str], Topic] = {}
        self._followers: dict[Market, dict[Trigger, list[Topic]]] = {}

    # --- markets

    def market(self, id_: str) -> Market | None:
        """The listed market with the venue's own id, brought up to now."""
        market = self._by_id.get(id_)
        if market is None or not market.listed:
            return None
        self._refresh(market)
        return market

    def find(self, name: str) -> Market | None:
        """By the venue's own id or by the unified symbol, listed or not."""
        unified = (market for market in self.markets if market.instrument.symbol == name)
        return self._by_id.get(name) or next(unified, None)

    def enlist(self, market: Market) -> None:
        self.markets.append(market)
        self._by_id[market.instrument.id] = market

    def now_ms(self) -> float:
        return time() * 1000 + self.skew_ms

    def skew(self, ms: float) -> None:
        """Let all clocks of the venue jump."""
        for market in self.markets:
            self._refresh(market)
            market.shift(ms)
        for session in self.sessions.values():
            session.heard_ms += ms  # nobody was silent for that
        self.skew_ms += ms

    def all_markets(self) -> Iterator[Market]:
        for market in self.markets:
            if market.listed:
                self._refresh(market)
                yield market

    def settled(self, now_ms: float) -> list[Market]:
        """All markets for a stream of all symbols, those that sleep brought up to `now_ms`."""
        for market in self.markets:
            if market not in self._followers:
                market.catch_up(now_ms)
        return [market for market in self.markets if market.listed]

    def _refresh(self, market: Market) -> None:
        if market in self._followers:
            self._drive(market, self._followers[market], self.now_ms())
        else:
            market.catch_up(self.now_ms())

    def push(self, market: Market) -> None:
        """Bring those who follow the book of `market` up to where it is now."""
        self._refresh(market)
        event = market.push()
        for topic in self._followers.get(market, {}).get(Trigger.BOOK, []):
            topic.publish(event)

    def rouse(self) -> None:
        """Keep sleeping markets from falling far behind, one at a time."""
        idle = [market for market in self.markets if market not in self._followers]
        if idle:
            min(idle, key=lambda market: market.due_ms).catch_up(self.now_ms())

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
            market.follow()
            for trigger in topic.triggers:
                followers[trigger].append(topic)
        topic.subscribers[session] = None
        self._note("subscribed", topic, session)
        if self.faults.active:
            self.faults.joined(topic, session)

    def leave(self, topic: Topic, session: Session) -> None:
        if session in topic.subscribers:
            del topic.subscribers[session]
            self._note("unsubscribed", topic, session)
        if topic.subscribers:
            return
        self._topics.pop((topic.market.instrument.id, topic.channel), None)
        followers = self._followers.get(topic.market, {})
        for trigger in topic.triggers:
            followers[trigger].remove(topic)
        if not any(followers.values()):
            self._followers.pop(topic.market, None)

    def _note(self, event: str, topic: Topic, session: Session) -> None:
        facts = {"channel": topic.channel, "symbol": topic.symbol}
        self.truth.note(self.name, event, conn=session.number, **facts)

    @property
    def topics(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    @property
    def followed(self) -> bool:
        return bool(self._followers)

    def drive(self) -> None:
        """Let everything happen that is due, and push it."""
        now_ms = self.now_ms()
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
    venue = Venue(dialect.name, markets, rates, truth)
    venue.dialect = dialect(venue)
    return venue
