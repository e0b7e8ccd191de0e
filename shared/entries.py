"""Entries: what stands in a list of symbols for many of them.

`*/USDT:USDT` means every perpetual of that form, `*` for any part or piece of one; `*/USDT:USDT-*`
the dated ones. `top:50` means the fifty linear perpetuals with the highest turnover of 24 hours,
`top:50:USDC` of those that settle in USDC. What an entry means differs by venue and with time: the
coordinator expands it from the venue's market list.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from shared.errors import DataProcessingError
from shared.symbols import MAX_SYMBOL_LENGTH, Symbol, parse_symbol

#: Most entries of a registry.
MAX_ENTRIES = 20
MAX_TOP = 1000

_TOP = re.compile(r"top:(?P<count>[1-9][0-9]{0,3})(?::(?P<settle>[^/:*\s-]{1,20}))?")
_PATTERN = re.compile(
    r"(?P<base>[^/:]+)/(?P<quote>[^/:]+):(?P<settle>[^/:-]+)(?:-(?P<expiry>[^/:]+))?"
)


def is_entry(text: str) -> bool:
    """Whether a text means to be an entry and no symbol."""
    return "*" in text or text.startswith("top:")


def is_ranking(text: str) -> bool:
    """Whether an entry depends on turnover."""
    return text.startswith("top:")


def check_entry(text: str) -> None:
    """Raises DataProcessingError for an entry that means nothing."""
    top = _TOP.fullmatch(text)
    if top is not None and int(top["count"]) <= MAX_TOP:
        return
    if is_ranking(text):
        raise DataProcessingError(f"{text[:MAX_SYMBOL_LENGTH]!r} is not top:1 to top:{MAX_TOP}")
    too_long = len(text) > MAX_SYMBOL_LENGTH or not text.isprintable() or " " in text
    if too_long or _PATTERN.fullmatch(text) is None or set(text) & set("[]?"):
        shown = repr(text[:MAX_SYMBOL_LENGTH])
        raise DataProcessingError(f"{shown} is not a pattern of the form */QUOTE:SETTLE")


def expanded(entry: str, listed: Mapping[str, float | None]) -> list[str]:
    """The symbols among `listed` that an entry means, in a stated order; values are the quote
    turnover of 24 hours, where known. What is no symbol to us is left out."""
    symbols = {text: symbol for text in listed if (symbol := _parsed(text)) is not None}
    top = _TOP.fullmatch(entry)
    if top is None:
        return sorted(text for text, symbol in symbols.items() if _matches(entry, symbol))
    settle = top["settle"]
    ranked = [
        (-(listed[text] or 0.0), text)
        for text, symbol in symbols.items()
        if symbol.expiry is None and symbol.settle == symbol.quote
        if settle is None or symbol.settle == settle
    ]
    return [text for _, text in sorted(ranked)[: int(top["count"])]]


def _matches(entry: str, symbol: Symbol) -> bool:
    pattern = _PATTERN.fullmatch(entry)
    if pattern is None or (pattern["expiry"] is None) != (symbol.expiry is None):
        return False
    return all(
        fnmatchcase(getattr(symbol, part) or "", pattern[part] or "")
        for part in ("base", "quote", "settle", "expiry")
    )


def _parsed(text: str) -> Symbol | None:
    try:
        return parse_symbol(text)
    except DataProcessingError:
        return None
