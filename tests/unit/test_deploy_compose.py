import subprocess
import sys
from pathlib import Path

import orjson
from ruamel.yaml import YAML

from cli.place import ROOT
from cli.private_broker import RAFT_WAL_BYTES, BrokerPorts, PrivateBroker

COMPOSE = ROOT / "docker-compose.yml"
SERVICES = YAML(typ="safe").load(COMPOSE)["services"]
BROKER_FILES = ROOT / "deploy" / "rabbitmq"


def test_the_file_is_what_compose_understands() -> None:
    command = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema"]
    checked = subprocess.run(
        [*command, "vendor.compose-spec", str(COMPOSE)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_ports_are_published_on_loopback_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_the_broker_is_watched_and_keeps_its_data() -> None:
    broker = SERVICES["rabbitmq"]
    assert broker["image"].startswith("rabbitmq:4-management")
    assert broker["healthcheck"]["test"]
    assert any(volume.endswith(":/var/lib/rabbitmq") for volume in broker["volumes"])
    assert broker["hostname"], "the data are kept under the node's name"


def test_the_mounted_files_exist() -> None:
    volumes = SERVICES["rabbitmq"]["volumes"]
    mounted = [volume.partition(":")[0] for volume in volumes if volume.startswith("./")]
    assert mounted and all((ROOT / path).is_file() for path in mounted)


def test_it_is_configured_as_the_private_broker_is() -> None:
    assert (
        f"raft.wal_max_size_bytes = {RAFT_WAL_BYTES}\n" in (BROKER_FILES / "fleet.conf").read_text()
    )
    private = PrivateBroker(Path("x"), BrokerPorts(1, 2, 3), Path("y"))
    definitions = orjson.loads((BROKER_FILES / "definitions.json").read_bytes())
    for part, rows in private.definitions().items():
        assert isinstance(rows, list) and all(row in definitions[part] for row in rows)
