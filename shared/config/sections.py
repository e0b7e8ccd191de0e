"""The sections of the configuration: fields, bounds, and what each is for.

Canonical names carry their unit; by what other names and in which units the same may be written
stands in `shared.config.names`. `docs/configuration.md` is generated from the descriptions.
"""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.config.values import (
    CacheType,
    Cron,
    DatabaseKind,
    Distinct,
    Port,
    Seconds,
    Secret,
    Strategy,
    Text,
)
from shared.retry import RetryPolicy
from shared.retry import Strategy as RetryStrategy
from shared.timeframes import Timeframe


class Section(BaseModel):
    """A part of the configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Redis(Section):
    """Where the rate budgets of all hosts behind one address are counted, and caches shared."""

    host: Text = Field(default=None, description="the Redis server; without one there is none")
    port: Port = 6379
    password: Secret = None
    db: int = Field(default=0, ge=0, le=1023)


class Database(Section):
    """The store's database. Until a store runs, its health is watched, and no more."""

    enabled: bool = Field(
        default=False, description="whether there is a database; its host alone does not say so"
    )
    kind: DatabaseKind | None = Field(
        default=None, description="by default `clickhouse` on port 8123 or 8443, else `postgresql`"
    )
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 5432
    database: str = Field(default="futures_fleet", min_length=1)
    user: Text = None
    password: Secret = None

    @property
    def spoken(self) -> DatabaseKind:
        """The kind that is named, or that the port tells."""
        return self.kind or ("clickhouse" if self.port in (8123, 8443) else "postgresql")


class CacheLimits(Section):
    """Of one type of entries; what is not given is the cache's."""

    ttl_s: Seconds | None = None
    max_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


_CACHE_TYPES: dict[CacheType, CacheLimits] = {
    "ticker": CacheLimits(ttl_s=1),
    "order_book": CacheLimits(ttl_s=0.5),
    "funding_rate": CacheLimits(ttl_s=30),
}


class Cache(Section):
    """Answers of venues that are kept to be given again."""

    enabled: bool = Field(default=True, description="whether answers are kept at all")
    default_ttl_s: Seconds = Field(
        default=300, description="how long an answer is given again, where its type says nothing"
    )
    max_size: int = Field(
        default=10_000, ge=1, le=1_000_000, description="entries of one type at most"
    )
    types: dict[CacheType, CacheLimits] = Field(
        default=_CACHE_TYPES,
        description="`ttl_s` and `max_size` of `ticker`, `funding_rate`, `order_book`, "
        "`market_data`; what is not given stays as it is by default",
    )

    @field_validator("types")
    @classmethod
    def _over_the_default(cls, given: dict[CacheType, CacheLimits]) -> dict[CacheType, CacheLimits]:
        types = dict(_CACHE_TYPES)
        for name, limits in given.items():
            said = limits.model_dump(exclude_unset=True)
            types[name] = types.get(name, CacheLimits()).model_copy(update=said)
        return types

    def limits(self, cache_type: CacheType) -> tuple[float, int]:
        """Seconds that an entry lives, and how many there may be."""
        own = self.types.get(cache_type, CacheLimits())
        return own.ttl_s or self.default_ttl_s, own.max_size or self.max_size


class MaxAge(Section):
    """How old a part of FuturesData may be."""

    ticker_s: float = Field(
        default=30,
        gt=0,
        description="seconds since FuturesData's ticker was received; an older one skips the "
        "symbol for that cycle, an error",
    )
    orderbook_s: float = Field(default=30, gt=0, description="likewise of the book")
    funding_s: float = Field(
        default=900,
        gt=0,
        description="seconds since funding was received; an older one is published as null",
    )
    mark_price_s: float = Field(default=120, gt=0, description="likewise of the mark price")
    volume_s: float = Field(default=300, gt=0, description="likewise of the day's volume")


_LARGE_TRADE = {"default": 100_000.0}


