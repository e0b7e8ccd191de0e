"""A private RabbitMQ node, described: its directories, ports, environment, configuration, command.

It runs unprivileged from one directory, listens on loopback only, has its own epmd and cookie, and
touches nothing of a RabbitMQ that the machine may have besides. Nothing here starts a process:
supervisord does that for a fleet, `cli.broker_node` for tests.
"""

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson

from cli.ports import LOOPBACK, free_ports
from shared.errors import ConfigurationError
from shared.topology import MIB

INSTALL_LINE = "sudo apt-get install --no-install-recommends rabbitmq-server"
#: Where distributions put the server's own scripts. Debian's /usr/sbin/rabbitmq-server is a wrapper
#: that only root or rabbitmq may run, and it moves to the machine's own data directory.
_SERVER_DIRS = (
    ("/usr/lib/rabbitmq/lib", "rabbitmq_server-*/sbin"),
    ("/opt/homebrew/opt/rabbitmq", "sbin"),
    ("/usr/local/opt/rabbitmq", "sbin"),
)
_TOOLS_PATH = ":".join(
    ("/usr/lib/erlang/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/bin")
)
#: Known to its own epmd only, so all nodes may have the same. The data are kept under this name;
#: the ports may change from one start to the next.
NODE_NAME = "fleet@localhost"
#: The default log of quorum queues, 512 MB, is held in memory: it alone trips the memory alarm.
RAFT_WAL_BYTES = 64 * MIB
#: What any queue may hold where it states no bound of its own. The lower of policy and argument
#: wins, so this is above every bound in `shared.topology`.
QUEUE_BYTES = 128 * MIB


@dataclass(frozen=True, slots=True)
class BrokerPorts:
    """The ports of one node, all on loopback. Without `management` that plugin is off."""

    amqp: int
    distribution: int
    epmd: int
    management: int | None = None

    @classmethod
    def free(cls, management: bool = False) -> "BrokerPorts":
        return cls(*free_ports(4 if management else 3))


@dataclass(frozen=True, slots=True)
class Login:
    """The one user of a private node, its administrator."""

    user: str = "guest"
    password: str = "guest"


@dataclass(frozen=True, slots=True)
class PrivateBroker:
    """A node in `directory`, run from the RabbitMQ whose scripts are in `server`."""

    directory: Path
    ports: BrokerPorts
    server: Path
    login: Login = Login()

    @property
    def amqp_url(self) -> str:
        user, password = quote(self.login.user, safe=""), quote(self.login.password, safe="")
        return f"amqp://{user}:{password}@{LOOPBACK}:{self.ports.amqp}/"

    @property
    def management_url(self) -> str | None:
        port = self.ports.management
        return f"http://{LOOPBACK}:{port}/" if port else None

    @property
    def command(self) -> list[str]:
        return [str(self.server / "rabbitmq-server")]

    @property
    def epmd_command(self) -> list[str]:
        """Erlang's port mapper in the foreground. RabbitMQ would start one as a daemon, which
        nobody stops."""
        return [_epmd(), "-port", str(self.ports.epmd), "-address", LOOPBACK]

    @property
    def ctl_command(self) -> list[str]:
        return [str(self.server / "rabbitmqctl"), "-q", "-n", NODE_NAME]

    @property
    def pid_file(self) -> Path:
        """The Erlang machine's pid; gone after a clean stop."""
        return self.directory / "pid"

    def environment(self) -> dict[str, str]:
        """Everything that the node and its tools need; no variable of the caller."""
        at = self.directory.absolute()
        return {
            "PATH": _search_path(),
            "LANG": "C.UTF-8",
            "HOME": str(at / "home"),
            "ERL_EPMD_PORT": str(self.ports.epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_NODE_PORT": str(self.ports.amqp),
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_DIST_PORT": str(self.ports.distribution),
            "RABBITMQ_MNESIA_BASE": str(at / "mnesia"),
            "RABBITMQ_LOG_BASE": str(at / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(at / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(at / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(self.pid_file.absolute()),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(at / "generated"),
            # Without the busy waiting of its schedulers an idle node costs no CPU.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"
            " -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def config_text(self) -> str:
        lines = [
            f"listeners.tcp.1 = {LOOPBACK}:{self.ports.amqp}",
            "log.console = true",
            "log.console.level = warning",
            "log.console.use_colors = off",
            "log.file = false",
            "disk_free_limit.absolute = 50MB",
            "vm_memory_high_watermark.absolute = 512MiB",
            f"raft.wal_max_size_bytes = {RAFT_WAL_BYTES}",
            f"load_definitions = {self.directory.absolute() / 'definitions.json'}",
        ]
        if self.ports.management:
            lines += [
                f"management.tcp.ip = {LOOPBACK}",
                f"management.tcp.port = {self.ports.management}",
            ]
        return "\n".join(lines) + "\n"

    def definitions(self) -> dict[str, object]:
        """What exists from the first boot on: the user, the default vhost, the queue policy.

        A node that loads definitions makes no default user of its own.
        """
        user, everything = self.login.user, ".*"
        return {
            "vhosts": [{"name": "/"}],
            "users": [{"name": user, "password": self.login.password, "tags": "administrator"}],
            "permissions": [
                {
                    "user": user,
                    "vhost": "/",
                    "configure": everything,
                    "write": everything,
                    "read": everything,
                }
            ],
            "policies": [
                {
                    "vhost": "/",
                    "name": "bounded",
                    "pattern": everything,
                    "apply-to": "queues",
                    "priority": 0,
                    "definition": {"max-length-bytes": QUEUE_BYTES},
                }
            ],
        }

    def plugins_text(self) -> str:
        return "[rabbitmq_management].\n" if self.ports.management else "[].\n"

    def write(self) -> None:
        """Make the directories and files; a cookie that is there already stays. Raises OSError."""
        for name in ("mnesia", "log", "home", "generated"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        _write_private(self.directory / "rabbitmq.conf", self.config_text())
        _write_private(self.directory / "enabled_plugins", self.plugins_text())
        _write_private(
            self.directory / "definitions.json", orjson.dumps(self.definitions()).decode()
        )
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            _write_private(cookie, secrets.token_hex(16), mode=0o400)


def find_server(home: Path | None = None) -> Path:
    """The directory of RabbitMQ's own scripts, of the newest version that is installed.

    `home` is looked at first, and alone where it is given. Raises ConfigurationError with the line
    that installs RabbitMQ.
    """
    places = (
        [home / "sbin"] if home else [p for at, glob in _SERVER_DIRS for p in Path(at).glob(glob)]
    )
    servers = [place for place in places if os.access(place / "rabbitmq-server", os.X_OK)]
    if not servers:
        where = f"RABBITMQ_HOME={home} holds no sbin/rabbitmq-server" if home else "not installed"
        raise ConfigurationError(f"RabbitMQ's server is missing ({where}): {INSTALL_LINE}")
    return max(servers, key=_version)


def _version(sbin: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", sbin.parent.name)]


def _search_path() -> str:
    return f"{_TOOLS_PATH}:{os.defpath}"


def _epmd() -> str:
    found = shutil.which("epmd", path=_search_path())
    if found is None:
        raise ConfigurationError(f"Erlang's epmd is missing: {INSTALL_LINE}")
    return found


def _write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """The definitions hold a password, the cookie is one."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
