"""Every form in which a configuration may be written, and what it means by canonical names."""

import json
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest

from shared.config.app import AppConfig
from shared.config.loading import load, read_variables, settings_of
from shared.config.loading import read_environment as environment_of
from shared.config.names import VARIABLES, variable_trees
from shared.config.values import CacheType
from shared.errors import ConfigurationError

PRODUCTION_YAML = """
environment: production
debug: false
app_name: "Crypto Futures Collector"
version: "5.0.0"

exchanges:
  - binance
  - bybit
  - bitget
  - htx
  - gateio

ticker_interval: 15.0
funding_rate_interval: 300.0

cache:
  enabled: true
  default_ttl: 300.0
  max_size: 10000

performance:
  max_concurrent_requests: 50
  connection_pool_size: 20
  worker_threads: 8

rabbitmq:
  host: "${RABBITMQ_HOST:localhost}"
  port: 5672
  user: "${RABBITMQ_USER}"
  password: "${RABBITMQ_PASSWORD}"

database:
  enabled: true
  host: "${DATABASE_HOST:localhost}"
  port: 8123
  database: "${DATABASE_NAME:crypto_data}"

logging:
  level: WARNING
  console: true
  file: true
  file_path: "./logs/collector.log"
"""

MANAGER_YAML = """
# Exchange configurations
exchanges:
  binance:
    enabled: true
    api_key: "${BINANCE_API_KEY:}"
    api_secret: "${BINANCE_API_SECRET:}"
    rate_limit: 1200
    timeout: 10000
    weight: 100

# Load balancing
exchange_manager:
  connection_strategy: "weighted_round_robin"
  connection_pool:
    max_size: 50
    idle_timeout: 300

# Rate limiting
rate_limiting:
  use_redis: true
  default_limit: 100
  priority_multiplier:
    high: 0.5
    normal: 1.0
    low: 2.0
"""

CORE_JSON = """
{
  "rabbitmq": {
    "host": "192.168.192.42",
    "port": 5672,
    "user": "rmuser",
    "password": "rmpassword",
    "exchange": "futures_data"
  },
  "exchanges": ["bitget", "bybit", "binance", "htx", "gateio"],
  "symbols": ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"],
  "collection": {"interval_seconds": 5, "retry_attempts": 3, "retry_delays": [1, 2, 4]},
  "api_keys_file": ".env.keys",
  "logging": {"level": "DEBUG", "file": "app.log"}
}
"""

#: As in the `.env` of those who collect by the variables' own names.
AGENT_ENV = """
# Database Configuration
POSTGRES_HOST=localhost
POSTGRES_PORT=5432
POSTGRES_USER=postgres
POSTGRES_PASSWORD=password
POSTGRES_DB=crypto_trading

TIMESCALEDB_HOST=localhost
TIMESCALEDB_PORT=5432
TIMESCALEDB_USER=postgres
TIMESCALEDB_PASSWORD=password
TIMESCALEDB_DB=timescaledb_crypto

# Redis Configuration
REDIS_HOST=localhost
REDIS_PORT=6379
REDIS_PASSWORD=
REDIS_DB=0

# Data Collection Settings
DATA_COLLECTION_INTERVAL=1000
OHLCV_TIMEFRAMES=["1m","5m","15m","30m","1h","4h","1d"]
ORDER_BOOK_DEPTH=20
TRADE_LIMIT=1000

# Quality Control
DATA_QUALITY_THRESHOLD=0.999
MAX_RETRIES=3
RETRY_DELAY=1000

# Performance Settings
MAX_CONCURRENT_CONNECTIONS=1000
REQUEST_TIMEOUT=100
CACHE_TTL=300
"""

COLLECTORS_ENV = """
# Data Collection
COLLECTION_START_DATE=2024-01-01
TOP_N_CRYPTOS=50
COLLECTION_SCHEDULE=0 */6 * * *  # Cron expression

# Binance API (optional for public endpoints)
BINANCE_API_KEY=your_key
BINANCE_API_SECRET=your_secret
"""

PREFIXED_ENV = """
CRYPTO_COLLECTOR_RABBITMQ__HOST=prod-rabbitmq.company.com
CRYPTO_COLLECTOR_RABBITMQ__USER=crypto_collector
CRYPTO_COLLECTOR_RABBITMQ__PASSWORD=secure_password_123

CRYPTO_COLLECTOR_DATABASE__HOST=prod-clickhouse.company.com
CRYPTO_COLLECTOR_DATABASE__NAME=crypto_production

CRYPTO_COLLECTOR_EXCHANGE_CONFIGS__BINANCE__API_KEY=your_binance_api_key
CRYPTO_COLLECTOR_EXCHANGE_CONFIGS__BINANCE__API_SECRET=your_binance_api_secret

CRYPTO_COLLECTOR_TICKER_INTERVAL=10.0
CRYPTO_COLLECTOR_PERFORMANCE__MAX_CONCURRENT_REQUESTS=100
"""

