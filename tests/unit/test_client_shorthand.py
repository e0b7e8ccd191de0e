"""Short symbols, as people type them."""

import pytest

from futures_fleet.shorthand import unified


@pytest.mark.parametrize(
    "text", ["BTC", "btc", "BTCUSDT", "btcusdt", "btc-usdt", "BTC_USDT", "BTC/USDT", " btc/usdt "]
)
def test_short_forms_mean_the_linear_perpetual(text: str) -> None:
    assert unified(text) == "BTC/USDT:USDT"


def test_the_quote_is_heeded() -> None:
    assert unified("ethusdc") == "ETH/USDC:USDC"


@pytest.mark.parametrize(
    "text",
    [
        "BTC/USD:BTC",
        "BTC/USDT:USDT-261225",
        "*/USDT:USDT",
        "top:50",
        "top:50:USDT",
        "btc/usdt:usdt",
    ],
)
def test_what_is_in_full_stays(text: str) -> None:
    assert unified(text) == text


@pytest.mark.parametrize("text", ["BTC-USDT-SWAP", "a b", "", "/", "BTC/USDT/X"])
def test_what_is_no_symbol_is_for_the_fleet_to_refuse(text: str) -> None:
    assert unified(text) == text
