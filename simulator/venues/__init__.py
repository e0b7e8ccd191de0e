"""The venues' dialects, by the name below which each is served."""

from simulator.dialect import Dialect
from simulator.venues.binance import Binance
from simulator.venues.bitget import Bitget
from simulator.venues.bybit import Bybit
from simulator.venues.coinbaseinternational import Coinbaseinternational
from simulator.venues.gate import Gate
from simulator.venues.htx import Htx
from simulator.venues.krakenfutures import KrakenFutures
from simulator.venues.okx import Okx

DIALECTS: dict[str, type[Dialect]] = {
    dialect.name: dialect
    for dialect in (
        Binance,
        Bybit,
        Bitget,
        Htx,
        Gate,
        Okx,
        KrakenFutures,
        Coinbaseinternational,
    )
}
