import json
from pathlib import Path
from typing import Any

import pytest

from shared.config import load_config, load_keys, load_settings, read_environment
from shared.errors import ConfigurationError

GOOD = {"exchanges": ["binance", "gateio"], "symbols": ["BTC/USDT:USDT"]}


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_the_examples_in_the_repository_load() -> None:
    root = Path(__file__).parents[2]
    config = load_config(root / "config.example.json")
    assert config.exchanges == ("bitget", "bybit", "binance", "htx", "gateio")
    assert config.collection.retry_policy().delays_s == (1, 2, 4)
    assert load_keys(root / ".env.keys.example")["bitget"].credentials()["password"]


def test_every_wrong_field_is_named_in_one_message(config_path: Path) -> None:
    content = GOOD | {
        "exchanges": ["nowhere"],
        "symbls": [],
        "collection": {"interval_seconds": 1},
        "rabbitmq": {"port": 0, "password": 12345},
    }
    with pytest.raises(ConfigurationError) as raised:
        load_config(written(config_path, content))
    message = str(raised.value)
    fields = ("exchanges.0", "symbls", "collection.interval_seconds", "rabbitmq.port")
    for field in (*fields, "rabbitmq.password"):
        assert field in message
    assert "12345" not in message
    assert "\n" not in message


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"', "{'a': 1}", '{"exchanges": []}'])
def test_what_is_no_configuration_is_one_error(config_path: Path, content: str) -> None:
    with pytest.raises(ConfigurationError):
        load_config(written(config_path, content))


def test_a_missing_configuration_says_what_to_do(config_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.example\.json"):
        load_config(config_path)


def test_one_venue_under_two_names_is_refused(config_path: Path) -> None:
    content = GOOD | {"exchanges": ["gate", "gateio"]}
    with pytest.raises(ConfigurationError, match="same venue"):
        load_config(written(config_path, content))


def test_aliases_keep_their_name_on_the_wire(config_path: Path) -> None:
    config = load_config(written(config_path, GOOD))
    assert config.wire_name("gate") == "gateio"
    assert config.wire_name("htx") is None


def test_venue_settings_are_found_under_any_name(config_path: Path) -> None:
    urls = {"rest": "http://127.0.0.1:8900/gate", "ws": "ws://127.0.0.1:8900/gate"}
    content = GOOD | {"exchange_configs": {"gate": {"urls": urls, "options": {"a": 1}}}}
    venue = load_config(written(config_path, content)).venue("gate")
    assert venue.urls is not None
    assert venue.options == {"a": 1}


def test_the_environment_wins_over_the_file(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_COLLECTOR_RABBITMQ__PORT", "5999")
    assert load_config(written(config_path, GOOD)).rabbitmq.port == 5999


def test_the_broker_address_of_the_environment_wins(config_path: Path) -> None:
    written(config_path, GOOD)
    env = {"FLEET_CONFIG": str(config_path), "AMQP_URL": "amqp://elsewhere/"}
    assert load_settings(read_environment(env)).amqp_url() == "amqp://elsewhere/"
    with pytest.raises(ConfigurationError):
        read_environment({"AMQP_URL": "http://elsewhere/"})
    with pytest.raises(ConfigurationError) as caught:
        read_environment({"AMQP_URL": "amqp://user:s3c/ret@elsewhere/"})
    assert "s3c" not in str(caught.value)


def test_a_password_with_odd_characters_survives_the_url(config_path: Path) -> None:
    content = GOOD | {"rabbitmq": {"user": "a@b", "password": "p:/?#@"}}
    assert "a%40b:p%3A%2F%3F%23%40@" in load_config(written(config_path, content)).rabbitmq.url()


def test_keys_go_by_the_canonical_name_and_stay_secret(tmp_path: Path) -> None:
    path = written(tmp_path / "keys", {"gateio": {"apiKey": "k", "secret": "hidden"}})
    keys = load_keys(path)
    assert keys["gate"].credentials() == {"apiKey": "k", "secret": "hidden"}
    assert "hidden" not in repr(keys)


def test_a_missing_keys_file_is_no_keys(tmp_path: Path) -> None:
    assert load_keys(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    "content", ["{", "[]", {"nowhere": {}}, {"gate": {"key": "x"}}, {"gate": "hidden"}]
)
def test_a_malformed_keys_file_is_one_error_without_the_key(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_keys(written(tmp_path / "keys", content))
    assert "hidden" not in str(raised.value)
