"""The configurations that were in force, on disk: their files, to be put back."""

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.errors import ConfigurationError
from shared.files import read_json, write_json

#: So many are kept, and as many that were undone.
KEPT = 20

log = logging.getLogger("main")


class Snapshots:
    """In a directory that all processes of a host share; only its owner can read it, since a
    configuration may hold passwords."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def take(self, files: Iterable[Path]) -> None:
        """Keep what these files hold now, unless the newest snapshot does. Raises OSError."""
        texts = {str(path): path.read_text() for path in files}
        with self._locked():
            known = self._all()
            if known and self._texts(known[-1]) == texts:
                return
            number = int(known[-1].stem) + 1 if known else 1
            write_json(self._directory / f"{number:08d}.json", _kept(texts))
            _forget(self._all())

    def restore(self, steps: int, now: Iterable[Path]) -> None:
        """Put the files back as they were `steps` snapshots ago. What is there instead is kept
        below `undone`; a file that was not there then is deleted.

        Raises ConfigurationError where there are not so many, OSError.
        """
        with self._locked():
            known = self._all()
            if not 0 <= steps < len(known):
                raise ConfigurationError(
                    f"there are {max(0, len(known) - 1)} earlier configurations to go back to"
                )
            target = known[-1 - steps]
            texts = self._texts(target)
            if texts is None:
                raise ConfigurationError(f"{target} is damaged")
            self._keep_undone(now)
            for path in now:
                if str(path) not in texts:
                    path.unlink(missing_ok=True)
            for name, text in texts.items():
                _replace(Path(name), text)
            for path in known[len(known) - steps :]:
                path.unlink()

    @contextmanager
    def newest(self) -> Iterator[Path]:
        """A directory with the files of the newest snapshot, gone with the block. Raises
        ConfigurationError where there is none."""
        with self._locked():
            known = self._all()
            texts = self._texts(known[-1]) if known else None
        if texts is None:
            raise ConfigurationError("no configuration was taken up here yet")
        with TemporaryDirectory() as directory:
            for name, text in texts.items():
                (Path(directory) / Path(name).name).write_text(text)
            yield Path(directory)

    def count(self) -> int:
        return len(self._all())

    def _keep_undone(self, files: Iterable[Path]) -> None:
        texts = {str(path): path.read_text() for path in files if path.exists()}
        directory = self._directory / "undone"
        directory.mkdir(mode=0o700, exist_ok=True)
        write_json(directory / f"{time.time_ns()}.json", _kept(texts))
        _forget(sorted(directory.glob("*.json")))

    def _all(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("*.json") if path.stem.isdigit())

    @staticmethod
    def _texts(path: Path) -> dict[str, str] | None:
        said = read_json(path)
        texts = said.get("files") if isinstance(said, dict) else None
        return texts if isinstance(texts, dict) else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _kept(texts: Mapping[str, str]) -> dict[str, object]:
    return {"taken_at": time.time_ns() // 1_000_000, "files": dict(texts)}


def _forget(oldest_first: list[Path]) -> None:
    for path in oldest_first[:-KEPT]:
        path.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(mode)
    draft.replace(path)
