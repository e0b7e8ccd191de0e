"""The configuration of a running process: loaded, loaded again when it changes, put back."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.config.app import AppConfig, Environment, Settings
from shared.config.changes import Change, changes, shown
from shared.config.loading import (
    Loaded,
    dotenv_of,
    load,
    read_environment,
    read_variables,
    settings_of,
    watched_places,
)
from shared.config.snapshots import Snapshots
from shared.errors import ConfigurationError

log = logging.getLogger("main")

OnChange = Callable[[Settings, list[Change]], None]


class ConfigManager:
    """`load_config` first; then `reload_config` whenever a file may have changed.

    A configuration is checked whole and taken up whole; one that is wrong changes nothing. What
    was in force is kept on disk as snapshots.
    """

    def __init__(
        self,
        config_path: str | Path | None = None,
        environment: Environment | None = None,
        *,
        outside: bool = False,
    ) -> None:
        """`config_path` is a file or a directory, by default what `FLEET_CONFIG` says. Who is
        `outside` does not run by it but looks at what others do: nothing is taken up, and `.env`
        is the one that they read.

        Raises ConfigurationError for variables that can not work.
        """
        environment = environment or read_environment()
        # Snapshots go by paths, and are shared with processes of other working directories.
        path = Path(config_path or environment.config_path).absolute()
        self.environment = environment.model_copy(update={"config_path": path})
        #: The files that were others before they were put back the last time.
        self.put_back: tuple[Path, ...] = ()
        #: Told of each configuration that is taken up later than the first.
        self.on_change: list[OnChange] = []
        #: Why the latest files were not taken up; None where they were.
        self.error: str | None = None
        #: How often a changed configuration was taken up.
        self.reloads = 0
        #: Fields that the files say by now, and a restart is needed for.
        self.waiting: tuple[str, ...] = ()
        self._profile: str | None = None
        self._loaded: Loaded | None = None
        self._settings: Settings | None = None
        self._started: AppConfig | None = None  # with the fields that need a restart as they are
        self._snapshots = Snapshots(self.environment.home / "config-snapshots")
        self._outside = outside
        self._dotenv = self._dotenv_of_others() if outside else dotenv_of()[0].absolute()

    @property
    def config(self) -> AppConfig:
        return self.settings.config

    @property
    def settings(self) -> Settings:
        """Raises ConfigurationError where nothing was loaded yet."""
        if self._settings is None:
            raise ConfigurationError("no configuration is loaded")
        return self._settings

    @property
    def files(self) -> tuple[Path, ...]:
        """That the configuration is made of."""
        return self._loaded.files if self._loaded else ()

    def load_config(self, environment: str | None = None) -> AppConfig:
        """The configuration of an environment, by default of the one that it names itself.

        Raises ConfigurationError with one line that names every wrong field.
        """
        self._profile = environment
        loaded = self._load()
        self._settings = settings_of(loaded.config, self.environment)
        self._loaded, self._started = loaded, loaded.config
        self.error, self.waiting = None, ()
        self._keep(loaded)
        return loaded.config

    def reload_config(self) -> bool:
        """Take up what files and variables say now. False, and the reason in `error`, where that
        is wrong: everything stays as it is then."""
        before = self.settings
        try:
            loaded = self._load()
            settings = settings_of(loaded.config, self.environment)
        except ConfigurationError as error:
            if str(error) != self.error:
                log.error("The configuration stays as it is: %s", error)
            self.error = str(error)
            return False
        self._loaded, self._settings, self.error = loaded, settings, None
        found = changes(before.config, settings.config)
        if not found and before.keys == settings.keys:
            return True
        self.reloads += 1
        self._keep(loaded)
        self._tell(settings, found)
        return True

    def rollback_config(self, steps: int = 1) -> bool:
        """Put the files, and `.env`, back as they were so many configurations ago (0: as they were
        last taken up), and take that up: other processes see the files change. False, and the
        reason in `error`, where that can not be."""
        path = self.environment.config_path
        directory = path if path.is_dir() else path.parent
        try:
            self.put_back = self._snapshots.restore(steps, directory, self.files)
            if self._settings is None:
                self.load_config(self._profile)
                return True
        except (ConfigurationError, OSError) as error:
            self.error = str(error)
            log.error("The configuration can not be put back: %s", error)
            return False
        return self.reload_config()

    def taken_up(self) -> AppConfig:
        """The configuration that was taken up last on this host, by any process, with the
        variables that this one has. Raises ConfigurationError where none was."""
        path = self.environment.config_path
        with self._snapshots.written_out() as (directory, dotenv):
            written = directory if path.is_dir() else directory / path.name
            return load(written, self._profile, read_variables(dotenv_path=dotenv)).config

    def get_config_summary(self) -> dict[str, Any]:
        """For people and logs, as JSON; secrets are masked."""
        return {
            "environment": self.config.environment,
            "files": [str(path) for path in self.files],
            "config": shown(self.config),
            "snapshots": self._snapshots.count(),
            "reloads": self.reloads,
            "waiting_for_restart": list(self.waiting),
            "error": self.error,
        }

    def places(self) -> set[Path]:
        """The files and directories by whose change a reload may become due."""
        return watched_places(
            self.environment.config_path, self.files, self.config, self._variables()
        )

    def _load(self) -> Loaded:
        return load(self.environment.config_path, self._profile, self._variables())

    def _variables(self) -> dict[str, str]:
        return read_variables(dotenv_path=self._dotenv if self._outside else None)

    def _dotenv_of_others(self) -> Path:
        own, is_named = dotenv_of()
        newest = self._snapshots.newest()
        told = None if is_named or newest is None else newest.dotenv
        return Path(told or own).absolute()

    def _keep(self, loaded: Loaded) -> None:
        if self._outside:
            return
        try:
            self._snapshots.take(loaded.files, self._dotenv)
        except OSError as error:
            log.warning("No snapshot of the configuration could be kept: %s", error)

    def _tell(self, settings: Settings, found: list[Change]) -> None:
        for change in found:
            suffix = "" if change.live else " (needs a restart)"
            log.info("Configuration: %s%s", change, suffix)
        if self._started is not None:
            since_start = changes(self._started, settings.config)
            self.waiting = tuple(c.field for c in since_start if not c.live)
        for tell in self.on_change:
            tell(settings, found)
