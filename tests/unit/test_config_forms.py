"""Every form in which a configuration may be written, and what it means by canonical names."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from shared.config.app import AppConfig
from shared.config.loading import load, read_variables
from shared.config.names import VARIABLES, variable_trees
from shared.config.values import CacheType
from shared.errors import ConfigurationError
from tests.configs import MINIMAL, loaded


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
