"""Files as people break them: each is one error in one line, or a configuration that is whole."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.config.loading import load, read_environment, settings_of
from shared.config.manager import ConfigManager
from shared.errors import ConfigurationError
from tests.unit.test_config_examples import CORE_JSON, MANAGER_YAML, PRODUCTION_YAML

VARIABLES = {"RABBITMQ_USER": "u", "RABBITMQ_PASSWORD": "p", "REDIS_HOST": "r"}
PRODUCTION: dict[str, Any] = yaml.safe_load(PRODUCTION_YAML)
CORE: dict[str, Any] = json.loads(CORE_JSON)
MANAGER: dict[str, Any] = yaml.safe_load(MANAGER_YAML)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["${", "${X}", "${X:y}", "$${X}", "top:0", "top:5", "*", "huobi", "1", "-1"]),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A good file with some of its values replaced, dropped or added; or with its text cut."""
    body = json.loads(json.dumps(draw(st.sampled_from([PRODUCTION, CORE, MANAGER]))))
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, body)
    language = draw(st.sampled_from(["json", "yaml"]))
    text = json.dumps(body) if language == "json" else yaml.safe_dump(body, allow_unicode=True)
    if draw(st.integers(0, 4)) == 0:
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(st.text(max_size=3)) + text[start + draw(st.integers(0, 5)) :]
    return language, text


def _mutate(draw: st.DrawFn, body: dict[str, Any]) -> None:
    place: Any = body
    while True:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            return
        name = draw(st.sampled_from(names))
        below = place[name]
        if isinstance(below, dict | list) and below and draw(st.booleans()):
            place = below
            continue
        match draw(st.sampled_from(["replace", "drop", "add", "nest"])):
            case "replace":
                place[name] = draw(VALUES)
            case "drop":
                del place[name]
            case "add" if isinstance(place, dict):
                place[draw(st.text(max_size=8))] = draw(VALUES)
            case _:
                place[name] = {"": below}
        return


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(("json", '{"exchanges": ["htx"], "a\\nb": {"\\r": 1}}'))
@example(("yaml", "exchanges: [htx]\nrabbitmq: &a {host: *a}"))
@given(mutated())
def test_a_broken_file_never_crashes_the_loader_and_never_applies_in_part(
    tmp_path_factory: pytest.TempPathFactory, broken: tuple[str, str]
) -> None:
    language, text = broken
    path = tmp_path_factory.mktemp("mutated") / f"config.{language}"
    path.write_text(PRODUCTION_YAML if language == "yaml" else CORE_JSON)
    environ = VARIABLES | {"FLEET_CONFIG": str(path), "FLEET_HOME": str(path.parent / "home")}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in VARIABLES.items():
            patched.setenv(name, value)
        manager = ConfigManager(environment=read_environment(environ))
        before = manager.load_config()
        path.write_text(text)
        try:
            wanted = settings_of(load(path).config, manager.environment).config
        except ConfigurationError as error:
            assert "\n" not in str(error)
            assert not manager.reload_config()
            assert manager.config is before
            return
        assert manager.reload_config()
        assert manager.config == wanted


@pytest.mark.parametrize("suffix", ["json", "toml", "yaml"])
def test_bytes_that_are_no_text_are_one_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"config.{suffix}"
    for raw in (b"\xff\xfe\x00", b"\x00" * 64, b"[" * 100_000, b"a = [" * 5000, b"\xf0\x9f"):
        path.write_bytes(raw)
        with pytest.raises(ConfigurationError) as raised:
            load(path, variables={})
        assert "\n" not in str(raised.value)


def test_toml_is_read_as_it_is_written(tmp_path: Path) -> None:
    text = 'exchanges = ["htx"]\n[collection]\nstart_date = 2024-01-01\n[collection.max_age]\nticker_s = 7\n'
    assert tomllib.loads(text)
    path = tmp_path / "config.toml"
    path.write_text(text)
    collection = load(path, variables={}).config.collection
    assert (str(collection.start_date), collection.max_age.ticker_s) == ("2024-01-01", 7)
