"""Loading again, putting back, and what is said of it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.config import Settings
from shared.config.changes import MASK, Change, changes, shown
from shared.config.loading import load, read_environment
from shared.config.manager import ConfigManager
from shared.config.snapshots import KEPT
from shared.config.watching import ConfigWatch
from shared.errors import ConfigurationError
from shared.tasks import ended
from tests.waiting import eventually

BASE: dict[str, Any] = {"exchanges": ["htx"], "rabbitmq": {"password": "canary"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "config.json"
    path.parent.mkdir()
    write(path)
    return path


def write(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(BASE | fields))


def manager_of(path: Path) -> ConfigManager:
    environ = {"FLEET_HOME": str(path.parent.parent / "home"), "FLEET_CONFIG": str(path)}
    manager = ConfigManager(environment=read_environment(environ))
    manager.load_config()
    return manager


def told_by(manager: ConfigManager) -> list[tuple[Settings, list[Change]]]:
    told: list[tuple[Settings, list[Change]]] = []
    manager.on_change.append(lambda settings, found: told.append((settings, found)))
    return told


def test_a_change_is_taken_up_and_told(path: Path) -> None:
    manager = manager_of(path)
    told = told_by(manager)
    write(path, logging={"level": "DEBUG"}, rabbitmq={"host": "b", "password": "other"})
    assert manager.reload_config()
    assert manager.config.logging.level == "DEBUG"
    [(settings, found)] = told
    assert settings.config is manager.config
    assert {change.field: (change.old, change.new, change.live) for change in found} == {
        "logging.level": ("INFO", "DEBUG", True),
        "rabbitmq.host": ("127.0.0.1", "b", False),
        "rabbitmq.password": (MASK, MASK, False),
    }
    assert list(manager.waiting) == ["rabbitmq.host", "rabbitmq.password"]
    write(path, logging={"level": "DEBUG"})
    assert manager.reload_config()
    assert not manager.waiting


@pytest.mark.parametrize("text", ["", "{", '{"exchanges": []}', '{"exchanges": ["htx"], "x": 1}'])
def test_a_wrong_file_changes_nothing(
    path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = manager_of(path)
    told, before = told_by(manager), manager.settings
    path.write_text(text)
    assert not manager.reload_config()
    assert not manager.reload_config()
    assert manager.settings is before
    assert (manager.reloads, len(caplog.records), told) == (0, 1, [])
    assert manager.error is not None and str(path) in manager.error
    write(path)
    assert manager.reload_config()
    assert manager.error is None


def test_nothing_new_is_told_to_nobody(path: Path) -> None:
    manager = manager_of(path)
    told = told_by(manager)
    path.write_text(json.dumps(BASE, indent=4))
    assert manager.reload_config()
    assert (told, manager.reloads) == ([], 0)


def test_keys_are_part_of_it(path: Path) -> None:
    manager = manager_of(path)
    told = told_by(manager)
    (path.parent / ".env.keys").write_text('{"htx": {"apiKey": "k"}}')
    assert manager.reload_config()
    assert told[0][0].keys["htx"].credentials() == {"apiKey": "k"}


def test_rollback_puts_the_files_back(path: Path) -> None:
    manager = manager_of(path)
    texts = [path.read_text()]
    for level in ("DEBUG", "WARNING", "ERROR"):
        write(path, logging={"level": level})
        manager.reload_config()
        texts.append(path.read_text())
    profile = path.with_name("config.development.json")
    profile.write_text('{"debug": true}')
    assert manager.reload_config()
    assert manager.config.debug
    assert manager.rollback_config()
    assert (manager.config.debug, profile.exists()) == (False, False)
    assert manager.rollback_config(steps=2)
    assert (path.read_text(), manager.config.logging.level) == (texts[1], "DEBUG")
    assert not manager.rollback_config(steps=2)
    assert manager.error == "there are 1 earlier configurations to go back to"
    assert manager.rollback_config()
    assert path.read_text() == texts[0]
    undone = sorted((path.parent.parent / "home" / "config-snapshots" / "undone").iterdir())
    assert texts[3] in json.loads(undone[1].read_text())["files"].values()


def test_a_rollback_undoes_a_broken_file(path: Path) -> None:
    manager = manager_of(path)
    write(path, logging={"level": "DEBUG"})
    manager.reload_config()
    path.write_text("{")
    assert not manager.reload_config()
    assert manager.rollback_config()
    assert (manager.config.logging.level, manager.error) == ("INFO", None)
    path.write_text("{")
    assert manager.rollback_config(steps=0)
    assert manager.config.logging.level == "INFO"


def test_snapshots_are_bounded_private_and_survive_the_process(path: Path) -> None:
    manager = manager_of(path)
    for seconds in range(5, 5 + 2 * KEPT):
        write(path, collection={"interval_seconds": seconds})
        manager.reload_config()
    directory = path.parent.parent / "home" / "config-snapshots"
    assert len(list(directory.glob("*.json"))) == KEPT
    assert directory.stat().st_mode & 0o77 == 0
    another = manager_of(path)
    assert another.get_config_summary()["snapshots"] == KEPT
    assert another.rollback_config(KEPT - 1)
    assert another.config.collection.interval_seconds == 5 + KEPT


def test_the_summary_has_no_secret(path: Path) -> None:
    write(
        path,
        redis={"host": "r", "password": "canary"},
        exchange_configs={
            "htx": {
                "api_key": "canary",
                "options": {"apiKey": "canary", "headers": {"auth-token": "canary"}, "a": 1},
                "urls": {"rest": "http://me:canary@proxy/", "ws": "ws://proxy/"},
            }
        },
    )
    manager = manager_of(path)
    summary = manager.get_config_summary()
    assert "canary" not in json.dumps(summary)
    assert "canary" not in repr(manager.config)
    options = summary["config"]["exchange_configs"]["htx"]["options"]
    assert options == {"apiKey": MASK, "headers": {"auth-token": MASK}, "a": 1}
    assert summary["config"]["api_keys_file"] == ".env.keys"


def test_changes_are_found_by_field(tmp_path: Path) -> None:
    one = tmp_path / "one.json"
    two = tmp_path / "two.json"
    one.write_text(
        '{"exchanges": ["htx"], "exchange_configs": {"htx": {"options": {"a": {"b": 1}}}}}'
    )
    two.write_text('{"exchanges": ["htx", "okx"]}')
    found = changes(load(one, variables={}).config, load(two, variables={}).config)
    assert [change.field for change in found][:1] == ["exchange_configs"]
    assert "exchanges" in [change.field for change in found]
    assert shown(load(two, variables={}).config)["exchanges"] == ["htx", "okx"]


def test_a_manager_without_a_configuration_says_so(tmp_path: Path) -> None:
    manager = ConfigManager(tmp_path / "none.json", read_environment({}))
    with pytest.raises(ConfigurationError, match="does not exist"):
        manager.load_config()
    with pytest.raises(ConfigurationError, match="no configuration is loaded"):
        _ = manager.config


@asynccontextmanager
async def watched(manager: ConfigManager) -> AsyncIterator[ConfigWatch]:
    watch = ConfigWatch(manager)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0.3)  # until the system watches
    try:
        yield watch
    finally:
        await ended(running)


async def test_files_are_watched_however_they_are_replaced(path: Path) -> None:
    manager = manager_of(path)
    async with watched(manager):
        write(path, collection={"interval_seconds": 6})
        await eventually(lambda: manager.reloads == 1, 5)
        draft = path.with_name("draft")
        write(draft, collection={"interval_seconds": 7})
        draft.replace(path)
        await eventually(lambda: manager.reloads == 2, 5)
        (path.parent / ".env.keys").write_text('{"htx": {"apiKey": "k"}}')
        await eventually(lambda: manager.reloads == 3, 5)
        path.with_name("config.development.yaml").write_text("collection: {interval_seconds: 8}")
        await eventually(lambda: manager.reloads == 4, 5)
        assert manager.config.collection.interval_seconds == 8
        path.with_name("config.development.yaml").write_text("collection: {")
        await eventually(lambda: manager.error is not None, 5)
        path.with_name("config.development.yaml").unlink()
        await eventually(lambda: manager.config.collection.interval_seconds == 7, 5)


async def test_links_are_followed_as_kubernetes_switches_them(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for number in (1, 2):
        (mount / f"..v{number}").mkdir(parents=True)
        write(mount / f"..v{number}" / "config.json", collection={"interval_seconds": 5 + number})
    (mount / "..data").symlink_to("..v1")
    (mount / "config.json").symlink_to("..data/config.json")
    manager = manager_of(mount / "config.json")
    async with watched(manager):
        (mount / "..next").symlink_to("..v2")
        (mount / "..next").rename(mount / "..data")
        await eventually(lambda: manager.config.collection.interval_seconds == 7, 5)


async def test_a_signal_is_a_reason_to_look(path: Path) -> None:
    manager = manager_of(path)
    async with watched(manager):
        write(path, collection={"interval_seconds": 9})
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: manager.reloads == 1, 1)
