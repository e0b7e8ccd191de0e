"""Where things are: the clone that `fleet` was installed from, and what a fleet writes in it."""

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cli.exits import CommandFailed
from shared.config import Environment, read_environment

ROOT = Path(__file__).resolve().parent.parent
#: What the environment says where it says nothing.
_CONFIG, _HOME = Path("config.json"), Path(".fleet")
#: A unix socket's path may have 107 bytes; supervisord first binds it with its pid appended.
_MAX_SOCKET_PATH = 107 - len(".4194304")


@dataclass(frozen=True, slots=True)
class Place:
    """The clone, and the environment that `fleet` was called with.

    Paths that the environment leaves out are those of the clone, wherever `fleet` was called.
    """

    environment: Environment

    @classmethod
    def here(cls) -> "Place":
        """Raises ConfigurationError."""
        environment = read_environment()
        config_path, home = environment.config_path, environment.home
        paths = {
            "config_path": ROOT / config_path if config_path == _CONFIG else config_path.absolute(),
            "home": ROOT / home if home == _HOME else home.absolute(),
        }
        return cls(environment.model_copy(update=paths))

    @property
    def home(self) -> Path:
        return self.environment.home

    @property
    def config_path(self) -> Path:
        return self.environment.config_path

    @property
    def endpoints(self) -> Path:
        return self.home / "endpoints.json"

    @property
    def demo(self) -> Path:
        return self.home / "demo"

    @property
    def broker(self) -> Path:
        """Of the private broker of a real fleet; it keeps its data."""
        return self.home / "broker"

    @property
    def supervisor_conf(self) -> Path:
        return ROOT / "supervisord.conf"

    @property
    def generated_programs(self) -> Path:
        """Included by supervisord.conf."""
        return ROOT / ".fleet" / "supervisor"

    @property
    def supervisor_socket(self) -> Path:
        """Of the fleet of this clone; the one that supervisord.conf names, unless too long."""
        return socket_path(ROOT / ".fleet")


def socket_path(directory: Path) -> Path:
    """`supervisor.sock` in `directory`, or where that is too long for a socket, in a private
    directory of a short name. The same answer each time."""
    path = directory / "supervisor.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    digest = hashlib.blake2b(os.fsencode(directory), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"fleet-{os.getuid()}-{digest}" / "supervisor.sock"


def remove_socket(socket: Path) -> None:
    """The socket of a supervisord that has ended, and its directory where that was made for it."""
    with suppress(OSError):
        socket.unlink(missing_ok=True)
        socket.parent.rmdir()


def make_socket_directory(socket: Path) -> None:
    """The socket's directory, ours and closed to others. Raises CommandFailed."""
    directory = socket.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = directory.stat()
    if owner.st_uid != os.getuid():
        raise CommandFailed(f"{directory} belongs to somebody else")
