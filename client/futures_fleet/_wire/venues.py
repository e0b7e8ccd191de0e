# Copied from shared/venues.py by scripts/wire.py: change that one.
"""The venues' names. What a venue is like stands in the collector's catalogue."""

from futures_fleet._wire.errors import ConfigurationError

VENUES = (
    "binance",
    "bybit",
    "bitget",
    "htx",
    "gate",
    "okx",
    "krakenfutures",
    "coinbaseinternational",
)

#: Names that users write for venues whose canonical name differs.
ALIASES = {
    "gateio": "gate",
    "huobi": "htx",
    "kraken": "krakenfutures",
    "coinbase": "coinbaseinternational",
}


def canonical_venue(name: str) -> str:
    """The catalogue's name of a venue. Raises ConfigurationError for one that the fleet lacks."""
    venue = ALIASES.get(name, name)
    if venue not in VENUES:
        raise ConfigurationError(f"unknown exchange {name!r}; known are {', '.join(VENUES)}")
    return venue
