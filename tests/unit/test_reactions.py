"""The table of what goes wrong elsewhere: its names exist, and the right row decides."""

import importlib
import inspect
from typing import Any

import aiohttp
import aiormq.exceptions
import ccxt
import pytest
import redis.exceptions

from shared import errors
from shared.reactions import TABLE, Reaction, reaction_to, row_of

_MODULES = {
    "ccxt": "ccxt",
    "aiohttp": "aiohttp",
    "aiormq": "aiormq.exceptions",
    "pamqp": "pamqp.exceptions",
    "redis": "redis.exceptions",
    "builtins": "builtins",
    "shared": "shared.errors",
}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.package}.{row.name}")
def test_each_row_names_a_class(row: Any) -> None:
    if row.package not in _MODULES:
        assert row.package == "asyncpg"  # not a dependency yet
        return
    named = getattr(importlib.import_module(_MODULES[row.package]), row.name)
    assert inspect.isclass(named) and issubclass(named, BaseException)
    assert named.__module__.partition(".")[0] == row.package
    assert row_of(_made(named)) is row


def _made(named: Any) -> BaseException:
    try:
        made = named("text")
    except TypeError:
        made = named("text", 1.0)
    assert isinstance(made, BaseException)
    return made


@pytest.mark.parametrize(
    ("error", "ours", "reaction"),
    [
        (ccxt.RequestTimeout("x"), errors.NetworkError, Reaction.RETRY),
        (ccxt.OnMaintenance("x"), errors.NetworkError, Reaction.WAIT),
        (ccxt.AuthenticationError("x"), errors.ExchangeError, Reaction.REJECT),
        (ccxt.BadSymbol("x"), errors.SymbolNotListedError, Reaction.SKIP),
        (ccxt.ChecksumError("x"), errors.BookDesyncError, Reaction.RESYNC),
        (ccxt.DDoSProtection("x"), errors.RateLimitedError, Reaction.WAIT),
        (aiohttp.ServerDisconnectedError(), errors.NetworkError, Reaction.RETRY),
        (aiormq.exceptions.ChannelInvalidStateError(), errors.BrokerError, Reaction.RETRY),
        (aiormq.exceptions.ProbableAuthenticationError(), errors.ConfigurationError, Reaction.STOP),
        (redis.exceptions.ResponseError("x"), errors.StoreError, Reaction.REJECT),
        (ConnectionResetError(), errors.NetworkError, Reaction.RETRY),
        (errors.NotSentError("x"), errors.NetworkError, Reaction.RETRY),
        (errors.RetryExhaustedError("x"), errors.CryptoCollectorException, Reaction.REJECT),
    ],
)
def test_the_most_special_class_decides(
    error: BaseException, ours: type[BaseException], reaction: Reaction
) -> None:
    row = row_of(error)
    assert row is not None
    assert (row.error, reaction_to(error)) == (ours, reaction)


def test_a_body_that_broke_off_is_a_matter_of_the_network_whatever_ccxt_calls_it() -> None:
    error = ccxt.ExchangeError("x")
    error.__cause__ = aiohttp.ClientPayloadError("broke off")
    assert reaction_to(error) is Reaction.RETRY
    assert reaction_to(ccxt.ExchangeError("x")) is Reaction.REJECT


def test_what_nobody_knows_is_a_fault_of_ours() -> None:
    assert row_of(KeyError("x")) is None
    assert reaction_to(KeyError("x")) is Reaction.REJECT
