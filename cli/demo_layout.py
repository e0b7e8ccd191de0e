"""The demo's files: simulated venues, a private broker, and the programs of a real fleet."""

import os
import shutil
import sys
from dataclasses import dataclass

from cli.endpoints import Endpoints
from cli.exits import CommandFailed
from cli.host import Host
from cli.place import Place, socket_path
from cli.ports import LOOPBACK, free_ports
from cli.private_broker import BrokerPorts, Login, PrivateBroker, find_server
from cli.processes import started_at
from cli.supervisor_conf import PROGRAMS, Program, broker_programs, variant, write_programs
from shared.files import write_json
from shared.venues import VENUES

EXCHANGES = VENUES[:5]  # their names on the wire are the canonical ones here
SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
INTERVAL_S = 5
LOGIN = Login("demo", "demo")
#: Marks every process of a demo, so that the next one finds what a crash has left running.
MARK = "FLEET_DEMO"
#: What a demo's directory holds, by which it is known.
_OURS = ("supervisord.conf", "programs", "broker", "logs")


@dataclass(frozen=True, slots=True)
class DemoLayout:
    """Everything of one demo lives in `place.demo`, and is made afresh by each."""

    place: Place
    broker: PrivateBroker
    simulator_port: int

    @classmethod
    def choose(cls, place: Place) -> "DemoLayout":
        """Free ports, the installed server. Raises ConfigurationError."""
        server = find_server(place.environment.rabbitmq_home)
        amqp, distribution, epmd, management, simulator = free_ports(5)
        ports = BrokerPorts(amqp, distribution, epmd, management)
        return cls(place, PrivateBroker(place.demo / "broker", ports, server, LOGIN), simulator)

    @property
    def simulator_url(self) -> str:
        return f"http://{LOOPBACK}:{self.simulator_port}"

    @property
    def host(self) -> Host:
        home = self.place.demo
        return Host(home / "supervisord.conf", socket_path(home), self.environment())

    def endpoints(self, pid: int) -> Endpoints:
        return Endpoints(
            kind="demo",
            pid=pid,
            started=started_at(pid) or 0.0,
            demo_pid=os.getpid(),
            amqp_url=self.broker.amqp_url,
            supervisor_socket=str(socket_path(self.place.demo)),
            config=str(self.place.demo / "config.json"),
            management_url=self.broker.management_url,
            simulator_url=self.simulator_url,
        )

    def environment(self) -> dict[str, str]:
        """Of all processes: nothing that the caller's environment says about another fleet."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FLEET_", "AMQP_URL", "RABBITMQ_"))
        }
        return kept | {
            MARK: str(self.place.demo),
            "FLEET_HOME": str(self.place.demo),
            "FLEET_CONFIG": str(self.place.demo / "config.json"),
        }

    def config(self) -> dict[str, object]:
        """What a user's config.json would hold."""
        rest, ws = self.simulator_url, f"ws://{LOOPBACK}:{self.simulator_port}"
        return {
            "rabbitmq": {
                "host": LOOPBACK,
                "port": self.broker.ports.amqp,
                "user": LOGIN.user,
                "password": LOGIN.password,
                "exchange": "futures_data",
            },
            "exchanges": EXCHANGES,
            "symbols": SYMBOLS,
            "collection": {"interval_seconds": INTERVAL_S, "timeframes": ["1m", "5m"]},
            "exchange_configs": {
                name: {"urls": {"rest": f"{rest}/{name}", "ws": f"{ws}/{name}"}}
                for name in VENUES  # also for one that is added while it runs
            },
        }

    def programs(self) -> list[Program]:
        simulator = [sys.executable, "-m", "simulator", "--port", str(self.simulator_port)]
        return [*broker_programs(self.broker), Program("simulator", simulator, priority=3)]

    def write(self) -> None:
        """Replace what is there from a demo before. Raises OSError and CommandFailed."""
        home = self.place.demo
        if home.exists() and any(home.iterdir()) and not any((home / n).exists() for n in _OURS):
            raise CommandFailed(f"{home} holds what is no demo's; FLEET_HOME can be elsewhere")
        shutil.rmtree(home, ignore_errors=True)
        logs = home / "logs"
        logs.mkdir(parents=True, mode=0o700)
        self.broker.write()
        write_json(home / "config.json", self.config())
        write_programs(home / "programs", self.programs())
        # The last is where the host's agent adds programs.
        includes = (f"{PROGRAMS}/*.ini", f"{home}/programs/*.ini", f"{home}/supervisor/*.ini")
        text = variant(home, logs, socket_path(home), includes)
        (home / "supervisord.conf").write_text(text, encoding="utf-8")
