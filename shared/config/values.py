"""The values of configuration fields: what each type of them may be."""

from datetime import datetime
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from shared.entries import check_entry, is_entry
from shared.errors import ConfigurationError, DataProcessingError
from shared.symbols import parse_symbol
from shared.venues import canonical_venue

#: Most symbols that the registry takes; the list has to fit a control command of 64 KiB.
MAX_SYMBOLS = 2000

_ANY_MOMENT = datetime(2024, 1, 1)  # noqa: DTZ001 - only to have an expression parsed


def _known_venue(name: str) -> str:
    try:
        canonical_venue(name)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return name


def _valid_symbol(text: str) -> str:
    try:
        if not is_entry(text):
            return str(parse_symbol(text))
        check_entry(text)
    except DataProcessingError as error:
        raise ValueError(str(error)) from None
    return text


def _distinct(timeframes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(timeframes)) < len(timeframes):
        raise ValueError("a timeframe stands there twice")
    return timeframes


def _schedule(expression: str) -> str:
    try:
        CronSim(expression, _ANY_MOMENT)
    except CronSimError as error:
        raise ValueError(f"is no cron expression: {error}") from None
    return expression


def _absent(value: Any) -> Any:
    return None if value == "" else value


VenueName = Annotated[str, AfterValidator(_known_venue)]
#: A unified symbol, or an entry that stands for many: `top:50`, `*/USDT:USDT`.
SymbolName = Annotated[str, AfterValidator(_valid_symbol)]
Distinct = AfterValidator(_distinct)
Cron = Annotated[str, Field(max_length=200), AfterValidator(_schedule)]
#: What is empty is not given, as in `${BINANCE_API_KEY:}` and `REDIS_PASSWORD=`.
Text = Annotated[str | None, BeforeValidator(_absent)]
Secret = Annotated[SecretStr | None, BeforeValidator(_absent)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Strategy = Literal[
    "round_robin", "least_latency", "weighted_round_robin", "failover", "least_connections"
]
CacheType = Literal["ticker", "funding_rate", "order_book", "market_data"]
DatabaseKind = Literal["postgresql", "timescaledb", "clickhouse"]
ENVIRONMENTS = ("development", "staging", "production")
#: Other names of them.
_SHORT = {"dev": "development", "stage": "staging", "prod": "production"}


def environment_name(name: Any) -> Any:
    """The whole name where it is a short one."""
    return _SHORT.get(name, name) if isinstance(name, str) else name


EnvironmentName = Annotated[
    Literal["development", "staging", "production"], BeforeValidator(environment_name)
]