class Collection(Section):
    """The pace of collecting and how failures of a cycle are retried."""

    interval_seconds: float = Field(
        default=5, ge=5, le=3600, description="the grid of FuturesData, 5 … 3600"
    )
    ticker_interval_s: Annotated[float, Field(ge=1, le=3600)] | None = Field(
        default=None,
        description="how often tickers of all symbols are asked for by REST, 1 … 3600; by default "
        "with each cycle",
    )
    funding_rate_interval_s: Annotated[float, Field(ge=60, le=86_400)] | None = Field(
        default=None,
        description="how often funding rates are, 60 … 86400; by default the venue's own pace",
    )
    retry_attempts: int = Field(
        default=3, ge=0, le=10, description="further tries of a failed REST request"
    )
    retry_delays: tuple[Annotated[float, Field(ge=0, le=300)], ...] = Field(
        default=(1, 2, 4), max_length=10, description="seconds before each; the last one repeats"
    )
    retry_strategy: RetryStrategy | None = Field(
        default=None,
        description="`fixed`, `linear`, `exponential` or `adaptive` (longer where requests fail of "
        "late), from the first of the delays on, in place of the list",
    )
    max_age: MaxAge = MaxAge()
    timeframes: Annotated[tuple[Timeframe, ...], Distinct] = Field(
        default=("1m",),
        description="of candles, any of `1m`, `5m`, `15m`, `30m`, `1h`, `4h`, `1d`. Each costs one "
        "websocket subscription a symbol, one message a second and symbol while it trades, and one "
        "REST request a symbol (asked last, skipped when many wait) each time that a candle ends",
    )
    orderbook_depth: int = Field(
        default=20,
        ge=1,
        le=50,
        description="levels a side of `orderbook` messages; FuturesData has the full depth",
    )
    trade_limit: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="trades that one REST request asks for; by default as many as the venue gives",
    )
    start_date: date | None = Field(
        default=None,
        description="from when (UTC) candles are wanted: `fleet doctor --exchange` says whether a "
        "venue gives them; by default it tries a day ago",
    )
    schedule: Cron | None = Field(
        default=None,
        description="when entries like `top:50` are ranked anew (cron, UTC) in place of "
        "`control.ranking_interval_s`",
    )
    large_trade: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default=_LARGE_TRADE,
        description="from which notional (price × amount, quote currency) a trade is flagged as "
        "`large`, by symbol; `default` for all others",
    )

    @field_validator("large_trade")
    @classmethod
    def _over_the_default(cls, given: dict[str, float]) -> dict[str, float]:
        return _LARGE_TRADE | given

    def retry_policy(self) -> RetryPolicy:
        """Of a cycle: one call and up to `retry_attempts` more."""
        delays = self.retry_delays or (0.0,)
        return RetryPolicy(
            max_attempts=1 + self.retry_attempts,
            base_delay_s=delays[0],
            strategy=self.retry_strategy or "exponential",
            delays_s=() if self.retry_strategy else delays,
        )

    @model_validator(mode="after")
    def _is_not_always_too_old(self) -> Self:
        if (self.funding_rate_interval_s or 0) > self.max_age.funding_s:
            raise ValueError("funding_rate_interval_s is longer than max_age.funding_s")
        if (self.ticker_interval_s or 0) > self.max_age.volume_s:
            raise ValueError("ticker_interval_s is longer than max_age.volume_s")
        return self


