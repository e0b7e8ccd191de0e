"""What the load source answers over REST: any number of equal markets, in binance's terms."""

import time
from collections.abc import Callable, Mapping
from typing import Any

#: Of all trades. Quotes begin above it; before them books end there on one side, at ASK on the
#: other: above whatever quotes there will be.
PRICE = 1_000_000
ASK = 1_900_000
SIZE = "1.5"
_TRADED = f"{PRICE}.10"


def market_ids(count: int) -> list[str]:
    return [f"S{number:03d}USDT" for number in range(count)]


def symbols(count: int) -> list[str]:
    """Unified symbols of the first `count` markets."""
    return [f"{id_[:-4]}/USDT:USDT" for id_ in market_ids(count)]


class Listing:
    """Bodies by path. They agree with what streams said last: a collector would notice."""

    def __init__(self, count: int, levels: int) -> None:
        self.ids = market_ids(count)
        self.sides = {
            "bids": [[f"{PRICE - i / 10:.1f}", f"{1 + i % 7}.5"] for i in range(levels)],
            "asks": [[f"{ASK + i / 10:.1f}", f"{1 + i % 5}.5"] for i in range(levels)],
        }
        self._quotes: dict[str, tuple[str, str]] = {}  # the last of each market, bid and ask
        self._rows: dict[str, Callable[[], Any]] = {
            "/fapi/v1/exchangeInfo": self._exchange_info,
            "/fapi/v1/ticker/24hr": lambda: [_day(id_) for id_ in self.ids],
            "/fapi/v1/ticker/bookTicker": lambda: [self._best(id_) for id_ in self.ids],
            "/fapi/v1/premiumIndex": lambda: [_premium(id_) for id_ in self.ids],
            "/fapi/v1/fundingInfo": lambda: [_funding(id_) for id_ in self.ids],
            "/fapi/v1/ping": dict[str, Any],
            "/fapi/v1/time": lambda: {"serverTime": now_ms()},
        }

    def body(self, path: str) -> Any:
        """The body of a path, or None."""
        row = self._rows.get(path)
        return row() if row else None

    def depth(self, update_id: int, query: Mapping[str, str]) -> dict[str, Any]:
        limit, quote = int(query.get("limit", "500")), self._quotes.get(query["symbol"])
        best = [[[price, SIZE]] for price in quote] if quote else [[], []]
        bids, asks = best[0] + self.sides["bids"], best[1] + self.sides["asks"]
        times = {"lastUpdateId": update_id, "E": now_ms(), "T": now_ms()}
        return times | {"bids": bids[:limit], "asks": asks[:limit]}

    def quote(self, id_: str, bid: str, ask: str) -> tuple[list[list[str]], list[list[str]]]:
        """The best prices from now on; what that changes about the book's bids and asks."""
        before = self._quotes.get(id_, ())
        self._quotes[id_] = bid, ask
        gone = [[[price, "0"]] for price in before] or [[], []]
        return gone[0] + [[bid, SIZE]], gone[1] + [[ask, SIZE]]

    def _best(self, id_: str) -> dict[str, Any]:
        bid, ask = self._quotes.get(id_, (f"{PRICE}.0", f"{ASK}.0"))
        sizes = {"bidQty": SIZE, "askQty": SIZE}
        prices = {"symbol": id_, "bidPrice": bid, "askPrice": ask}
        return prices | sizes | {"time": now_ms(), "lastUpdateId": 1}

    def _exchange_info(self) -> dict[str, Any]:
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return {
            "timezone": "UTC",
            "serverTime": now_ms(),
            "rateLimits": [limit | {"limit": 2400}],
            "exchangeFilters": [],
            "assets": [],
            "symbols": [_contract(id_) for id_ in self.ids],
        }


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _contract(id_: str) -> dict[str, Any]:
    return {
        "symbol": id_,
        "pair": id_,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1600000000000,
        "status": "TRADING",
        "baseAsset": id_[:-4],
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 1,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.1",
                "maxPrice": "10000000",
                "tickSize": "0.1",
            },
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }


def _day(id_: str) -> dict[str, Any]:
    price = _TRADED
    return {
        "symbol": id_,
        "priceChange": "0.0",
        "priceChangePercent": "0.000",
        "weightedAvgPrice": price,
        "lastPrice": price,
        "lastQty": "0.512",
        "openPrice": price,
        "highPrice": price,
        "lowPrice": price,
        "volume": "1000.000",
        "quoteVolume": "1000000000.00",
        "openTime": now_ms() - 86_400_000,
        "closeTime": now_ms(),
        "firstId": 1,
        "lastId": 2,
        "count": 2,
    }


def _premium(id_: str) -> dict[str, Any]:
    return {
        "symbol": id_,
        "markPrice": f"{PRICE}.00000000",
        "indexPrice": f"{PRICE}.00000000",
        "estimatedSettlePrice": f"{PRICE}.00000000",
        "lastFundingRate": "0.00010000",
        "interestRate": "0.00010000",
        "nextFundingTime": (now_ms() // 28_800_000 + 1) * 28_800_000,
        "time": now_ms(),
    }


def _funding(id_: str) -> dict[str, Any]:
    return {
        "symbol": id_,
        "adjustedFundingRateCap": "0.02000000",
        "adjustedFundingRateFloor": "-0.02000000",
        "fundingIntervalHours": 8,
        "disclaimer": False,
    }
