import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DataProcessingError
from shared.kinds import TRADES
from shared.symbols import (
    decode_word,
    encode_word,
    expand_short,
    parse_symbol,
    symbol_key,
    symbol_of_key,
)
from shared.topology import fact_key

#: Listed for real, or seen to break other collectors.
KEYS = {
    "BTC/USDT:USDT": "BTCUSDT",
    "BTC/USD:BTC": "BTCUSD_BTC",
    "BTC/USDT:USDT-261225": "BTCUSDT-261225",
    "BTC/USD:BTC-261225": "BTCUSD_BTC-261225",
    "BTC/USDT:USDT-261225-60000-C": "BTCUSDT-261225-60000-C",
    "1000PEPE/USDT:USDT": "1000PEPEUSDT",
    "币安人生/USDT:USDT": "币安人生USDT",
    "人生K线/USDT:USDT": "人生K线USDT",
    "BTC/USDC:USDC": "BTCUSDC",
    "A.B/USDT:USDT": "A%2EBUSDT",
    "A*#%/USDT:USDT": "A%2A%23%25USDT",
    "A_B-C~D/USDT:USDT": "A%5FB%2DC%7EDUSDT",
    "BTCB/USD:USD": "BTCB~USD",
    "X/EDEN:EDEN": "X~EDEN",
}

words = st.text(
    st.characters(exclude_characters="/:-", exclude_categories=["C", "Z"]), min_size=1, max_size=8
)
symbols = st.builds(
    lambda base, quote, settle, expiry: (
        f"{base}/{quote}:{settle or quote}{f'-{expiry}' if expiry else ''}"
    ),
    words | st.sampled_from(["BTC", "B", "BTCB", "US"]),
    words | st.sampled_from(["USDT", "USD", "BUSD", "DUSD", "T"]),
    st.none() | words,
    st.none() | words,
)


@pytest.mark.parametrize(("symbol", "key"), KEYS.items())
def test_known_symbols_have_their_keys_both_ways(symbol: str, key: str) -> None:
    assert symbol_key(symbol) == key
    assert symbol_of_key(key) == symbol


@given(symbols)
def test_every_symbol_comes_back_from_its_key(symbol: str) -> None:
    assert symbol_of_key(symbol_key(symbol)) == symbol


@given(symbols, symbols)
def test_no_two_symbols_share_a_key(one: str, other: str) -> None:
    assert (symbol_key(one) == symbol_key(other)) == (one == other)


@given(symbols)
def test_a_routing_key_is_three_words_that_fit_amqp(symbol: str) -> None:
    key = fact_key(TRADES, "binance", symbol)
    assert key.count(".") == 2
    assert not set(key) & set("*# ")
    assert len(key.encode()) <= 255


@pytest.mark.parametrize(
    "text",
    ["", "BTC", "BTCUSDT", "BTC/USDT", "/USDT:USDT", "BTC/:USDT", "BTC/USDT:", "BTC/USDT:USDT-"]
    + ["B C/USDT:USDT", "BTC/USDT:USDT\n", "BTC\x00/USDT:USDT", "A" * 300 + "/USDT:USDT", "A/B:C:D"]
    + ["\u202eBTC/USDT:USDT", "\ud800/USDT:USDT"],
)
def test_what_is_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(DataProcessingError):
        parse_symbol(text)


@pytest.mark.parametrize("key", ["", "X", "BTC~USDT", "BTCUSDT_USDT", "a%zzUSDT"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(DataProcessingError):
        symbol_of_key(key)


@pytest.mark.parametrize("text", ["BTC", "BTCUSDT", "BTC/USDT", "BTC/USDT:USDT"])
def test_short_forms_mean_the_linear_perpetual(text: str) -> None:
    assert expand_short(text) == "BTC/USDT:USDT"


@pytest.mark.parametrize("coin", ["WBTC", "STETH", "PUMPBTC", "BNB"])
def test_a_short_form_of_a_coin_is_no_pair_of_coins(coin: str) -> None:
    assert expand_short(coin) == f"{coin}/USDT:USDT"
    assert expand_short("ETH/BTC") == "ETH/BTC:BTC"


@given(st.text(max_size=30))
def test_words_come_back_and_hold_no_separator(text: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    word = encode_word(text)
    assert decode_word(word) == text
    assert "." not in word
