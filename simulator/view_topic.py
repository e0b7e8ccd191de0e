"""The part of a depth-limited book stream that all venues share."""

from typing import ClassVar

from simulator.book import View, difference
from simulator.happening import Trigger
from simulator.market import Market
from simulator.topic import Topic


class ViewTopic(Topic):
    """Keeps the best `depth` levels as last pushed, which is what all subscribers hold."""

    triggers: ClassVar[tuple[Trigger, ...]] = (Trigger.BOOK,)
    incremental = True

    def __init__(self, depth: int, market: Market, channel: str) -> None:
        super().__init__(market, channel)
        self.depth = depth
        self.view = market.book.view(depth)
        self.update_id = market.book.update_id

    def changes(self) -> View:
        """What changed in the view since the last call; afterwards the view is the new one."""
        old, self.view = self.view, self.market.book.view(self.depth)
        self.update_id = self.market.book.update_id
        return difference(old, self.view)


def sides(view: View) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """`view` as bids and asks of (price in ticks, units), in its order."""
    bids = [(key, size) for key, size in view.items() if key > 0]
    asks = [(-key, size) for key, size in view.items() if key < 0]
    return bids, asks
