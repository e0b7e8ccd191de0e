"""The whole configuration, and what a process is started with besides."""

from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.config.keys import VenueKeys
from shared.config.rabbitmq import RabbitMQ
from shared.config.sections import (
    Cache,
    Collection,
    Control,
    Database,
    ExchangeManager,
    Health,
    Logging,
    Performance,
    RateLimiting,
    Recording,
    Redis,
    VenueConfig,
)
from shared.config.values import MAX_SYMBOLS, EnvironmentName, SymbolName, VenueName
from shared.venues import canonical_venue


def _own_version() -> str:
    try:
        return version("futures-fleet")
    except PackageNotFoundError:
        return "unknown"


class AppConfig(BaseSettings):
    """Everything that users decide. Made by `shared.config.loading` of files and variables."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    environment: EnvironmentName = Field(
        default="development", description="names the profile beside the base configuration"
    )
    debug: bool = Field(
        default=False, description="everything is logged, errors with their tracebacks"
    )
    app_name: str = Field(
        default="futures-fleet",
        min_length=1,
        max_length=100,
        description="what the fleet calls itself on the broker's connections",
    )
    version: str = Field(
        default_factory=_own_version,
        min_length=1,
        max_length=100,
        description="likewise; by default the package's",
    )
    exchanges: tuple[VenueName, ...] = Field(
        min_length=1,
        description="venues, by the names that they shall have on the wire: `binance`, `bybit`, "
        "`bitget`, `htx` (or `huobi`), `gate` (or `gateio`), `okx`, "
        "`krakenfutures` (or `kraken`), `coinbaseinternational` (or `coinbase`)",
    )
    symbols: tuple[SymbolName, ...] = Field(
        default=(),
        max_length=MAX_SYMBOLS,
        description="what the registry starts with, entries like `top:50` among them; later "
        "changes of this list are applied as a difference",
    )
    api_keys_file: str = Field(
        default=".env.keys",
        min_length=1,
        description="API keys, beside the configuration; it may be absent",
    )
    rabbitmq: RabbitMQ = RabbitMQ()
    redis: Redis = Redis()
    database: Database = Database()
    collection: Collection = Collection()
    cache: Cache = Cache()
    performance: Performance = Performance()
    exchange_manager: ExchangeManager = ExchangeManager()
    rate_limiting: RateLimiting = RateLimiting()
    health: Health = Health()
    control: Control = Control()
    logging: Logging = Logging()
    recording: Recording = Recording()
    exchange_configs: dict[VenueName, VenueConfig] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables, `.env` and secrets have been merged by `shared.config.loading`, which knows
        their other names and units."""
        return (init_settings,)

    @model_validator(mode="after")
    def _names_each_venue_once(self) -> Self:
        venues = [canonical_venue(name) for name in self.exchanges]
        twins = [name for name in self.exchanges if venues.count(canonical_venue(name)) > 1]
        if twins:
            raise ValueError(f"exchanges: {sorted(twins)} are the same venue")
        if not self.wire_names:
            raise ValueError("exchanges: none of them is enabled")
        return self

    @model_validator(mode="after")
    def _has_the_redis_that_it_uses(self) -> Self:
        if self.rate_limiting.use_redis and self.redis.host is None:
            raise ValueError("rate_limiting.use_redis: needs redis.host")
        return self

    @cached_property
    def wire_names(self) -> dict[str, str]:
        """By canonical venue its name on the wire, of those that are enabled."""
        named = {canonical_venue(name): name for name in self.exchanges}
        return {venue: name for venue, name in named.items() if self.venue(venue).enabled}

    @property
    def level(self) -> str:
        """Of the log."""
        return "DEBUG" if self.debug else self.logging.level

    def wire_name(self, venue: str) -> str | None:
        """The name of a canonical venue on the wire, or None where the config leaves it out."""
        return self.wire_names.get(venue)

    def venue(self, venue: str) -> VenueConfig:
        """Of a canonical venue, as `exchange_configs` is by then."""
        return self.exchange_configs.get(venue, VenueConfig())

    def get_exchange_config(self, name: str) -> VenueConfig:
        """The same by any of its names. Raises ConfigurationError for an unknown one."""
        return self.venue(canonical_venue(name))


class Environment(BaseModel):
    """What processes take from the environment besides fields of `AppConfig`."""

    model_config = ConfigDict(frozen=True)

    amqp_url: str | None  # AMQP_URL
    config_path: Path  # FLEET_CONFIG or CONFIG_PATH, default config.json
    home: Path  # FLEET_HOME, default .fleet: everything that the fleet writes at run time
    host_id: str  # FLEET_HOST_ID, default the machine's name
    egress: str  # FLEET_EGRESS, default host_id: hosts behind one address name the same
    supervisor_url: str | None = None  # SUPERVISOR_SERVER_URL, which supervisord sets
    rabbitmq_home: Path | None = None  # RABBITMQ_HOME: the server to run a private broker from


class Settings(BaseModel):
    """Config, environment and keys together: what a process is started with."""

    model_config = ConfigDict(frozen=True)

    config: AppConfig
    environment: Environment
    keys: dict[str, VenueKeys]  # by canonical venue

    def amqp_url(self) -> str:
        return self.environment.amqp_url or self.config.rabbitmq.url()

    def state_dir(self, program: str) -> Path:
        return self.environment.home / "state" / program
