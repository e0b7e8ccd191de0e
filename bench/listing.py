"""What the load source answers over REST: any number of equal markets, in binance's terms."""

import time
from collections.abc import Callable, Mapping
from typing import Any

#: The books stand around the price of all trades and just below all quotes.
PRICE = 1_000_000


def market_ids(count: int) -> list[str]:
    return [f"S{number:03d}USDT" for number in range(count)]


def symbols(count: int) -> list[str]:
    """Unified symbols of the first `count` markets."""
    return [f"{id_[:-4]}/USDT:USDT" for id_ in market_ids(count)]


class Listing:
    """Bodies by path. They differ in nothing but the market's name and the time."""

    def __init__(self, count: int, levels: int) -> None:
        self.ids = market_ids(count)
        self.sides = {
            "bids": [[f"{PRICE - i / 10:.1f}", f"{1 + i % 7}.5"] for i in range(levels)],
            "asks": [[f"{PRICE + 0.1 + i / 10:.1f}", f"{1 + i % 5}.5"] for i in range(levels)],
        }
        self._rows: dict[str, Callable[[], Any]] = {
            "/fapi/v1/exchangeInfo": self._exchange_info,
            "/fapi/v1/ticker/24hr": lambda: [_day(id_) for id_ in self.ids],
            "/fapi/v1/ticker/bookTicker": lambda: [_best(id_) for id_ in self.ids],
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
        limit = int(query.get("limit", "500"))
        sides = {side: levels[:limit] for side, levels in self.sides.items()}
        return {"lastUpdateId": update_id, "E": now_ms(), "T": now_ms(), **sides}

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
    price = f"{PRICE}.0"
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


def _best(id_: str) -> dict[str, Any]:
    return {
        "symbol": id_,
        "bidPrice": f"{PRICE}.0",
        "bidQty": "1.5",
        "askPrice": f"{PRICE}.1",
        "askQty": "1.5",
        "time": now_ms(),
        "lastUpdateId": 1,
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
