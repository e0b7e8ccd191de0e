"""The configurations that were in force, on disk: their files, to be put back."""

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.errors import ConfigurationError
from shared.files import read_json, write_json

#: So many are kept, and as many that were undone.
KEPT = 20

log = logging.getLogger("main")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Files by their absolute paths. `dotenv` is the path of the `.env` that was read with the
    others, whether it existed or not; None where nobody said."""

    files: dict[str, str]
    dotenv: str | None = None

    def paths(self, directory: Path) -> dict[Path, str]:
        """What is to be written, of a configuration in `directory`. Raises ConfigurationError for
        anything else than its files and `.env`: it is of another configuration."""
        paths: dict[Path, str] = {}
        for name, text in self.files.items():
            path = Path(name)
            if name == self.dotenv and path.is_absolute():
                paths[path] = text
            elif path.is_absolute() and path.parent.resolve() == directory.resolve():
                paths[directory / path.name] = text
            else:
                raise ConfigurationError(f"that was {name}, which is not in {directory}")
        return paths

    def write_to(self, directory: Path) -> tuple[Path, Path]:
        """The files below `directory`: the configuration's own directory, and `.env`."""
        own = directory / "config"
        own.mkdir()
        dotenv = directory / "dotenv"
        for name, text in self.files.items():
            (dotenv if name == self.dotenv else own / Path(name).name).write_text(text, "utf-8")
        return own, dotenv


class Snapshots:
    """In a directory that all processes of a host share; only its owner can read it, since a
    configuration may hold passwords."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def take(self, files: Iterable[Path], dotenv: Path) -> None:
        """Keep what these files and `.env`, if there is one, hold now, unless the newest snapshot
        does. Raises OSError."""
        texts = _texts([*files, *([dotenv] if dotenv.is_file() else [])])
        with self._locked():
            known = self._all()
            newest = _read(known[-1]) if known else None
            if newest is not None and newest.files == texts:
                return
            number = int(known[-1].stem) + 1 if known else 1
            _write(self._directory / f"{number:08d}.json", Snapshot(texts, str(dotenv)))
            _forget(self._all())

    def restore(self, steps: int, directory: Path, now: Iterable[Path]) -> tuple[Path, ...]:
        """Put the files of a configuration in `directory` back as they were `steps` snapshots ago;
        those that were others. What is there instead is kept below `undone`; of `now` and `.env`
        what was not there then is deleted.

        Raises ConfigurationError where there are not so many, and where the snapshot is of another
        configuration; OSError.
        """
        with self._locked():
            known = self._all()
            if not 0 <= steps < len(known):
                raise ConfigurationError(
                    f"there are {max(0, len(known) - 1)} earlier configurations to go back to"
                )
            target = known[-1 - steps]
            snapshot = _read(target)
            if snapshot is None:
                raise ConfigurationError(f"{target} is damaged")
            paths = snapshot.paths(directory)
            there = {*now, *paths, *([Path(snapshot.dotenv)] if snapshot.dotenv else [])}
            texts = _texts(path for path in sorted(there) if path.exists())
            self._keep_undone(texts)
            others = [path for path in there if texts.get(str(path)) != paths.get(path)]
            for path in others:
                if path in paths:
                    _replace(path, paths[path])
                else:
                    path.unlink(missing_ok=True)
            for path in known[len(known) - steps :]:
                path.unlink()
        return tuple(sorted(others))

    def newest(self) -> Snapshot | None:
        """None where there is none that can be read."""
        known = self._all()
        return _read(known[-1]) if known else None

    @contextmanager
    def written_out(self) -> Iterator[tuple[Path, Path]]:
        """The newest as files, gone with the block: a directory, and `.env`. Raises
        ConfigurationError where there is none."""
        newest = self.newest()
        if newest is None:
            raise ConfigurationError("no configuration was taken up here yet")
        with TemporaryDirectory() as directory:
            yield newest.write_to(Path(directory))

    def count(self) -> int:
        return len(self._all())

    def _keep_undone(self, texts: dict[str, str]) -> None:
        directory = self._directory / "undone"
        directory.mkdir(mode=0o700, exist_ok=True)
        _write(directory / f"{time.time_ns()}.json", Snapshot(texts))
        _forget(sorted(directory.glob("*.json")))

    def _all(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("*.json") if path.stem.isdigit())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _texts(files: Iterable[Path]) -> dict[str, str]:
    """Broken ones as well, which are no text."""
    return {str(path): path.read_text("utf-8", errors="replace") for path in files}


def _write(path: Path, snapshot: Snapshot) -> None:
    write_json(path, {"taken_at": time.time_ns() // 1_000_000} | asdict(snapshot))


def _read(path: Path) -> Snapshot | None:
    said = read_json(path)
    if not isinstance(said, dict) or not isinstance(said.get("files"), dict):
        return None
    dotenv = said.get("dotenv")
    return Snapshot(said["files"], dotenv if isinstance(dotenv, str) else None)


def _forget(oldest_first: list[Path]) -> None:
    for path in oldest_first[:-KEPT]:
        path.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(mode)
    draft.replace(path)