MANAGER_ENV = """
BINANCE_API_KEY=your_api_key
BINANCE_API_SECRET=your_api_secret
OKX_API_KEY=your_api_key
OKX_API_SECRET=your_api_secret
OKX_PASSPHRASE=your_passphrase

REDIS_HOST=localhost
REDIS_PORT=6379
TIMESCALEDB_HOST=localhost
TIMESCALEDB_PORT=5432

CONFIG_PATH=configs/exchange_manager_config.yaml
ENVIRONMENT=production
"""

MINIMAL = '{"exchanges": ["binance"]}'


def loaded(directory: Path, text: str, name: str = "config.json", **variables: str) -> AppConfig:
    path = directory / name
    path.write_text(text)
    return load(path, variables=variables).config


def from_env(directory: Path, env: str, text: str = MINIMAL) -> AppConfig:
    (directory / ".env").write_text(env)
    (directory / "config.json").write_text(text)
    variables = read_variables({"FLEET_ENV_FILE": str(directory / ".env")})
    return load(directory / "config.json", variables=variables).config


def test_the_production_example(tmp_path: Path) -> None:
    known = {"RABBITMQ_USER": "me", "RABBITMQ_PASSWORD": "0123"}
    config = loaded(tmp_path, PRODUCTION_YAML, "base_config.yaml", **known)
    assert config.environment == "production"
    assert (config.app_name, config.version) == ("Crypto Futures Collector", "5.0.0")
    assert list(config.wire_names.values()) == ["binance", "bybit", "bitget", "htx", "gateio"]
    assert config.collection.ticker_interval_s == 15
    assert config.collection.funding_rate_interval_s == 300
    assert (config.cache.default_ttl_s, config.cache.max_size) == (300, 10_000)
    performance = config.performance
    assert (performance.max_concurrent_requests, performance.worker_threads) == (50, 8)
    assert config.rabbitmq.url() == "amqp://me:0123@localhost:5672/%2F"
    assert (config.database.spoken, config.database.database) == ("clickhouse", "crypto_data")
    assert (config.level, config.logging.file_path) == ("WARNING", "./logs/collector.log")


def test_the_example_of_an_exchange_manager(tmp_path: Path) -> None:
    known = {"BINANCE_API_KEY": "k", "REDIS_HOST": "localhost"}
    config = loaded(tmp_path, MANAGER_YAML, "manager.yaml", **known)
    binance = config.get_exchange_config("binance")
    assert (binance.timeout_s, binance.rate_limit_per_minute, binance.weight) == (10, 1200, 100)
    assert binance.api_key and binance.api_key.get_secret_value() == "k"
    assert binance.api_secret is None
    assert config.exchange_manager.connection_strategy == "weighted_round_robin"
    assert config.performance.connection_pool_size == 50
    assert config.performance.connection_idle_s == 300
    assert config.rate_limiting.use_redis is True
    assert config.rate_limiting.default_limit_per_minute == 100
    assert config.rate_limiting.priority_multiplier.low == 2


def test_the_core_example(tmp_path: Path) -> None:
    config = loaded(tmp_path, CORE_JSON)
    assert config.rabbitmq.host == "192.168.192.42"
    assert config.wire_name("gate") == "gateio"
    assert config.collection.retry_policy().delays_s == (1, 2, 4)
    assert (config.level, config.logging.file_path) == ("DEBUG", "app.log")


def test_the_variables_of_an_agent(tmp_path: Path) -> None:
    config = from_env(tmp_path, AGENT_ENV)
    database = config.database
    assert (database.enabled, database.kind) == (True, "timescaledb")
    assert (database.host, database.database) == ("localhost", "timescaledb_crypto")
    assert (config.redis.host, config.redis.password, config.redis.db) == ("localhost", None, 0)
    collection = config.collection
    assert collection.ticker_interval_s == 1
    assert collection.timeframes == ("1m", "5m", "15m", "30m", "1h", "4h", "1d")
    assert (collection.orderbook_depth, collection.trade_limit) == (20, 1000)
    assert (collection.retry_attempts, collection.retry_delays) == (3, (1, 2, 4))
    assert config.health.quality_threshold == 0.999
    assert config.performance.connection_pool_size == 1000
    assert config.performance.request_timeout_s == 100
    assert config.cache.default_ttl_s == 300


