"""Changes of a book out of order."""

from typing import TYPE_CHECKING

from pydantic import Field

from simulator.faults.message import facts
from simulator.faults.stream import DeltaFault, OnceWish
from simulator.frame import Frame

if TYPE_CHECKING:
    from simulator.topic import Topic


class WindowWish(OnceWish):
    window: int = Field(2, ge=2, le=100)


class SwapDeltas(DeltaFault):
    """Holds `window` changes of a stream back, then sends them shuffled; two are swapped."""

    name = "swap_deltas"
    summary = "sends neighbouring changes of a book out of order"
    wishes = WindowWish

    def start(self) -> None:
        self._held: dict[Topic, list[Frame]] = {}
        super().start()

    def alter(self, topic: "Topic", frame: Frame) -> list[Frame]:
        assert isinstance(self.wish, WindowWish)
        held = self._held.setdefault(topic, [])
        held.append(frame)
        if len(held) < self.wish.window:
            return []
        del self._held[topic]
        order = self._order(len(held))
        ids = [facts(held[place])["ids"] for place in order]
        self.told(held[0], order=order, sent=ids)
        return [held[place] for place in order]

    def _order(self, count: int) -> list[int]:
        order = list(range(count))
        while order == sorted(order):
            self.rng.shuffle(order)
        return order

    def finish(self) -> None:
        """What is still held goes out in its order."""
        for topic, held in self._held.items():
            for session in topic.subscribers:
                for frame in held:
                    session.send(frame)