class Logging(Section):
    """One line an event, to stdout and to a file."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="`DEBUG`, `INFO`, `WARNING`, `ERROR`"
    )
    console: bool = Field(default=True, description="whether stdout gets the lines")
    file_path: Text = Field(
        default=None,
        description="a file that gets them; `{program}` in it is the name of the process, since "
        "one file shared by processes breaks when it rotates",
    )


class Performance(Section):
    """What a process may use."""

    max_concurrent_requests: int = Field(
        default=50, ge=1, le=1000, description="REST requests to a venue on their way at a time"
    )
    connection_pool_size: int = Field(
        default=100,
        ge=10,
        le=10_000,
        description="connections of a collector to its venue, websockets among them",
    )
    connection_idle_s: Seconds = Field(
        default=30, description="how long an unused one of them is kept"
    )
    request_timeout_s: float = Field(
        default=10, ge=1, le=300, description="of one REST request, where its venue says nothing"
    )
    worker_threads: int = Field(
        default=4, ge=1, le=64, description="threads of a process for files and name resolution"
    )


class ExchangeManager(Section):
    """Which venue answers a request where none is named: of `fleet request` and `fleet doctor
    --exchange`. Programs of the library give `strategy=` themselves."""

    connection_strategy: Strategy = Field(
        default="weighted_round_robin",
        description="`round_robin`, `least_latency`, `weighted_round_robin`, `failover`, "
        "`least_connections`",
    )


class PriorityMultiplier(Section):
    """How much of a venue's burst users' requests leave to live data."""

    high: float = Field(
        default=0.5,
        ge=0,
        le=4,
        description="of a user's request with this priority: 40 % of the venue's burst times this, "
        "and at least 20 %, is left to live data, 0 … 4",
    )
    normal: float = Field(default=1.0, ge=0, le=4, description="likewise")
    low: float = Field(default=2.0, ge=0, le=4, description="likewise")


class RateLimiting(Section):
    """The budgets of venues."""

    use_redis: bool | None = Field(
        default=None,
        description="whether all processes share the budgets; by default where a Redis is named",
    )
    default_limit_per_minute: Annotated[float, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="requests a minute, of each venue that has no limit of its own"
    )
    priority_multiplier: PriorityMultiplier = PriorityMultiplier()


class Health(Section):
    """When something counts as unwell."""

    check_interval_s: float = Field(default=10, ge=1, le=3600, description="between two checks")
    slow_request_s: Seconds = Field(
        default=5, description="a REST request that takes longer is one `slow` line"
    )
    slow_query_s: Seconds = Field(
        default=1, description="likewise an answer of the broker, Redis or the database"
    )
    quality_threshold: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="a venue of whose messages a smaller share is valid is degraded",
    )


class Control(Section):
    """Who may command."""

    require_user: bool = Field(
        default=False, description="whether commands without the broker's `user_id` are refused"
    )
    ranking_interval_s: float = Field(
        default=3600, ge=1, description="how often entries like `top:50` are ranked anew"
    )


class Recording(Section):
    """What recordings of raw traffic may take of the disk."""

    max_gb: float = Field(
        default=10,
        gt=0,
        description="of a venue, in 10⁹ bytes; then the oldest files are deleted",
    )


class VenueUrls(Section):
    """Base addresses that replace the venue's own: a proxy, a simulator."""

    rest: str = Field(pattern=r"^https?://[^\s/]+", repr=False)  # a proxy's may hold a password
    ws: str = Field(pattern=r"^wss?://[^\s/]+", repr=False)


class VenueConfig(Section):
    """What one venue needs beyond the catalogue."""

    enabled: bool = Field(default=True, description="`false` takes the venue out of `exchanges`")
    sandbox: bool = Field(default=False, description="the venue's test network in place of it")
    urls: VenueUrls | None = Field(
        default=None, description="`rest` and `ws`: base addresses of a proxy or a simulator"
    )
    timeout_s: Annotated[float, Field(ge=1, le=300)] | None = Field(
        default=None, description="of one REST request; by default `performance.request_timeout_s`"
    )
    rate_limit_per_minute: Annotated[float, Field(ge=100, le=10_000)] | None = Field(
        default=None, description="requests a minute, below what the catalogue allows anyway"
    )
    weight: float = Field(
        default=100,
        gt=0,
        le=10_000,
        description="its share of weighted requests, of "
        "`fleet request` and `fleet doctor --exchange`; programs of the library give `weights=`",
    )
    record: bool = Field(
        default=False,
        description="whether its raw traffic is kept, below `$FLEET_HOME/recordings`; see "
        "[recording](recording.md)",
    )
    options: dict[str, Any] = Field(
        default={}, repr=False, description="ccxt options, merged over the catalogue's"
    )
    api_key: Secret = Field(default=None, description="goes to ccxt alone, as the next two do")
    api_secret: Secret = None
    passphrase: Secret = Field(default=None, description="which bitget, okx and others ask for")

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if self.sandbox and self.urls is not None:
            raise ValueError("sandbox and urls exclude each other")
        return self