def test_the_variables_of_collectors(tmp_path: Path) -> None:
    config = from_env(tmp_path, COLLECTORS_ENV)
    assert config.collection.start_date == date(2024, 1, 1)
    assert config.symbols == ("top:50",)
    assert config.collection.schedule == "0 */6 * * *"
    key = config.venue("binance").api_key
    assert key is not None and key.get_secret_value() == "your_key"


def test_the_prefixed_variables(tmp_path: Path) -> None:
    config = from_env(tmp_path, PREFIXED_ENV)
    assert config.rabbitmq.host == "prod-rabbitmq.company.com"
    assert config.rabbitmq.password.get_secret_value() == "secure_password_123"
    assert config.database.host == "prod-clickhouse.company.com"
    assert config.database.database == "crypto_production"
    secret = config.venue("binance").api_secret
    assert secret is not None and secret.get_secret_value() == "your_binance_api_secret"
    assert config.collection.ticker_interval_s == 10
    assert config.performance.max_concurrent_requests == 100


def test_the_variables_of_an_exchange_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "exchange_manager_config.yaml").write_text(MANAGER_YAML)
    (tmp_path / ".env").write_text(MANAGER_ENV)
    environment = environment_of(read_variables({}))
    assert environment.config_path == Path("configs/exchange_manager_config.yaml")
    config = load(environment.config_path, variables=read_variables({})).config
    assert config.environment == "production"
    assert (config.redis.host, config.database.kind) == ("localhost", "timescaledb")
    keys = settings_of(config, environment).keys["okx"].credentials()
    assert keys["password"] == "your_passphrase"


@pytest.mark.parametrize("suffix", ["json", "yaml", "toml"])
def test_the_same_in_three_languages(tmp_path: Path, suffix: str) -> None:
    texts = {
        "json": '{"exchanges": ["htx"], "collection": {"interval_seconds": 7}}',
        "yaml": "exchanges: [htx]\ncollection: {interval_seconds: 7}\n",
        "toml": 'exchanges = ["htx"]\n[collection]\ninterval_seconds = 7\n',
    }
    config = loaded(tmp_path, texts[suffix], f"config.{suffix}")
    assert (config.exchanges, config.collection.interval_seconds) == (("htx",), 7)


def test_a_profile_is_laid_over_the_base(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("exchanges: [htx]\nrabbitmq: {host: a, port: 1}\n")
    (tmp_path / "production.toml").write_text('[rabbitmq]\nhost = "b"\n')
    assert load(tmp_path, variables={}).config.rabbitmq.host == "a"
    for made in (
        load(tmp_path, "production", variables={}),
        load(tmp_path, variables={"ENVIRONMENT": "production"}),
        load(tmp_path / "base.yaml", variables={"CRYPTO_COLLECTOR_ENVIRONMENT": "production"}),
    ):
        assert made.config.environment == "production"
        assert (made.config.rabbitmq.host, made.config.rabbitmq.port) == ("b", 1)
        assert made.origins["rabbitmq.host"] == str(tmp_path / "production.toml")
        assert made.origins["rabbitmq.port"] == str(tmp_path / "base.yaml")


def test_an_entry_of_a_map_leaves_the_other_defaults(tmp_path: Path) -> None:
    types = {"ticker": {"ttl_s": 2}, "order_book": {"max_size": 7}, "funding_rate": {"ttl_s": None}}
    large = {"BTC/USDT:USDT": 1e6}
    text = {"exchanges": ["htx"], "cache": {"types": types}, "collection": {"large_trade": large}}
    config = loaded(tmp_path, json.dumps(text))
    limits = {name: config.cache.limits(name) for name in get_args(CacheType)}
    assert limits == {
        "ticker": (2, 10_000),
        "order_book": (0.5, 7),
        "funding_rate": (300, 10_000),
        "market_data": (300, 10_000),
    }
    assert config.collection.large_trade == {"default": 100_000, "BTC/USDT:USDT": 1e6}
    assert loaded(tmp_path, MINIMAL).cache.limits("order_book") == (0.5, 10_000)


def test_a_shared_budget_needs_a_redis(tmp_path: Path) -> None:
    text = '{"exchanges": ["htx"], "rate_limiting": {"use_redis": true}}'
    with pytest.raises(ConfigurationError, match=r"rate_limiting\.use_redis: needs redis\.host"):
        loaded(tmp_path, text)
    assert loaded(tmp_path, text, REDIS_HOST="r").rate_limiting.use_redis


def test_a_wrong_field_is_of_the_file_that_says_it(tmp_path: Path) -> None:
    base, profile = tmp_path / "base.yaml", tmp_path / "production.yaml"
    base.write_text("exchanges: [htx]\n")
    profile.write_text("exchanges: [htx, htx2]\nrabbitmq: {port: 0}\nspeed: {a: 1}\n")
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, "production", variables={})
    assert str(raised.value).count(f" (by {profile})") == 3
    assert str(base) not in str(raised.value)
    base.write_text("exchanges: [htx]\nredis: {port: 0}\n")
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, variables={"CRYPTO_COLLECTOR_RABBITMQ__PORT": "x"})
    assert str(raised.value).startswith(f"{base}: ")
    assert str(raised.value).count(" (by ") == 1
    with pytest.raises(ConfigurationError, match=r"^environment: .* \(by the caller\)"):
        load(tmp_path, "produce", variables={"REDIS_PORT": "1"})


@pytest.mark.parametrize("short", ["dev", "prod", "stage"])
def test_environments_have_short_names(tmp_path: Path, short: str) -> None:
    whole = {"dev": "development", "prod": "production", "stage": "staging"}[short]
    (tmp_path / "base.yaml").write_text("exchanges: [htx]\n")
    (tmp_path / f"{whole}.yaml").write_text("debug: true\n")
    for made in (load(tmp_path, short, {}), load(tmp_path, variables={"ENVIRONMENT": short})):
        assert (made.config.environment, made.config.debug) == (whole, True)


def test_a_profile_beside_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "config.staging.json").write_text('{"rabbitmq": {"host": "s"}}')
    assert loaded(tmp_path, MINIMAL, ENVIRONMENT="staging").rabbitmq.host == "s"


def test_who_wins(tmp_path: Path) -> None:
    """The file, the plain variable, the prefixed one, each over the one before."""
    text = '{"exchanges": ["htx"], "redis": {"port": 1, "db": 1, "host": "file"}}'
    config = loaded(
        tmp_path,
        text,
        REDIS_PORT="2",
        REDIS_DB="2",
        CRYPTO_COLLECTOR_REDIS__DB="3",
    )
    assert (config.redis.host, config.redis.port, config.redis.db) == ("file", 2, 3)


def test_the_process_wins_over_dotenv_and_dotenv_over_secrets(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("redis_host", "redis_password", "redis_port"):
        (secrets / name).write_text("7\n")
    (tmp_path / ".env").write_text(f"REDIS_HOST=d\nREDIS_PORT=8\nFLEET_SECRETS_DIR={secrets}\n")
    own = {"FLEET_ENV_FILE": str(tmp_path / ".env"), "REDIS_HOST": "p"}
    variables = read_variables(own)
    names = ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")
    assert [variables[name] for name in names] == ["p", "8", "7"]


def test_venues_of_a_map_come_to_those_of_the_list_and_can_be_switched_off(tmp_path: Path) -> None:
    text = json.dumps({"exchanges": {"gateio": {"weight": 7}, "htx": {"enabled": False}}})
    config = loaded(
        tmp_path,
        text,
        CRYPTO_COLLECTOR_EXCHANGES__OKX__ENABLED="true",
        CRYPTO_COLLECTOR_EXCHANGE_CONFIGS__GATEIO__TIMEOUT="30",
    )
    assert config.wire_names == {"gate": "gateio", "okx": "okx"}
    assert (config.venue("gate").weight, config.venue("gate").timeout_s) == (7, 30)


def test_lists_in_variables_are_json(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL, CRYPTO_COLLECTOR_EXCHANGES='["okx", "htx"]')
    assert config.exchanges == ("okx", "htx")


def test_numbers_of_a_password_stay_text(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL, CRYPTO_COLLECTOR_RABBITMQ__PASSWORD="01e5")
    assert config.rabbitmq.password.get_secret_value() == "01e5"


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"file": True}, "logs/{program}.log"),
        ({"file": True, "file_path": "x.log"}, "x.log"),
        ({"file": False, "file_path": "x.log"}, None),
        ({"file": "x.log"}, "x.log"),
        ({"file_path": "x.log"}, "x.log"),
        ({"file": None}, None),
    ],
)
def test_a_log_file_is_a_flag_or_a_path(tmp_path: Path, said: Any, path: str | None) -> None:
    text = json.dumps({"exchanges": ["htx"], "logging": said})
    assert loaded(tmp_path, text).logging.file_path == path


def test_places_of_variables(tmp_path: Path) -> None:
    text = (
        '{"exchanges": ["htx"], "rabbitmq": {"host": "${H:a:b}", "user": "$${x}", "port": "${P}"}}'
    )
    rabbitmq = loaded(tmp_path, text, P="7").rabbitmq
    assert (rabbitmq.host, rabbitmq.user, rabbitmq.port) == ("a:b", "${x}", 7)
    with pytest.raises(ConfigurationError, match=r"rabbitmq\.port: the variable P is not set"):
        loaded(tmp_path, text)
    with pytest.raises(ConfigurationError, match="names no variable"):
        loaded(tmp_path, text.replace("${P}", "${a b}"))


@pytest.mark.parametrize(
    ("text", "variables", "told"),
    [
        ('{"exchanges": ["htx"], "ticker_interval": 1, "collection": {"ticker_interval_s": 2}}', {}, "twice"),
        ('{"exchanges": {"htx": 5}}', {}, "exchanges"),
        ('{"exchanges": ["htx"], "_env_file": "/etc/passwd"}', {}, "_env_file: unknown field"),
        ('{"exchanges": {"htx": {"speed": 5}}}', {}, "speed: unknown field"),
        ('{"exchanges": {"htx": {"enabled": false}}}', {}, "none of them is enabled"),
        ('{"exchanges": ["htx"], "exchange_configs": {"htx": {"name": "okx"}}}', {}, "another exchange"),
        ('{"exchanges": ["htx"], "exchange_configs": {"htx": {"name": "huobi"}}}', {}, ""),
        ('{"exchanges": ["htx"], "collection": {"schedule": "0 */6 * *"}}', {}, "cron"),
        ('{"exchanges": ["htx"], "collection": {"funding_rate_interval_s": 3600}}', {}, "max_age"),
        (MINIMAL, {"CRYPTO_COLLECTOR_RABBIT__HOST": "x"}, "rabbit: unknown field"),
        (MINIMAL, {"CRYPTO_COLLECTOR_RABBITMQ__PORT": "x"}, "by CRYPTO_COLLECTOR_RABBITMQ__PORT"),
        (MINIMAL, {"CRYPTO_COLLECTOR_RABBITMQ": "x"}, "rabbitmq"),
        (MINIMAL, {"CRYPTO_COLLECTOR_EXCHANGES": "[1"}, "CRYPTO_COLLECTOR_EXCHANGES: can not be read"),
        (MINIMAL, {"REDIS_PORT": "x"}, "by REDIS_PORT"),
        (MINIMAL, {"RETRY_DELAY": "x"}, "RETRY_DELAY: can not be read"),
        (MINIMAL, {"ENVIRONMENT": "prod/../uction"}, "environment"),
        (MINIMAL, {"FLEET_LOGGING__LEVEL": "DEBUG"}, "CRYPTO_COLLECTOR_LOGGING__LEVEL"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(
    tmp_path: Path, text: str, variables: dict[str, str], told: str
) -> None:
    if not told:
        loaded(tmp_path, text, **variables)
        return
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text, **variables)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: &a {b: *a}", "1: 2", "a: !!python/object:os.system {}", "\t", "a: [", "- a"]
)  # fmt: skip
def test_yaml_that_is_no_configuration(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, text, "config.yaml")
    assert "\n" not in str(raised.value)


def test_yaml_of_billions_of_values_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ConfigurationError):
        loaded(tmp_path, "\n".join(lines), "config.yaml")


def test_two_bases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text(MINIMAL)
    (tmp_path / "base.toml").write_text("")
    with pytest.raises(ConfigurationError, match="both there"):
        load(tmp_path, variables={})


def test_each_variable_is_of_a_field_that_exists() -> None:
    """Its default is shown in the documentation: a name that is wrong would be found there first."""
    samples = {"ENVIRONMENT": "production", "COLLECTION_START_DATE": "2024-01-01"}
    samples |= {"COLLECTION_SCHEDULE": "0 * * * *", "OHLCV_TIMEFRAMES": '["1m"]'}
    samples |= {"DATA_COLLECTION_INTERVAL": "1000", "MAX_CONCURRENT_CONNECTIONS": "1000"}
    for row in VARIABLES:
        name = row.name.replace("{EXCHANGE}", "OKX")
        for _, tree in variable_trees({name: samples.get(name, "1")}):
            AppConfig.model_validate({"exchanges": ["okx"]} | tree)
