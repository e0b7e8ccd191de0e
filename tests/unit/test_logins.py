"""How processes come by the logins that `fleet users` makes, and what they say of them."""

from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from cli.place import ROOT
from cli.supervisor_conf import PROGRAMS, variant
from shared.broker import Broker
from shared.topology import topology


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("amqp://fleet-operator:x@h/v", "fleet-operator"),
        ("amqp://a%40b:x@h", "a@b"),
        ("amqp://h", "guest"),
        ("amqps://x:y@h?auth=external", None),
    ],
)
def test_a_connection_knows_its_user(url: str, user: str | None) -> None:
    assert Broker(url, "a test", topology("futures_data"), declares=False).user == user


def test_a_file_of_logins_gives_each_program_its_own(tmp_path: Path) -> None:
    """As docs/operations.md says: sections of the same name add up, whatever the order."""
    logins = tmp_path / "logins.ini"
    logins.write_text(
        '[program:coordinator]\nenvironment=AMQP_URL="amqp://c:1@h/v"\n'
        '[program:collector-gate]\nenvironment=AMQP_URL="amqp://g:2@h/v"\n'
    )
    conf = tmp_path / "supervisord.conf"
    for includes in ((f"{PROGRAMS}/*.ini", str(logins)), (str(logins), f"{PROGRAMS}/*.ini")):
        conf.write_text(variant(tmp_path, tmp_path, tmp_path / "s.sock", includes))
        options = ServerOptions()
        options.realize(["-c", str(conf)])
        programs = {group.name: group.process_configs[0] for group in options.process_group_configs}
        assert vars(programs["coordinator"])["environment"]["AMQP_URL"] == "amqp://c:1@h/v"
        assert vars(programs["collector-gate"])["environment"]["AMQP_URL"] == "amqp://g:2@h/v"
        assert "AMQP_URL" not in vars(programs["collector-okx"])["environment"]
        assert str(ROOT) in vars(programs["coordinator"])["command"]
