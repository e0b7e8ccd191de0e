"""The venue catalogue: all that differs between venues and is data.

Depths, limits and id spaces come with their source. What needs code stands in
`workers/collector/venues/{venue}.py`.
"""

from workers.collector.catalogue.binance import BINANCE
from workers.collector.catalogue.bitget import BITGET
from workers.collector.catalogue.bybit import BYBIT
from workers.collector.catalogue.coinbaseinternational import COINBASEINTERNATIONAL
from workers.collector.catalogue.gate import GATE
from workers.collector.catalogue.htx import HTX
from workers.collector.catalogue.krakenfutures import KRAKENFUTURES
from workers.collector.catalogue.okx import OKX
from workers.collector.catalogue.row import Venue

CATALOGUE: dict[str, Venue] = {
    venue.name: venue
    for venue in (
        BINANCE,
        BYBIT,
        BITGET,
        HTX,
        GATE,
        OKX,
        KRAKENFUTURES,
        COINBASEINTERNATIONAL,
    )
}
