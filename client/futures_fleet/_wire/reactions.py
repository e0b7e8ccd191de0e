# Copied from shared/reactions.py by scripts/wire.py: change that one.
"""What goes wrong elsewhere, and how we react: ccxt's, the broker's and the drivers' errors.

Classes are known by package and name, so that nobody imports a library to know its errors; of an
error's classes the most special one that stands here decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from futures_fleet._wire.errors import (
    BlockedError,
    BookDesyncError,
    BrokerError,
    CircuitBreakerOpenError,
    ConfigurationError,
    CryptoCollectorException,
    ExchangeError,
    NetworkError,
    NotSupportedError,
    RateLimitedError,
    StoreError,
    SymbolNotListedError,
)


class Reaction(Enum):
    RETRY = "try again, later each time"
    WAIT = "no other try before the time that was told"
    RESYNC = "take that order book anew"
    SKIP = "go on without that symbol"
    REJECT = "tell it: the same again would fail again"
    STOP = "end: nothing works until somebody acts"


@dataclass(frozen=True, slots=True)
class Row:
    """A class of errors, and what it is to us. `unwell` says that the peer itself is in trouble,
    which counts for its circuit breaker."""

    package: str
    name: str
    error: type[CryptoCollectorException]
    reaction: Reaction
    unwell: bool = False


_RETRY, _WAIT, _REJECT = Reaction.RETRY, Reaction.WAIT, Reaction.REJECT

TABLE = (
    # Venues, by ccxt.
    Row("ccxt", "NetworkError", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "RequestTimeout", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "ExchangeNotAvailable", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "OnMaintenance", NetworkError, _WAIT, unwell=True),
    Row("ccxt", "OperationFailed", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "BadResponse", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "NullResponse", NetworkError, _RETRY, unwell=True),
    Row("ccxt", "UnsubscribeError", NetworkError, _RETRY),
    Row("ccxt", "RateLimitExceeded", RateLimitedError, _WAIT),
    Row("ccxt", "DDoSProtection", RateLimitedError, _WAIT),
    Row("ccxt", "RestrictedLocation", BlockedError, _WAIT, unwell=True),
    Row("ccxt", "ChecksumError", BookDesyncError, Reaction.RESYNC),
    Row("ccxt", "InvalidNonce", BookDesyncError, Reaction.RESYNC),
    Row("ccxt", "NotSupported", NotSupportedError, _REJECT),
    Row("ccxt", "BadSymbol", SymbolNotListedError, Reaction.SKIP),
    Row("ccxt", "BaseError", ExchangeError, _REJECT),
    # Bodies that break off, connections that do; ccxt wraps some of them as its ExchangeError.
    Row("aiohttp", "ClientError", NetworkError, _RETRY, unwell=True),
    # The broker, by aiormq and aio-pika.
    Row("aiormq", "AMQPError", BrokerError, _RETRY, unwell=True),
    Row("aiormq", "ProbableAuthenticationError", ConfigurationError, Reaction.STOP),
    Row("aiormq", "AuthenticationError", ConfigurationError, Reaction.STOP),
    Row("aiormq", "ChannelInvalidStateError", BrokerError, _RETRY, unwell=True),
    Row("pamqp", "PAMQPException", BrokerError, _RETRY, unwell=True),
    # Redis, and the databases.
    Row("redis", "RedisError", StoreError, _REJECT),
    Row("redis", "ConnectionError", StoreError, _RETRY, unwell=True),
    Row("redis", "TimeoutError", StoreError, _RETRY, unwell=True),
    Row("redis", "BusyLoadingError", StoreError, _RETRY, unwell=True),
    Row("redis", "AuthenticationError", ConfigurationError, Reaction.STOP),
    Row("asyncpg", "PostgresError", StoreError, _REJECT),
    Row("asyncpg", "PostgresConnectionError", StoreError, _RETRY, unwell=True),
    Row("asyncpg", "InsufficientResourcesError", StoreError, _RETRY, unwell=True),
    Row("asyncpg", "OperatorInterventionError", StoreError, _RETRY, unwell=True),
    Row("asyncpg", "InvalidAuthorizationSpecificationError", ConfigurationError, Reaction.STOP),
    # Python's own: sockets, deadlines.
    Row("builtins", "TimeoutError", NetworkError, _RETRY, unwell=True),
    Row("builtins", "OSError", NetworkError, _RETRY, unwell=True),
    # Our own, as they are.
    Row("shared", "NetworkError", NetworkError, _RETRY, unwell=True),
    Row("shared", "BlockedError", BlockedError, _WAIT, unwell=True),
    Row("shared", "RateLimitedError", RateLimitedError, _WAIT),
    Row("shared", "CircuitBreakerOpenError", CircuitBreakerOpenError, _WAIT),
    Row("shared", "BookDesyncError", BookDesyncError, Reaction.RESYNC),
    Row("shared", "SymbolNotListedError", SymbolNotListedError, Reaction.SKIP),
    Row("shared", "BrokerError", BrokerError, _RETRY, unwell=True),
    Row("shared", "StoreError", StoreError, _RETRY, unwell=True),
    Row("shared", "ConfigurationError", ConfigurationError, Reaction.STOP),
    Row("shared", "CryptoCollectorException", CryptoCollectorException, _REJECT),
)
_ROWS = {(row.package, row.name): row for row in TABLE}


def row_of(error: BaseException) -> Row | None:
    """The row of an error; None for one that is of no kind that we know."""
    if isinstance(error.__cause__, BaseException) and _package(type(error)) == "ccxt":
        below = next(_rows(error.__cause__, "aiohttp"), None)
        if below is not None:
            return below
    return next(_rows(error), None)


def reaction_to(error: BaseException) -> Reaction:
    """What nobody knows is rejected: it is a fault of ours."""
    row = row_of(error)
    return row.reaction if row is not None else Reaction.REJECT


def _rows(error: BaseException, package: str | None = None) -> Iterator[Row]:
    for one in type(error).__mro__:
        row = _ROWS.get((_package(one), one.__name__))
        if row is not None and package in (None, row.package):
            yield row


def _package(one: type[BaseException]) -> str:
    return one.__module__.partition(".")[0]
