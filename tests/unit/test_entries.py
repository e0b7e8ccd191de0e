"""Entries: what they may say, and what they mean on a venue."""

import pytest

from shared.entries import check_entry, expanded, is_entry
from shared.errors import DataProcessingError

LISTED = {
    "BTC/USDT:USDT": 900.0,
    "ETH/USDT:USDT": 500.0,
    "SOL/USDC:USDC": 700.0,
    "XRP/USDT:USDT": None,
    "BTC/USD:BTC": 9000.0,
    "BTC/USDT:USDT-261225": 8000.0,
    "no symbol": 1.0,
}


@pytest.mark.parametrize(
    "text", ["*/USDT:USDT", "B*/USDT:*", "*/*:*-*", "top:1", "top:1000", "top:5:USDC"]
)
def test_what_means_something_is_taken(text: str) -> None:
    assert is_entry(text)
    check_entry(text)


@pytest.mark.parametrize(
    "text",
    ["*", "**", "*/USDT", "*/USDT:USDT:USDT", "top:", "top:0", "top:1001", "top:5:", "top:5:A/B", "* /USDT:USDT",
     "*/USDT:USDT\n", "[A-Z]*/USDT:USDT", "*" * 60 + "/A:B", "top:05", "top:5:USDT:X"],
)  # fmt: skip
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(DataProcessingError):
        check_entry(text)


def test_symbols_are_no_entries() -> None:
    assert not is_entry("BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("*/USDT:USDT", ["BTC/USDT:USDT", "ETH/USDT:USDT", "XRP/USDT:USDT"]),
        (
            "*/*:*",
            ["BTC/USD:BTC", "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDC:USDC", "XRP/USDT:USDT"],
        ),
        ("B*/USDT:USDT", ["BTC/USDT:USDT"]),
        ("*/USDT:USDT-*", ["BTC/USDT:USDT-261225"]),
        ("*/EUR:EUR", []),
        ("top:2", ["BTC/USDT:USDT", "SOL/USDC:USDC"]),
        ("top:2:USDT", ["BTC/USDT:USDT", "ETH/USDT:USDT"]),
        ("top:9:USDT", ["BTC/USDT:USDT", "ETH/USDT:USDT", "XRP/USDT:USDT"]),
    ],
)
def test_an_entry_means_what_the_venue_lists(entry: str, meant: list[str]) -> None:
    assert expanded(entry, LISTED) == meant
