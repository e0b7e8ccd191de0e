"""The fields of a command, each checked; what is wrong is collected, not raised."""

import hashlib
from collections import Counter
from typing import Any

import orjson
from pydantic import ValidationError

from coordinator.history import MAX_NOTES
from shared.collection import CollectionTask
from shared.config import MAX_SYMBOLS
from shared.endpoints import Endpoint
from shared.entries import MAX_ENTRIES, check_entry, is_entry
from shared.errors import ConfigurationError, DataProcessingError
from shared.symbols import expand_short, parse_symbol, symbol_key
from shared.venues import canonical_venue

#: What fits an AMQP short string, which carries the id on the answer as well.
MAX_CORRELATION_ID_BYTES = 255
_MAX_NAME = 255
#: Of a task that is named by us.
_MAX_ID = 64
_TASKS_AT_ONCE = 200
#: How much of a client's text an answer or a log line repeats, in characters.
_SHOWN = 64
_FEW = 10


class Fields:
    """Each method gives a field's value, or None where it is missing or wrong."""

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
        elif not value.isprintable():
            self.wrong.append("correlation_id: has characters that can not be printed")
        else:
            return value
        return None

    def check_timestamp(self) -> None:
        value = self._content.get("timestamp")
        if value is not None and not is_natural(value):
            self.wrong.append("timestamp: is not an integer of seconds")

    def natural(self, name: str, *, needed: bool = False) -> int | None:
        value = self._content.get(name)
        if value is None:
            if needed:
                self.wrong.append(f"{name}: is missing")
            return None
        if is_natural(value):
            return int(value)
        self.wrong.append(f"{name}: is not an integer from 0 on")
        return None

    def limit(self) -> int | None:
        value = self.natural("limit")
        most = max(_TASKS_AT_ONCE, MAX_NOTES)
        if value is not None and not 1 <= value <= most:
            self.wrong.append(f"limit: is not from 1 to {most}")
            return None
        return value

    def seconds(self, name: str, most: float) -> float | None:
        value = self._content.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most:
            return float(value)
        self.wrong.append(f"{name}: is not a number above 0, up to {most:g}")
        return None

    def endpoint(self) -> Endpoint | None:
        value = self._content.get("endpoint")
        if value is None:
            return None
        try:
            return Endpoint(value)
        except ValueError:
            known = ", ".join(one.value for one in Endpoint)
            self.wrong.append(f"endpoint: is not one of {known}")
            return None

    def text(self, name: str, *, needed: bool = False) -> str | None:
        value = self._content.get(name)
        if value is None:
            if needed:
                self.wrong.append(f"{name}: is missing")
            return None
        if isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable():
            return value
        self.wrong.append(f"{name}: is not a name")
        return None

    def venue(self, *, needed: bool = False) -> str | None:
        value = self._content.get("exchange")
        if value is None:
            if needed:
                self.wrong.append("exchange: is missing")
            return None
        if not isinstance(value, str):
            self.wrong.append("exchange: is not a string")
            return None
        try:
            return canonical_venue(value)
        except ConfigurationError:
            self.wrong.append(f"exchange: unknown exchange {shown(value)!r}")
            return None

    def exchange_name(self) -> str | None:
        """As the client wrote it: what a venue new to the registry is called on the wire."""
        value = self._content.get("exchange")
        return value if isinstance(value, str) else None

    def symbol(self, *, needed: bool = True, entries: bool = False) -> tuple[str, ...]:
        value = self._content.get("symbol")
        if value is None:
            if needed:
                self.wrong.append("symbol: is missing")
            return ()
        fault = _fault(value, entries)
        if fault:
            self.wrong.append(f"symbol: {fault}")
            return ()
        return (value,)

    def symbol_list(self) -> tuple[str, ...]:
        values = self._content.get("symbols")
        if not isinstance(values, list):
            self.wrong.append(f"symbols: {'is missing' if values is None else 'is not a list'}")
            return ()
        if len(values) > MAX_SYMBOLS:
            self.wrong.append(f"symbols: {len(values)} are more than {MAX_SYMBOLS}")
            return ()
        faults = [fault for value in values if (fault := _fault(value, entries=True))]
        if faults:
            self.wrong.append(f"symbols: {_some(faults)}")
            return ()
        twins = [symbol for symbol, count in Counter(values).items() if count > 1]
        if twins:
            self.wrong.append(f"symbols: named more than once: {_some(twins)}")
        entries = sum(map(is_entry, values))
        if entries > MAX_ENTRIES:
            self.wrong.append(f"symbols: {entries} entries are more than {MAX_ENTRIES}")
        return tuple(values)

    def task(self) -> CollectionTask | None:
        """Of `add_task`; without a `task_id` it is made of what the task is."""
        venue, symbols = self.venue(needed=True), self.symbol()
        given = {
            name: self._content[name]
            for name in CollectionTask.model_fields
            if self._content.get(name) is not None
        }
        if venue is None or not symbols:
            return None
        try:
            # As JSON: there strict means what clients expect, 5 for 5.0 and an object for a model.
            body = orjson.dumps({"task_id": "unnamed", **given, "exchange": venue})
            task = CollectionTask.model_validate_json(body, strict=True)
        except ValidationError as error:
            self.wrong.append(_reasons(error))
            return None
        except orjson.JSONEncodeError:  # it reads deeper nesting than it writes
            self.wrong.append("task: is nested too deeply")
            return None
        return task if "task_id" in given else task.model_copy(update={"task_id": _named(task)})


def shown(text: str) -> str:
    """A client's text for people: bounded and without control characters."""
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def is_natural(value: object) -> bool:
    """Whether it is a whole number that JSON can carry."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _fault(value: Any, entries: bool) -> str | None:
    """Why a value is not a strict unified symbol, with what was probably meant."""
    if not isinstance(value, str):
        return f"{type(value).__name__} is not a string"
    try:
        if entries and is_entry(value):
            check_entry(value)
        else:
            parse_symbol(value)
    except DataProcessingError as error:
        meant = None if is_entry(value) else _meant(value)
        return f"{error}, did you mean {meant}" if meant else str(error)
    return "an entry stands for many symbols" if is_entry(value) and not entries else None


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


def _named(task: CollectionTask) -> str:
    """An id that tells what a task is, the same for the same task and for no other."""
    parts = [task.exchange, symbol_key(task.symbol), task.kind]
    parts += [str(value) for value in task.parameters.model_dump(exclude_none=True).values()]
    told = "-".join((*parts, f"{task.interval:g}s"))
    usable = "".join(c if c.isascii() and (c.isalnum() or c in "_.:-") else "_" for c in told)
    if usable == told and len(told) <= _MAX_ID:
        return told
    digest = hashlib.blake2b(told.encode(), digest_size=4).hexdigest()
    return f"{usable[: _MAX_ID - len(digest) - 1]}-{digest}"


def _reasons(error: ValidationError) -> str:
    each = (
        f"{'.'.join(map(str, item['loc'])) or 'task'}: "
        f"{str(item['msg']).removeprefix('Value error, ')}"
        for item in error.errors()[:_FEW]
    )
    text = "; ".join(each)
    return text if text.isprintable() else ascii(text)[1:-1]


def _some(texts: list[str]) -> str:
    """The first few: an answer is no longer than a screen."""
    few = ", ".join(texts[:_FEW])
    return few if len(texts) <= _FEW else f"{few} and {len(texts) - _FEW} more"
