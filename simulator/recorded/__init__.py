"""How each venue's recorded frames and today's subscriptions find each other."""

from simulator.recorded.binance import RecordedBinance
from simulator.recorded.bitget import RecordedBitget
from simulator.recorded.bybit import RecordedBybit
from simulator.recorded.coinbaseinternational import RecordedCoinbaseinternational
from simulator.recorded.gate import RecordedGate
from simulator.recorded.htx import RecordedHtx
from simulator.recorded.krakenfutures import RecordedKrakenFutures
from simulator.recorded.okx import RecordedOkx
from simulator.recorded.words import Recorded

__all__ = ["RECORDED", "VENUES", "Recorded"]

VENUES: dict[str, type[Recorded]] = {
    words.venue: words
    for words in (
        RecordedBinance,
        RecordedBybit,
        RecordedBitget,
        RecordedHtx,
        RecordedGate,
        RecordedOkx,
        RecordedKrakenFutures,
        RecordedCoinbaseinternational,
    )
}
"""By venue, as the fleet's own recordings name it."""

RECORDED: dict[str, type[Recorded]] = VENUES | {
    "BINANCE_FUTURES": RecordedBinance,
    "GATEIO_FUTURES": RecordedGate,
}
"""By the name that a capture of the venue has."""
