"""The simulated markets as data: which symbols exist where, at what price, tick and size unit."""

from dataclasses import dataclass, field
from decimal import Decimal

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


@dataclass(frozen=True, slots=True)
class Listing:
    """A base currency as all venues list it against the dollar of their choice.

    `price` (of that dollar) is where its walk starts and what it reverts to; `tick` is the price
    step; `step` the size step in base currency of venues that trade base currency; the contract
    sizes (base currency a contract) belong to the venues that count sizes in contracts.
    """

    base: str
    price: str
    tick: str
    step: str
    htx_contract: str
    gate_contract: str
    okx_contract: str


LISTINGS = (
    Listing("BTC", "64000", "0.1", "0.001", "0.001", "0.0001", "0.01"),
    Listing("ETH", "3200", "0.01", "0.001", "0.01", "0.01", "0.1"),
    Listing("SOL", "150", "0.01", "0.1", "1", "1", "1"),
    Listing("DOGE", "0.12", "0.00001", "1", "100", "10", "1000"),
    Listing("XRP", "0.52", "0.0001", "0.1", "10", "10", "100"),
    Listing("ADA", "0.38", "0.00001", "1", "10", "10", "100"),
    Listing("AVAX", "27", "0.001", "1", "1", "1", "1"),
    Listing("LINK", "14", "0.001", "0.01", "0.1", "1", "1"),
    Listing("LTC", "72", "0.01", "0.001", "0.1", "0.1", "1"),
    Listing("BCH", "350", "0.01", "0.001", "0.01", "0.01", "0.1"),
    Listing("DOT", "6.1", "0.001", "0.1", "1", "1", "1"),
    Listing("TRX", "0.13", "0.00001", "1", "100", "100", "1000"),
    Listing("ATOM", "7.4", "0.001", "0.01", "1", "1", "1"),
    Listing("UNI", "9.2", "0.001", "1", "1", "1", "1"),
    Listing("FIL", "5.3", "0.001", "0.1", "0.1", "0.01", "0.1"),
    Listing("APT", "8.4", "0.001", "0.1", "0.1", "0.1", "1"),
    Listing("ARB", "0.82", "0.0001", "0.1", "10", "1", "10"),
    Listing("OP", "1.85", "0.0001", "0.1", "1", "1", "1"),
    Listing("SUI", "1.1", "0.0001", "0.1", "1", "1", "1"),
    Listing("NEAR", "5.2", "0.001", "1", "1", "1", "10"),
    Listing("INJ", "24", "0.001", "0.1", "0.1", "1", "0.1"),
    Listing("SEI", "0.41", "0.00001", "1", "10", "10", "10"),
    Listing("TIA", "7.7", "0.001", "1", "1", "1", "1"),
    Listing("AAVE", "92", "0.01", "0.1", "0.01", "0.01", "0.1"),
    Listing("ETC", "23", "0.001", "0.01", "1", "0.1", "10"),
    Listing("XLM", "0.098", "0.00001", "1", "10", "10", "100"),
    Listing("ICP", "9.1", "0.001", "1", "0.1", "0.1", "0.01"),
    Listing("ALGO", "0.15", "0.00001", "0.1", "10", "10", "10"),
    Listing("1000PEPE", "0.0109", "0.000001", "1", "1000", "100", "10000"),
    Listing("币安人生", "0.21", "0.00001", "1", "10", "10", "10"),
)

NOT_LISTED = {
    "htx": {"SOL"},
    "bitget": {"ALGO"},
    "gate": {"ICP"},
    "krakenfutures": {"1000PEPE", "币安人生"},
}

QUOTES = {"krakenfutures": "USD", "coinbaseinternational": "USDC"}
"""What contracts are quoted and settled in, where that is not USDT."""
IDS = {
    "htx": "{base}-{quote}",
    "gate": "{base}_{quote}",
    "okx": "{base}-{quote}-SWAP",
    "krakenfutures": "PF_{base}{quote}",
    "coinbaseinternational": "{base}_{quote}-PERPETUAL",
}
"""How a venue writes the id of a contract, where that is not base and quote in one word."""
BASE_NAMES = {"krakenfutures": {"BTC": "XBT"}}
"""What a venue calls a base currency in its ids, where that is another name."""
HOURLY = frozenset({"krakenfutures", "coinbaseinternational"})
"""Settle funding each hour."""
OKX_LOT = Decimal("0.01")
"""The size step there, in contracts."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """One perpetual contract of one venue: its names and its grid.

    Prices are counted in ticks and sizes in units everywhere inside the model; a unit is the size
    step, or one contract where the venue counts whole contracts. `lot` is a unit in the amounts
    that the venue writes where it counts contracts.
    """

    venue: str
    base: str
    quote: str
    id: str
    symbol: str
    start_ticks: int
    tick: Decimal
    unit: Decimal
    funding_hours: int
    lot: Decimal = Decimal(1)

    price_places: int = field(init=False)  # digits behind the point
    size_places: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "price_places", _places(self.tick))
        object.__setattr__(self, "size_places", _places(self.unit))


def _places(step: Decimal) -> int:
    return max(0, -int(step.as_tuple().exponent))


def quote_of(venue: str) -> str:
    """What the contracts of `venue` are quoted and settled in."""
    return QUOTES.get(venue, "USDT")


def base_name(venue: str, base: str) -> str:
    """What `venue` calls a base currency."""
    return BASE_NAMES.get(venue, {}).get(base, base)


def market_id(venue: str, base: str) -> str:
    """What `venue` calls its contract of a base currency."""
    form = IDS.get(venue, "{base}{quote}")
    return form.format(base=base_name(venue, base), quote=quote_of(venue))


def instruments(venue: str, count: int | None = None) -> list[Instrument]:
    """What `venue` lists, of the first `count` base currencies; beyond the table they are made
    up."""
    missing = NOT_LISTED.get(venue, set())
    made_up = [_made_up(number) for number in range(len(LISTINGS), count or 0)]
    return [
        _instrument(venue, index, listing)
        for index, listing in enumerate([*LISTINGS[:count], *made_up])
        if listing.base not in missing
    ]


def _made_up(number: int) -> Listing:
    return Listing(f"SIM{number}", "2.5", "0.0001", "0.1", "1", "1", "10")


def instrument(venue: str, base: str, price: str) -> Instrument:
    """What `venue` calls `base`, with the usual grid or, where it has none, one that fits."""
    known = next((listing for listing in LISTINGS if listing.base == base), None)
    fitting = Decimal(price).adjusted() - 4
    tick = f"{Decimal(1).scaleb(fitting):f}"
    return _instrument(venue, 0, known or Listing(base, price, tick, "1", "1", "1", "1"))


def _instrument(venue: str, index: int, listing: Listing) -> Instrument:
    units = {"htx": listing.htx_contract, "gate": listing.gate_contract}
    units["okx"] = str(Decimal(listing.okx_contract) * OKX_LOT)
    tick, quote = Decimal(listing.tick), quote_of(venue)
    return Instrument(
        venue=venue,
        base=listing.base,
        quote=quote,
        id=market_id(venue, listing.base),
        symbol=f"{listing.base}/{quote}:{quote}",
        start_ticks=int(Decimal(listing.price) / tick),
        tick=tick,
        unit=Decimal(units.get(venue, listing.step)),
        funding_hours=_funding_hours(venue, index),
        lot=OKX_LOT if venue == "okx" else Decimal(1),
    )


def _funding_hours(venue: str, index: int) -> int:
    if venue in HOURLY:
        return 1
    return 4 if index % 5 == 4 else 8
