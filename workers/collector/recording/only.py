"""Recording without collecting: a collector whose facts go nowhere, and no broker."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.clock import Clock
from shared.config import Settings
from shared.fact import Fact
from shared.outbox import Outbox
from shared.service import Stop, running
from workers.collector.collector import Collector
from workers.collector.recording.recorder import Recorder

log = logging.getLogger("main")


class Unpublished(Outbox):
    """Takes every fact and gives it to nobody."""

    @property
    def connected(self) -> bool:
        """The collector does what it does with a broker that works."""
        return True

    def put(self, fact: Fact) -> None:
        counts = self.ledger[fact.kind.label]
        counts.received += 1
        counts.dropped["unpublished"] += 1

    def settled_up_to(self, mark: int) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be recorded: for how long (None: until a signal), and below which directory
    (None: the fleet's own)."""

    seconds: float | None = None
    out: Path | None = None


class RecordingCollector(Collector):
    """Subscribes and asks as a collector does. It knows nothing of runs before it and leaves
    nothing to later ones but the recording."""

    outbox_class = Unpublished

    async def run(self, stop: Stop) -> None:
        assert self.recorder is not None
        async with self.recorder, running(stop, self.vitals.run()):
            async with running(stop, self._collect()):
                await stop.wait()
                self.state = "stopping"
            await self.streams.stop()
            await self._leave_venue()


async def record(settings: Settings, venue: str, wish: Wish, clock: Clock, stop: Stop) -> None:
    """Record `venue` as `wish` says, or until `stop`; then say what there is."""
    exchange = settings.config.wire_name(venue) or venue
    with tempfile.TemporaryDirectory(prefix="fleet-record-", ignore_cleanup_errors=True) as state:
        environment = settings.environment.model_copy(update={"home": Path(state)})
        elsewhere = settings.model_copy(update={"environment": environment})
        collector = RecordingCollector(elsewhere, venue, exchange, clock)
        recorder = Recorder.of(settings, venue, clock, wish.out)
        collector.record_by(recorder)
        log.info("Recording %s below %s", venue, recorder.shelf.directory)
        async with running(stop, _stop_after(wish.seconds, clock, stop)):
            await collector.run(stop)
    told = ", ".join(f"{count} {name}" for name, count in recorder.counts().items())
    log.info("Recorded %s: %s", venue, told)


async def _stop_after(seconds: float | None, clock: Clock, stop: Stop) -> None:
    if seconds is not None:
        await clock.sleep(seconds)
        stop.request()
