"""When entries like `top:50` are ranked anew, by venue."""

from datetime import UTC, datetime

from cronsim import CronSim

from shared.clock import Clock
from shared.config import AppConfig
from shared.config.live import Live


class RankingTimes:
    """By the cron expression of `collection.schedule`, else each `control.ranking_interval_s`; a
    venue that was never ranked is due."""

    def __init__(self, config: Live[AppConfig], clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._ranked_at: dict[str, tuple[float, int]] = {}  # monotonic seconds, wall clock ms

    def due(self, venue: str) -> bool:
        ranked_at = self._ranked_at.get(venue)
        if ranked_at is None:
            return True
        monotonic, wall_ms = ranked_at
        schedule = self._config.value.collection.schedule
        if schedule is None:
            interval_s = self._config.value.control.ranking_interval_s
            return self._clock.monotonic() >= monotonic + interval_s
        after = datetime.fromtimestamp(wall_ms / 1000, UTC)
        return self._clock.now_ms() >= 1000 * next(CronSim(schedule, after)).timestamp()

    def ranked(self, venue: str) -> None:
        self._ranked_at[venue] = self._clock.monotonic(), self._clock.now_ms()

    def forget(self) -> None:
        """All are due: this coordinator does not know what another has done."""
        self._ranked_at.clear()
