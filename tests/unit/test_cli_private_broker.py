from pathlib import Path

import pytest

from cli.ports import free_ports, is_free
from cli.private_broker import (
    INSTALL_LINE,
    QUEUE_BYTES,
    RAFT_WAL_BYTES,
    BrokerPorts,
    Login,
    PrivateBroker,
    find_server,
)
from shared.errors import ConfigurationError
from shared.topology import topology

PORTS = BrokerPorts(amqp=21001, distribution=21002, epmd=21003)


def broker(directory: Path, ports: BrokerPorts = PORTS) -> PrivateBroker:
    return PrivateBroker(directory, ports, Path("/opt/rabbit/sbin"), Login("fleet", "s3cret/@"))


def test_everything_listens_on_loopback_alone(tmp_path: Path) -> None:
    ports = BrokerPorts(21001, 21002, 21003, management=21004)
    node = broker(tmp_path, ports)
    assert "listeners.tcp.1 = 127.0.0.1:21001\n" in node.config_text()
    assert "management.tcp.ip = 127.0.0.1\n" in node.config_text()
    environment = node.environment()
    assert environment["ERL_EPMD_ADDRESS"] == environment["RABBITMQ_NODE_IP_ADDRESS"] == "127.0.0.1"
    arguments = environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    assert "inet_dist_use_interface {127,0,0,1}" in arguments


def test_memory_is_bounded(tmp_path: Path) -> None:
    text = broker(tmp_path).config_text()
    assert f"raft.wal_max_size_bytes = {RAFT_WAL_BYTES}\n" in text
    assert "vm_memory_high_watermark.absolute = 512MiB\n" in text


def test_the_queue_policy_is_above_every_bound_that_the_topology_declares() -> None:
    bounds = [q.arguments["x-max-length-bytes"] for q in topology("futures_data").queues]
    assert bounds and max(bounds) <= QUEUE_BYTES


def test_the_management_plugin_is_off_unless_it_has_a_port(tmp_path: Path) -> None:
    assert broker(tmp_path).plugins_text() == "[].\n"
    assert broker(tmp_path).management_url is None
    with_port = broker(tmp_path, BrokerPorts(1, 2, 3, management=4))
    assert with_port.plugins_text() == "[rabbitmq_management].\n"


def test_everything_lives_in_the_directory(tmp_path: Path) -> None:
    node = broker(tmp_path / "node")
    node.write()
    paths = [value for value in node.environment().values() if value.startswith(str(tmp_path))]
    assert len(paths) >= 6
    assert {p.parent for p in tmp_path.iterdir()} == {tmp_path}
    assert str(tmp_path / "node") in node.config_text()


def test_secrets_are_for_the_owner_and_never_in_the_environment(tmp_path: Path) -> None:
    node = broker(tmp_path / "node")
    node.write()
    cookie = tmp_path / "node" / "home" / ".erlang.cookie"
    assert cookie.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "node" / "definitions.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o700
    assert not any("s3cret" in value for value in node.environment().values())


def test_a_second_write_keeps_the_cookie(tmp_path: Path) -> None:
    node, cookie = broker(tmp_path), tmp_path / "home" / ".erlang.cookie"
    node.write()
    before = cookie.read_text()
    node.write()
    assert cookie.read_text() == before


def test_the_url_quotes_the_login(tmp_path: Path) -> None:
    assert broker(tmp_path).amqp_url == "amqp://fleet:s3cret%2F%40@127.0.0.1:21001/"


def test_an_absent_server_is_told_with_the_line_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="apt-get install") as caught:
        find_server(tmp_path)
    assert INSTALL_LINE in str(caught.value) and "\n" not in str(caught.value)


def test_the_server_in_the_given_home_is_taken(tmp_path: Path) -> None:
    script = tmp_path / "sbin" / "rabbitmq-server"
    script.parent.mkdir()
    script.touch(mode=0o755)
    assert find_server(tmp_path) == script.parent


def test_free_ports_are_distinct_free_and_not_of_the_kernel_s_own_range() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(is_free(port) and port < 32768 for port in ports)
