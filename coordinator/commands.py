"""Control commands: from the bytes of a message to a command, or to the reason why it is none."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from shared.config import MAX_SYMBOLS
from shared.errors import ConfigurationError, DataProcessingError
from shared.symbols import expand_short, parse_symbol
from shared.venues import canonical_venue

MAX_BODY_BYTES = 64 * 1024
#: What fits an AMQP short string, which carries the id on the answer as well.
MAX_CORRELATION_ID_BYTES = 255
#: How much of a client's text an answer or a log line repeats, in characters.
_SHOWN = 64
_FEW = 10

WRITES = ("add_symbol", "remove_symbol", "set_symbols")
READS = ("get_symbols", "get_statistics")


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose fields are sound. Whether it can be done depends on the registry."""

    name: str
    correlation_id: str | None
    symbols: tuple[str, ...] = ()
    venue: str | None = None  # canonical
    expected_revision: int | None = None  # of the state

    @property
    def writes(self) -> bool:
        return self.name in WRITES

    @property
    def symbol(self) -> str:
        return self.symbols[0]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is answered with an error, whatever the registry holds."""

    code: str
    message: str
    correlation_id: str | None
    name: str | None = None  # the command, as the client wrote it
    known: bool = False  # whether `name` is a command of ours


def parse(body: bytes, property_id: str | None = None) -> Command | Refusal:
    """`property_id` is the correlation id of the AMQP message, for bodies without one."""
    property_id = property_id or None
    if len(body) > MAX_BODY_BYTES:
        size = f"the body has {len(body)} bytes, more than {MAX_BODY_BYTES}"
        return Refusal("invalid_command", size, property_id)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Refusal("invalid_json", f"The body is not JSON: {error}", property_id)
    if not isinstance(content, dict):
        return Refusal("invalid_command", "The body is not a JSON object", property_id)
    return _command(content, property_id)


def shown(text: str) -> str:
    """A client's text for people: bounded and without control characters."""
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def _command(content: dict[str, Any], property_id: str | None) -> Command | Refusal:
    fields = _Fields(content)
    correlation_id = fields.correlation_id() or property_id
    name = content.get("command")
    if not isinstance(name, str):
        reason = "is missing" if name is None else "is not a string"
        return Refusal("invalid_command", f"command: {reason}", correlation_id)
    if name not in WRITES + READS:
        known = ", ".join(WRITES + READS)
        text = f"Unknown command {shown(name)}; known are {known}"
        return Refusal("unknown_command", text, correlation_id, shown(name))
    fields.check_timestamp()
    command = Command(
        name,
        correlation_id,
        symbols=fields.symbols(name),
        venue=None if name == "get_statistics" else fields.venue(),
        expected_revision=fields.expected_revision() if name in WRITES else None,
    )
    if fields.wrong:
        text = "; ".join(fields.wrong)
        return Refusal("invalid_command", text, correlation_id, name, known=True)
    return command


class _Fields:
    """The fields of a command, each checked; what is wrong is collected, not raised."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content
        self.wrong: list[str] = []

    def correlation_id(self) -> str | None:
        value = self._content.get("correlation_id")
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.wrong.append("correlation_id: is not a string")
        elif len(value.encode()) > MAX_CORRELATION_ID_BYTES:
            self.wrong.append(f"correlation_id: is longer than {MAX_CORRELATION_ID_BYTES} bytes")
        else:
            return value
        return None

    def check_timestamp(self) -> None:
        value = self._content.get("timestamp")
        if value is not None and not _natural(value):
            self.wrong.append("timestamp: is not an integer of seconds")

    def expected_revision(self) -> int | None:
        value = self._content.get("expected_revision")
        if value is None or _natural(value):
            return value
        self.wrong.append("expected_revision: is not an integer from 0 on")
        return None

    def venue(self) -> str | None:
        value = self._content.get("exchange")
        if value is None:
            return None
        if not isinstance(value, str):
            self.wrong.append("exchange: is not a string")
            return None
        try:
            return canonical_venue(value)
        except ConfigurationError:
            self.wrong.append(f"exchange: unknown exchange {shown(value)!r}")
            return None

    def symbols(self, command: str) -> tuple[str, ...]:
        match command:
            case "add_symbol" | "remove_symbol":
                return self._symbol()
            case "set_symbols":
                return self._symbol_list()
            case _:
                return ()

    def _symbol(self) -> tuple[str, ...]:
        value = self._content.get("symbol")
        if value is None:
            self.wrong.append("symbol: is missing")
            return ()
        fault = _symbol_fault(value)
        if fault:
            self.wrong.append(f"symbol: {fault}")
            return ()
        return (value,)

    def _symbol_list(self) -> tuple[str, ...]:
        values = self._content.get("symbols")
        if not isinstance(values, list):
            self.wrong.append(f"symbols: {'is missing' if values is None else 'is not a list'}")
            return ()
        if len(values) > MAX_SYMBOLS:
            self.wrong.append(f"symbols: {len(values)} are more than {MAX_SYMBOLS}")
            return ()
        faults = [fault for value in values if (fault := _symbol_fault(value))]
        if faults:
            self.wrong.append(f"symbols: {_some(faults)}")
            return ()
        twins = [symbol for symbol, count in Counter(values).items() if count > 1]
        if twins:
            self.wrong.append(f"symbols: named more than once: {_some(twins)}")
        return tuple(values)


def _symbol_fault(value: Any) -> str | None:
    """Why a value is not a strict unified symbol, with what was probably meant."""
    if not isinstance(value, str):
        return f"{type(value).__name__} is not a string"
    try:
        parse_symbol(value)
    except DataProcessingError as error:
        meant = _meant(value)
        return f"{error}, did you mean {meant}" if meant else str(error)
    return None


def _meant(text: str) -> str | None:
    """The linear perpetual that a short or lower-case form stands for."""
    if ":" in text or not text.isprintable():
        return None
    compact = text.strip().upper().replace("-", "").replace("_", "")
    try:
        meant = expand_short(compact)
    except DataProcessingError:
        return None
    return meant if parse_symbol(meant).base.isalnum() else None


def _some(texts: list[str]) -> str:
    """The first few: an answer is no longer than a screen."""
    few = ", ".join(texts[:_FEW])
    return few if len(texts) <= _FEW else f"{few} and {len(texts) - _FEW} more"


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
