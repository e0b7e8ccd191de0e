"""The checks that each process makes of what it depends on, as the configuration has them."""

from shared.broker import Broker
from shared.clock import Clock
from shared.config import Settings
from shared.health import Check, CheckPolicy, HealthMonitor
from shared.probes import broker_probe, database_probe, disk_probe, redis_probe, vitals_probe
from shared.redis_buckets import connected
from shared.vitals import Vitals

#: Memory of a process that is more than any has use for.
MOST_MB = 512.0


def monitor_of(settings: Settings, vitals: Vitals, clock: Clock) -> HealthMonitor:
    """Of any process: its event loop and its memory."""
    monitor = HealthMonitor(clock)
    _add(monitor, settings, "process", vitals_probe(vitals, MOST_MB))
    return monitor


def monitor_host(monitor: HealthMonitor, settings: Settings, broker: Broker) -> None:
    """Of the one process that looks for its host: the broker, Redis, the database, the disk."""
    config = settings.config
    _add(monitor, settings, "rabbitmq_connection", broker_probe(broker))
    if config.redis.host is not None:
        _add(monitor, settings, "redis_connection", redis_probe(connected(config.redis)))
    if config.database.enabled:
        _add(monitor, settings, "database_connection", database_probe(config.database))
    _add(monitor, settings, "disk", disk_probe(settings.environment.home))


def _add(monitor: HealthMonitor, settings: Settings, name: str, check: Check) -> None:
    health = settings.config.health
    policy = CheckPolicy(interval_s=health.check_interval_s, slow_s=health.slow_query_s)
    monitor.add_health_check(name, check, policy)
