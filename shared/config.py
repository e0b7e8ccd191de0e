"""The configuration: `config.json`, the API keys beside it, and the environment that overrides it.

The only module that reads the environment. `load_config` is called once at the start of a process;
everything else is handed what it needs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    JsonConfigSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.errors import ConfigurationError, DataProcessingError
from shared.symbols import parse_symbol
from shared.timeframes import Timeframe
from shared.venues import canonical_venue

#: Most symbols that the registry takes; the list has to fit a control command of 64 KiB.
MAX_SYMBOLS = 2000


def _known_venue(name: str) -> str:
    try:
        canonical_venue(name)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return name


def _valid_symbol(text: str) -> str:
    try:
        return str(parse_symbol(text))
    except DataProcessingError as error:
        raise ValueError(str(error)) from None


def _distinct(timeframes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(timeframes)) < len(timeframes):
        raise ValueError("a timeframe stands there twice")
    return timeframes


VenueName = Annotated[str, AfterValidator(_known_venue)]
SymbolName = Annotated[str, AfterValidator(_valid_symbol)]


class Section(BaseModel):
    """A part of the configuration: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RabbitMQ(Section):
    """Where the broker is. `AMQP_URL` in the environment wins over host, port, user, password."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=5672, ge=1, le=65535)
    user: str = "guest"
    password: SecretStr = SecretStr("guest")
    vhost: str = "/"
    exchange: str = Field(default="futures_data", min_length=1, max_length=127)
    topology: Literal["declare", "assert"] = "declare"  # assert: nobody configures shared names
    batches: bool = True  # whether facts also travel as rows on futures_batches
    spool_mb: int = Field(default=1024, ge=1)  # disk that waits for a broker, a worker

    def url(self) -> str:
        user, password = quote(self.user, safe=""), quote(self.password.get_secret_value(), safe="")
        return f"amqp://{user}:{password}@{self.host}:{self.port}/{quote(self.vhost, safe='')}"


class MaxAge(Section):
    """How old a part of FuturesData may be, in seconds since it was received.

    A ticker or book beyond it skips the symbol for that cycle; the others become null.
    """

    ticker_s: float = Field(default=30, gt=0)
    orderbook_s: float = Field(default=30, gt=0)
    funding_s: float = Field(default=900, gt=0)
    mark_price_s: float = Field(default=120, gt=0)
    volume_s: float = Field(default=300, gt=0)


class Collection(Section):
    """The pace of collecting and how failures of a cycle are retried."""

    interval_seconds: float = Field(default=5, ge=5, le=3600)
    retry_attempts: int = Field(default=3, ge=0, le=10)
    retry_delays: tuple[Annotated[float, Field(ge=0, le=300)], ...] = (1, 2, 4)
    max_age: MaxAge = MaxAge()
    timeframes: Annotated[tuple[Timeframe, ...], AfterValidator(_distinct)] = ("1m",)  # of candles
    #: Notional in quote currency from which a trade is flagged as large, by symbol; "default" for
    #: all others.
    large_trade: dict[str, Annotated[float, Field(gt=0)]] = {"default": 100_000.0}

    def delays_s(self) -> tuple[float, ...]:
        """The wait before each retry; the last delay repeats where there are more attempts."""
        delays = self.retry_delays or (0.0,)
        return tuple(delays[min(i, len(delays) - 1)] for i in range(self.retry_attempts))


class Logging(Section):
    """Logs go to stdout, and to `file` as well where one is named; `{program}` in it is replaced
    by the name of the process, since one file shared by processes breaks when it rotates."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: str | None = None


class Control(Section):
    """Who may command."""

    #: Commands without the broker's `user_id` are refused; with it, history says who.
    require_user: bool = False
    ranking_interval_s: float = Field(default=3600, ge=1)  # how often `top:N` is ranked anew


class VenueUrls(Section):
    """Base addresses that replace the venue's own: a proxy, a simulator."""

    rest: str = Field(pattern=r"^https?://[^\s/]+")
    ws: str = Field(pattern=r"^wss?://[^\s/]+")


class Recording(Section):
    """What recordings of raw traffic may take of the disk."""

    max_gb: float = Field(default=10, gt=0)  # a venue, in 10^9 bytes; then the oldest files go


class VenueConfig(Section):
    """What one venue needs beyond the catalogue."""

    urls: VenueUrls | None = None
    record: bool = False  # whether its raw traffic is kept, below {home}/recordings
    options: dict[str, Any] = {}  # merged over the ccxt options of the catalogue


