# Copied from shared/symbols.py by scripts/wire.py: change that one.
"""Symbols: ccxt's unified form, and the key form that routing keys carry, both ways.

`BTC/USDT:USDT` <-> `BTCUSDT`, `BTC/USD:BTC` <-> `BTCUSD_BTC`,
`BTC/USDT:USDT-261225` <-> `BTCUSDT-261225`. No two symbols share a key: where base and quote could
be split in two ways, a `~` stands between them; what separates parts, or means something to an
AMQP binding, is percent-encoded inside a part.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from futures_fleet._wire.errors import DataProcessingError

#: Longest symbol accepted anywhere, in characters. The longest listed today are dated options of
#: some 30 characters; the bound keeps a routing key (255 bytes) safe.
MAX_SYMBOL_LENGTH = 48
#: Longest key, in bytes: leaves room for the kind and the exchange in a routing key of 255 bytes.
MAX_KEY_BYTES = 200

#: Quotes that a key may end in without a separator, by which a key is split again.
_FIAT = ("USD", "EUR", "GBP", "JPY", "KRW", "TRY", "BRL")
_STABLE = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDE", "DAI")
_COINS = ("BTC", "ETH", "BNB")
QUOTES = frozenset((*_FIAT, *_STABLE, *_COINS))
_LONGEST_QUOTE = max(map(len, QUOTES))

_SYMBOL = re.compile(
    r"(?P<base>[^/:]+)/(?P<quote>[^/:]+):(?P<settle>[^/:-]+)(?:-(?P<expiry>[^/:]+))?"
)
_WORD_RESERVED = frozenset(".*#%")
_PART_RESERVED = _WORD_RESERVED | frozenset("_~-/:")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A contract's parts: base and quote, what it settles in, and its expiry (`261225`) if any."""

    base: str
    quote: str
    settle: str
    expiry: str | None = None

    def __str__(self) -> str:
        tail = f"-{self.expiry}" if self.expiry else ""
        return f"{self.base}/{self.quote}:{self.settle}{tail}"


def parse_symbol(text: str) -> Symbol:
    """The parts of a unified symbol. Raises DataProcessingError for any other form."""
    match = _SYMBOL.fullmatch(text) if len(text) <= MAX_SYMBOL_LENGTH else None
    if match is None or not text.isprintable() or " " in text:
        raise DataProcessingError(f"{_shown(text)} is not a symbol of the form BASE/QUOTE:SETTLE")
    symbol = Symbol(**match.groupdict())
    if len(_key(symbol).encode()) > MAX_KEY_BYTES:
        raise DataProcessingError(f"{_shown(text)} is too long for a routing key")
    return symbol


def symbol_key(text: str) -> str:
    """The key form of a unified symbol. Raises DataProcessingError where it is none."""
    return _key(parse_symbol(text))


def symbol_of_key(key: str) -> str:
    """The unified symbol of a key. Raises DataProcessingError where no symbol has that key."""
    pair_and_settle, _, expiry = key.partition("-")
    pair, _, settle = pair_and_settle.partition("_")
    base, tilde, quote = pair.partition("~")
    if not tilde:
        base, quote = _split(pair)
    base, quote, settle, expiry = map(unquote, (base, quote, settle or quote, expiry))
    symbol = str(Symbol(base, quote, settle, expiry or None))
    if symbol_key(symbol) != key:
        raise DataProcessingError(f"{_shown(key)} is not the key of a symbol")
    return symbol


def encode_word(text: str) -> str:
    """One word of a routing key: dots, wildcards, percent signs, white space and control
    characters percent-encoded, other Unicode as it is."""
    return _encode(text, _WORD_RESERVED)


def decode_word(word: str) -> str:
    """What `encode_word` was given."""
    return unquote(word)


def expand_short(text: str) -> str:
    """`BTC`, `BTCUSDT` or `BTC/USDT` as the linear perpetual `BTC/USDT:USDT` that they mean.

    A full symbol comes back as it is. Without a slash no coin is taken for a quote: `WBTC` and
    `STETH` are coins themselves. Raises DataProcessingError where nothing fits.
    """
    if ":" in text:
        return str(parse_symbol(text))
    base, slash, quote = text.partition("/")
    if not slash:
        base, quote = _split(text)
        if quote in _COINS:
            base, quote = text, ""
    return str(parse_symbol(f"{base}/{quote or 'USDT'}:{quote or 'USDT'}"))


def _key(symbol: Symbol) -> str:
    base, quote = (_encode(part, _PART_RESERVED) for part in (symbol.base, symbol.quote))
    pair = base + quote
    if _split(pair) != (base, quote):
        pair = f"{base}~{quote}"
    settle = "" if symbol.settle == symbol.quote else f"_{_encode(symbol.settle, _PART_RESERVED)}"
    expiry = f"-{_encode(symbol.expiry, _PART_RESERVED - {'-'})}" if symbol.expiry else ""
    return pair + settle + expiry


def _split(pair: str) -> tuple[str, str]:
    """Base and quote of a pair by the longest known quote; the quote is empty where none fits."""
    for length in range(min(_LONGEST_QUOTE, len(pair) - 1), 0, -1):
        if pair[-length:] in QUOTES:
            return pair[:-length], pair[-length:]
    return pair, ""


def _encode(text: str, reserved: frozenset[str]) -> str:
    return "".join(
        char
        if char not in reserved and char.isprintable() and not char.isspace()
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in text
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SYMBOL_LENGTH else text[:MAX_SYMBOL_LENGTH] + "…")
