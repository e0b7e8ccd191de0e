"""ccxt's errors become ours here, by one table, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

import ccxt
from aiohttp import ClientError

from shared import errors

#: First match wins, so subclasses stand before their bases.
_TABLE: tuple[tuple[type[BaseException], type[errors.ExchangeError]], ...] = (
    (ccxt.ChecksumError, errors.BookDesyncError),
    (ccxt.InvalidNonce, errors.BookDesyncError),
    (ccxt.BadSymbol, errors.SymbolNotListedError),
    (ccxt.NetworkError, errors.NetworkError),
    (ccxt.OperationFailed, errors.NetworkError),
    (ccxt.BadResponse, errors.NetworkError),
    (ccxt.NullResponse, errors.NetworkError),
    (ccxt.UnsubscribeError, errors.NetworkError),
    (ccxt.BaseError, errors.ExchangeError),
    (ClientError, errors.NetworkError),
    (TimeoutError, errors.NetworkError),
    (OSError, errors.NetworkError),
    # Parsers which met a body that is not what they were written for.
    (Exception, errors.NetworkError),
)
_LIMITED = (ccxt.DDoSProtection, ccxt.RateLimitExceeded)
_MAX_TEXT = 200


@contextmanager
def venue_errors() -> Iterator[None]:
    """Raises ExchangeError or one of its subclasses for whatever a ccxt call raises."""
    try:
        yield
    except errors.ExchangeError:
        raise
    except Exception as error:
        raise translate(error) from error


def translate(error: BaseException) -> errors.ExchangeError:
    """Our error for one of ccxt's."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:_MAX_TEXT]
    if isinstance(error, _LIMITED):
        # How long to wait is the budget's business: it saw the header.
        return errors.RateLimitedError(text, retry_after_s=0)
    if isinstance(error.__cause__, ClientError):
        return errors.NetworkError(text)  # a truncated body; ccxt calls it an ExchangeError
    ours = next(ours for foreign, ours in _TABLE if isinstance(error, foreign))
    return ours(text)
