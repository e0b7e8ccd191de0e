"""How users let us speak to a venue, in the words of ccxt's constructor."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth
from yarl import URL

from shared.config import Performance, Settings, VenueConfig, VenueKeys
from shared.errors import ConfigurationError
from workers.collector.catalogue.row import Venue


@dataclass(frozen=True, slots=True)
class Access:
    """How users let us speak to a venue."""

    config: VenueConfig = field(default_factory=VenueConfig)
    keys: VenueKeys = field(default_factory=VenueKeys)
    performance: Performance = field(default_factory=Performance)
    trade_limit: int | None = None
    slow_s: float = 5.0

    @classmethod
    def of(cls, settings: Settings, venue: str) -> "Access":
        config = settings.config
        return cls(
            config=config.venue(venue),
            keys=settings.keys.get(venue, VenueKeys()),
            performance=config.performance,
            trade_limit=config.collection.trade_limit,
            slow_s=config.health.slow_request_s,
        )


def constructor(venue: Venue, access: Access) -> dict[str, Any]:
    """What the ccxt class is made with; it merges nested dictionaries over its own."""
    config = access.config
    made: dict[str, Any] = {
        "timeout": round(1000 * (config.timeout_s or access.performance.request_timeout_s)),
        # Currencies: else load_markets asks for them as well.
        "has": dict.fromkeys(("fetchCurrencies", *venue.lacks), False),
        "options": _merged(venue.options, config.options),
        **access.keys.credentials(),
    }
    if config.urls is not None:
        rest, made["headers"] = _parted(config.urls.rest)
        ws, headers = _parted(config.urls.ws)
        made["urls"] = {"api": _filled(venue.urls, {"rest": rest, "ws": ws})}
        made["options"] = _merged(made["options"], {"ws": {"headers": headers}})
    return made


def _parted(base: str) -> tuple[str, dict[str, str]]:
    """An address without user and password, and the header that says them: ccxt's errors repeat
    the addresses that it asks."""
    url = URL(base)
    headers = {}
    if url.user is not None or url.password is not None:
        headers["Authorization"] = encode_basic_auth(url.user or "", url.password or "")
        url = url.with_user(None)
    return str(url).rstrip("/"), headers


def go_to_sandbox(exchange: Any, venue: str) -> None:
    """ccxt's switch: other addresses, or a header with each request."""
    if not exchange.urls.get("test") and "sandboxMode" not in exchange.options:
        raise ConfigurationError(f"exchange_configs.{venue}.sandbox: the venue has no test network")
    exchange.set_sandbox_mode(True)


def trade_page(venue: Venue, access: Access) -> int:
    """Trades that one request asks for. Where REST has no older ones, fewer would be a shorter
    reach: then the venue's own number stays."""
    if access.trade_limit is None or not venue.trades.pages:
        return venue.trades.limit
    return min(venue.trades.limit, access.trade_limit)


def _filled(template: Any, bases: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: _filled(value, bases) for key, value in template.items()}
    return template.format(**bases)


def _merged(ours: dict[str, Any], users: dict[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in users.items():
        old = merged.get(key)
        merged[key] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged
