"""The examples of configurations that users have, in their words, load; what they mean."""

from datetime import date
from pathlib import Path

import pytest

from shared.config.app import AppConfig
from shared.config.loading import load, read_variables, settings_of
from shared.config.loading import read_environment as environment_of
from tests.configs import MINIMAL, loaded

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
