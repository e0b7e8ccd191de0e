"""The REST budget of a collector, as the catalogue and the configuration have it."""

from shared.bans import Bans
from shared.budget import Budget
from shared.clock import Clock
from shared.config import Settings
from shared.redis_buckets import RedisBuckets, connected
from shared.vitals import age_s
from workers.collector.catalogue.row import Venue


def budget_of(settings: Settings, venue: Venue, clock: Clock) -> Budget:
    """Shared by Redis where one is named, unless `rate_limiting.use_redis` says otherwise."""
    config, environment = settings.config, settings.environment
    limiting = config.rate_limiting
    most = config.venue(venue.name).rate_limit_per_minute or limiting.default_limit_per_minute
    shared = None
    wanted = limiting.use_redis
    if wanted or (wanted is None and config.redis.host is not None):
        shared = RedisBuckets(connected(config.redis), venue.name, environment.egress)
    bans = Bans(environment.home / "state" / "bans" / f"{venue.name}.json", clock)
    limits = venue.limits.with_requests_per_minute(most)
    return Budget(limits, clock, idle_s=age_s(), shared=shared, bans=bans)
