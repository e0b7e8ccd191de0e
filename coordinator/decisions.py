"""What a command does to the registry, and what it is answered. Pure."""

from dataclasses import dataclass

from coordinator.answers import Answer, failure, success
from coordinator.commands import Command
from coordinator.desired import Desired
from coordinator.listings import Listings
from coordinator.records import Change, NoChange
from coordinator.registry import Registry
from shared.config import MAX_SYMBOLS


@dataclass(frozen=True, slots=True)
class Decision:
    """An operation for the log, and the answer that holds once it stands there."""

    op: Change | NoChange
    answer: Answer


@dataclass(frozen=True, slots=True)
class Desk:
    """What decisions are made from."""

    registry: Registry
    listings: Listings
    now_s: int

    def decide(self, command: Command) -> Decision:
        """What becomes of a command that writes."""
        refused = self._refused(command)
        if refused is not None:
            return Decision(NoChange(), refused)
        match command.name:
            case "add_symbol":
                return self._add(command)
            case "remove_symbol":
                return self._remove(command)
            case _:
                return self._set(command)

    def symbols(self, command: Command) -> Answer:
        """The answer to get_symbols."""
        if self._foreign(command):
            return self._foreign_venue(command)
        symbols = list(self.registry.desired.current(command.venue))
        data = {"symbols": symbols, "count": len(symbols)}
        return self._done(command, "Symbols retrieved successfully", data)

    def _refused(self, command: Command) -> Answer | None:
        if self._foreign(command):
            return self._foreign_venue(command)
        current = self.registry.state_revision
        if command.expected_revision not in (None, current):
            text = f"The state revision is {current}, not {command.expected_revision}"
            return {**self._failure(command, "revision_conflict", text), "data": {}}
        return None

    def _add(self, command: Command) -> Decision:
        symbol, venue = command.symbol, command.venue
        if symbol in self.registry.desired.current(venue):
            return self._unchanged(command, "duplicate_symbol", f"Symbol {symbol} already exists")
        after = self.registry.desired.add((symbol,), venue)
        if self._too_many(after):
            return self._full(command)
        listing = self.listings.of(symbol, self._wire_names(venue))
        data: Answer = {
            "symbol": symbol,
            "current_symbols": list(after.current(venue)),
            "listed_on": list(listing.on),
            "not_listed_on": list(listing.absent),
        }
        if listing.nowhere:
            data["warning"] = f"No exchange lists {symbol}"
        answer = self._done(command, f"Symbol {symbol} added successfully", data)
        return Decision(Change(op="add", symbols=[symbol], exchange=venue), answer)

    def _remove(self, command: Command) -> Decision:
        symbol, venue = command.symbol, command.venue
        if symbol not in self.registry.desired.current(venue):
            return self._unchanged(command, "symbol_not_found", f"Symbol {symbol} not found")
        after = self.registry.desired.remove((symbol,), venue)
        data = {"symbol": symbol, "current_symbols": list(after.current(venue))}
        answer = self._done(command, f"Symbol {symbol} removed successfully", data)
        return Decision(Change(op="remove", symbols=[symbol], exchange=venue), answer)

    def _set(self, command: Command) -> Decision:
        after = self.registry.desired.put(command.symbols, command.venue)
        if self._too_many(after):
            return self._full(command)
        symbols = list(after.current(command.venue))
        data = {"current_symbols": symbols, "count": len(symbols)}
        answer = self._done(command, "Symbols set successfully", data)
        op = Change(op="set", symbols=list(command.symbols), exchange=command.venue)
        return Decision(op, answer)

    def _too_many(self, desired: Desired) -> bool:
        venues = self.registry.exchanges
        sizes = [len(desired.symbols), *(len(desired.effective(venue)) for venue in venues)]
        return max(sizes) > MAX_SYMBOLS

    def _full(self, command: Command) -> Decision:
        text = f"An exchange would have more than {MAX_SYMBOLS} symbols"
        return self._unchanged(command, "invalid_command", text)

    def _unchanged(self, command: Command, code: str, message: str) -> Decision:
        return Decision(NoChange(), self._failure(command, code, message))

    def _foreign(self, command: Command) -> bool:
        return command.venue is not None and command.venue not in self.registry.exchanges

    def _foreign_venue(self, command: Command) -> Answer:
        known = ", ".join(self.registry.exchanges.values())
        text = f"exchange: {command.venue} is not collected; known are {known}"
        return self._failure(command, "invalid_command", text)

    def _wire_names(self, venue: str | None) -> list[str]:
        exchanges = self.registry.exchanges
        return list(exchanges.values()) if venue is None else [exchanges[venue]]

    def _done(self, command: Command, message: str, data: Answer) -> Answer:
        return success(command.name, command.correlation_id, message, data, self.now_s)

    def _failure(self, command: Command, code: str, message: str) -> Answer:
        return failure(command.name, command.correlation_id, code, message, self.now_s)
