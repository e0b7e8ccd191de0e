"""bitget, v2 mix."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import ccxt.pro

from workers.collector.events import Event, Print, Quote
from workers.collector.hot import HotFrames


class Bitget(HotFrames, ccxt.pro.bitget):
    """`arg` names the channel; the first push of a trade channel repeats recent trades."""

    def peel(self, frame: Any) -> Sequence[Event] | None:
        arg = frame.get("arg") if type(frame) is dict else None
        if type(arg) is not dict or "data" not in frame:
            return None
        market_id, channel = str(arg["instId"]), arg["channel"]
        if channel == "trade":
            # Newest first, as the venue's REST gives them.
            return self.prints(partial(_print, market_id), reversed(frame["data"]))
        if channel == "ticker":
            return [_quote(market_id, row) for row in frame["data"]]
        return None

    def handle_order_book(self, client: Any, message: Any) -> None:
        """ccxt merges the snapshot of a new subscription into the book of the old one, and would
        start a book from an update that comes after its end."""
        symbol = self.safe_symbol(message["arg"]["instId"], None, None, "contract")
        if message["action"] == "snapshot":
            self.orderbooks.pop(symbol, None)
        elif symbol not in self.orderbooks:
            return
        super().handle_order_book(client, message)

    async def handle_check_sum_error(self, client: Any, symbol: str, message_hash: str) -> None:
        """ccxt unwatches here and leaves a future behind which is rejected before anyone waits."""
        self.sink.on_book_broken(self.market(symbol)["id"], "checksum")


def _quote(market_id: str, row: dict[str, Any]) -> Quote:
    return Quote(
        market_id=market_id,
        bid=float(row["bidPr"]),
        ask=float(row["askPr"]),
        bid_size=float(row["bidSz"]),
        ask_size=float(row["askSz"]),
        last=float(row["lastPr"]),
        timestamp=int(row["ts"]),
    )


def _print(market_id: str, row: dict[str, Any]) -> Print:
    return Print(
        market_id=market_id,
        id=row["tradeId"],
        price=float(row["price"]),
        size=float(row["size"]),
        side=row["side"].lower(),
        timestamp=int(row["ts"]),
    )
