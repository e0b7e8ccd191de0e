"""Requests to venues, from any process to the collector of one: what travels on `futures_requests`.

Only what stands in `METHODS` can be called: reads of ccxt's public interface, and two about the
venue's budget, for programs that speak to the venue themselves from behind the same address.
Arguments have names, types and bounds; ccxt's `params` can not be given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import DataProcessingError
from shared.symbols import MAX_SYMBOL_LENGTH
from shared.timeframes import Timeframe

#: Of a request's body, and of an answer's: a list of markets is a megabyte.
MAX_REQUEST_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_TIMEOUT_S = 300.0

Symbol = Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]
_Symbols = Annotated[list[Symbol], Field(min_length=1, max_length=1000)]
_Milliseconds = Annotated[int, Field(ge=0, lt=2**53)]
_Count = Annotated[int, Field(ge=1, le=5000)]
_TYPES: dict[str, TypeAdapter[Any]] = {
    "symbol": TypeAdapter(Symbol),
    "symbols": TypeAdapter(_Symbols),
    "since": TypeAdapter(_Milliseconds),
    "limit": TypeAdapter(_Count),
    "timeframe": TypeAdapter(Timeframe),
    "method": TypeAdapter(Annotated[str, Field(max_length=64)]),
}

#: Where an answer is from: what the streams bring, a cache of the collector, the venue.
Source = Literal["live", "cache", "venue"]
CacheName = Literal["ticker", "funding_rate", "order_book", "market_data"]


class Priority(Enum):
    """Of a request, among those of users: live data goes before all of them."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Method:
    """A method of ccxt: its arguments in order, how many of them are needed, and as what its
    answer is cached, if at all."""

    name: str
    arguments: tuple[str, ...] = ()
    needed: int = 0
    cache: CacheName | None = None
    #: About what may still be asked of the venue; answered without asking it.
    of_budget: bool = False

    @property
    def of_one_symbol(self) -> bool:
        return self.needed > 0 and self.arguments[0] == "symbol"


METHODS = {
    method.name: method
    for method in (
        Method("fetch_ticker", ("symbol",), 1, "ticker"),
        Method("fetch_tickers", ("symbols",), 0, "ticker"),
        Method("fetch_order_book", ("symbol", "limit"), 1, "order_book"),
        Method("fetch_trades", ("symbol", "since", "limit"), 1),
        Method("fetch_ohlcv", ("symbol", "timeframe", "since", "limit"), 1),
        Method("fetch_funding_rate", ("symbol",), 1, "funding_rate"),
        Method("fetch_funding_rates", ("symbols",), 0, "funding_rate"),
        Method("fetch_funding_rate_history", ("symbol", "since", "limit"), 1),
        Method("fetch_open_interest", ("symbol",), 1, "ticker"),
        Method("fetch_mark_price", ("symbol",), 1, "ticker"),
        Method("fetch_markets", (), 0, "market_data"),
        Method("fetch_time"),
        Method("get_remaining_requests", ("method", "symbol"), 1, of_budget=True),
        Method("acquire_permit", ("method", "symbol"), 1, of_budget=True),
    )
}

ErrorCode = Literal[
    "invalid_request",
    "not_supported",
    "symbol_not_listed",
    "rate_limited",
    "unavailable",
    "network",
    "rejected",
    "timeout",
    "overloaded",
    "internal_error",
]
#: What another venue, or the same one a moment later, may answer all the same.
TRANSIENT: frozenset[ErrorCode] = frozenset(
    ("rate_limited", "unavailable", "network", "timeout", "overloaded", "internal_error")
)
#: What only another venue may.
ELSEWHERE = TRANSIENT | {"not_supported", "symbol_not_listed"}


class Request(BaseModel):
    """One call. `timeout_ms` is what was left of its time when it was sent; `max_age_ms` is how old
    an answer from live state or a cache may be, 0 for none of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=64)
    method: str = Field(max_length=64)
    arguments: dict[str, Any] = {}
    priority: Priority = Priority.NORMAL
    timeout_ms: int = Field(ge=1, le=int(1000 * MAX_TIMEOUT_S))
    max_age_ms: int | None = Field(default=None, ge=0, le=3_600_000)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a request was not answered."""

    code: ErrorCode
    message: str
    retry_after_s: float | None = None


@dataclass(slots=True)
class Reply:
    """The answer to a request: `result` as ccxt has it, sizes in base units, or `error`."""

    id: str
    exchange: str
    worker: str
    result: Any = None
    error: Trouble | None = None
    source: Source | None = None
    age_ms: int = 0  # of the answer, when it was given
    took_ms: float = 0.0  # from when the collector had the request

    def encoded(self) -> bytes:
        return orjson.dumps(self, default=str)

    @classmethod
    def decoded(cls, body: bytes) -> "Reply":
        """Raises DataProcessingError."""
        try:
            said = orjson.loads(body)
            error = said.pop("error", None)
            trouble = Trouble(**error) if error is not None else None
            return cls(**{name: said.get(name) for name in _REPLY_FIELDS}, error=trouble)
        except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
            raise DataProcessingError(f"is no reply: {error}") from None


_REPLY_FIELDS = ("id", "exchange", "worker", "result", "source", "age_ms", "took_ms")


def parsed(body: bytes) -> Request:
    """A request whose method is known and whose arguments are sound. Raises DataProcessingError,
    whose text names each fault."""
    if len(body) > MAX_REQUEST_BYTES:
        raise DataProcessingError(f"the request has more than {MAX_REQUEST_BYTES} bytes")
    try:
        request = Request.model_validate_json(body)
    except ValidationError as error:
        raise DataProcessingError(_faults(error)) from None
    method = METHODS.get(request.method)
    if method is None:
        known = ", ".join(METHODS)
        raise DataProcessingError(f"method: {request.method!r} can not be called; known: {known}")
    return request.model_copy(update={"arguments": checked(method, request.arguments)})


def named(method: Method, positional: Sequence[Any], by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, as ccxt's signature has them; None is not given. Raises
    DataProcessingError."""
    if len(positional) > len(method.arguments):
        raise DataProcessingError(f"{method.name} takes {len(method.arguments)} arguments")
    given = dict(zip(method.arguments, positional, strict=False))
    twice = given.keys() & by_name.keys()
    if twice:
        raise DataProcessingError(f"{method.name}: given twice: {', '.join(sorted(twice))}")
    return checked(method, {n: v for n, v in {**given, **by_name}.items() if v is not None})


def checked(method: Method, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the right names, types and bounds. Raises DataProcessingError."""
    unknown = arguments.keys() - set(method.arguments)
    if unknown:
        raise DataProcessingError(f"{method.name} takes no {', '.join(sorted(unknown))}")
    for name in method.arguments[: method.needed]:
        if name not in arguments:
            raise DataProcessingError(f"{method.name} needs {name}")
    sound = {}
    for name, value in arguments.items():
        try:
            sound[name] = _TYPES[name].validate_python(value, strict=True)
        except ValidationError as error:
            raise DataProcessingError(f"{name}: {_faults(error)}") from None
    subject = METHODS.get(sound["method"]) if "method" in sound else None
    if method.of_budget and (subject is None or subject.of_budget):
        raise DataProcessingError(f"method: {sound['method']!r} asks nothing of a venue")
    return sound


def _faults(error: ValidationError) -> str:
    each = (
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}" if item["loc"] else str(item["msg"])
        for item in error.errors(include_input=False)[:5]
    )
    return "; ".join(each)[:400]