class VenueKeys(BaseModel):
    """API keys of one venue; they go to ccxt and nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apiKey: SecretStr | None = None  # ccxt's spelling, and the key file's
    secret: SecretStr | None = None
    password: SecretStr | None = None  # the passphrase that bitget and others ask for

    def credentials(self) -> dict[str, str]:
        fields = {"apiKey": self.apiKey, "secret": self.secret, "password": self.password}
        return {name: value.get_secret_value() for name, value in fields.items() if value}


class Config(BaseSettings):
    """The whole configuration. Environment: `FLEET_` + field, `__` between levels."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="FLEET_", env_nested_delimiter="__"
    )

    rabbitmq: RabbitMQ = RabbitMQ()
    exchanges: tuple[VenueName, ...] = Field(min_length=1)
    symbols: tuple[SymbolName, ...] = Field(default=(), max_length=MAX_SYMBOLS)
    collection: Collection = Collection()
    logging: Logging = Logging()
    recording: Recording = Recording()
    control: Control = Control()
    api_keys_file: str = ".env.keys"
    exchange_configs: dict[VenueName, VenueConfig] = {}

    def wire_name(self, venue: str) -> str | None:
        """The name of a canonical venue on the wire, or None where the config leaves it out."""
        return next((name for name in self.exchanges if canonical_venue(name) == venue), None)

    def venue(self, venue: str) -> VenueConfig:
        for name, settings in self.exchange_configs.items():
            if canonical_venue(name) == venue:
                return settings
        return VenueConfig()


class Environment(BaseModel):
    """What processes take from the environment besides overrides of `Config`."""

    model_config = ConfigDict(frozen=True)

    amqp_url: str | None  # AMQP_URL
    config_path: Path  # FLEET_CONFIG, default config.json
    home: Path  # FLEET_HOME, default .fleet: everything that the fleet writes at run time
    host_id: str  # FLEET_HOST_ID, default the machine's name
    egress: str  # FLEET_EGRESS, default host_id: hosts behind one address name the same
    supervisor_url: str | None = None  # SUPERVISOR_SERVER_URL, which supervisord sets
    rabbitmq_home: Path | None = None  # RABBITMQ_HOME: the server to run a private broker from


class Settings(BaseModel):
    """Config, environment and keys together: what a process is started with."""

    model_config = ConfigDict(frozen=True)

    config: Config
    environment: Environment
    keys: dict[str, VenueKeys]  # by canonical venue

    def amqp_url(self) -> str:
        return self.environment.amqp_url or self.config.rabbitmq.url()

    def state_dir(self, program: str) -> Path:
        return self.environment.home / "state" / program


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    env = os.environ if environ is None else environ
    amqp_url = env.get("AMQP_URL") or None
    if amqp_url is not None and not _is_amqp(amqp_url):
        raise ConfigurationError(
            "AMQP_URL is not an amqp:// or amqps:// address; a password's own / @ : are written"
            " %2F %40 %3A"
        )
    host_id = env.get("FLEET_HOST_ID") or os.uname().nodename
    return Environment(
        amqp_url=amqp_url,
        config_path=Path(env.get("FLEET_CONFIG") or "config.json"),
        home=Path(env.get("FLEET_HOME") or ".fleet"),
        host_id=host_id,
        egress=env.get("FLEET_EGRESS") or host_id,
        supervisor_url=env.get("SUPERVISOR_SERVER_URL") or None,
        rabbitmq_home=Path(env["RABBITMQ_HOME"]) if env.get("RABBITMQ_HOME") else None,
    )


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def load_settings(environment: Environment | None = None) -> Settings:
    """Everything a process is configured by.

    Raises ConfigurationError with one line that names every wrong field.
    """
    environment = environment or read_environment()
    config = load_config(environment.config_path)
    keys_file = environment.config_path.parent / config.api_keys_file
    return Settings(config=config, environment=environment, keys=load_keys(keys_file))


def load_config(path: Path) -> Config:
    """The configuration in `path`, overridden by `FLEET_…`. Raises ConfigurationError."""
    _parsed_json(path, f"copy config.example.json to {path}")

    class FromFile(Config):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, JsonConfigSettingsSource(settings_cls, json_file=path)

    try:
        config = FromFile()
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_wrong_fields(error)}") from None
    _reject_twins(config, path)
    return config


def load_keys(path: Path) -> dict[str, VenueKeys]:
    """API keys by canonical venue; a missing file is no keys. Raises ConfigurationError."""
    if not path.exists():
        return {}
    body = _parsed_json(path, "")
    keys = {}
    for name, fields in body.items():
        try:
            keys[canonical_venue(name)] = VenueKeys.model_validate(fields)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {name}: {_wrong_fields(error)}") from None
    return keys


def _parsed_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        body = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(f"{path} does not exist; {hint}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can not be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ConfigurationError(f"{path} holds no JSON object")
    return body


def _wrong_fields(error: ValidationError) -> str:
    """Every wrong field in one line; values are left out, one might be a password."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'it'}: {_reason(item)}" for item in error.errors()
    )


def _reason(item: Any) -> str:
    reasons = {"extra_forbidden": "unknown field", "missing": "is missing"}
    return reasons.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")


def _reject_twins(config: Config, path: Path) -> None:
    venues = [canonical_venue(name) for name in config.exchanges]
    twins = {name for name in config.exchanges if venues.count(canonical_venue(name)) > 1}
    if twins:
        raise ConfigurationError(f"{path}: exchanges: {sorted(twins)} are the same venue")
