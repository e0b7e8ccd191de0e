"""ccxt's errors become ours here, by the table of `shared.reactions`, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared import errors
from shared.reactions import row_of

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
    """Our error for one of ccxt's. What is in no table comes of parsers which met a body that is
    not what they were written for."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:_MAX_TEXT]
    row = row_of(error)
    ours = row.error if row is not None else errors.NetworkError
    if ours is errors.RateLimitedError:
        # How long to wait is the budget's business: it saw the header.
        return errors.RateLimitedError(text, retry_after_s=0)
    return ours(text) if issubclass(ours, errors.ExchangeError) else errors.NetworkError(text)
