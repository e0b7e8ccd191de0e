"""`fleet up` and `fleet down`: the live venues of config.json, on this host."""

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from cli.endpoints import Endpoints, read_endpoints
from cli.exits import CommandFailed, Exit
from cli.guards import (
    only_one,
    refuse_orphaned_broker,
    refuse_second_fleet,
    refuse_white_space,
)
from cli.host import STOP_TIMEOUT_S, Host
from cli.output import say
from cli.place import Place, remove_socket
from cli.ports import is_free
from cli.private_broker import BrokerPorts, Login, PrivateBroker, find_server
from cli.processes import started_at, wait_until_gone
from cli.status import socket_of
from cli.supervisor import Supervisor
from cli.supervisor_conf import PROGRAMS, broker_programs, variant, write_programs
from shared.config import AppConfig, load_config
from shared.errors import ConfigurationError
from shared.files import read_json, write_json

_POLL_S = 0.5


def run_up(place: Place, foreground: bool) -> Exit:
    """Start supervisord, and a private broker where no other is named.

    Raises CommandFailed; with code 78 for a configuration that can not work.
    """
    refuse_white_space(place)
    with only_one(place.home / "up.lock", "a fleet starts or runs"):
        return _run_up(place, foreground)


def _run_up(place: Place, foreground: bool) -> Exit:
    try:
        config = load_config(place.config_path)
        refuse_second_fleet(place, beside_demo=False)
        broker = private_broker(place) if needs_private_broker(place, config) else None
    except ConfigurationError as error:
        raise CommandFailed(str(error), Exit.CONFIG) from error
    host = prepare(place, broker)
    amqp_url = broker.amqp_url if broker else place.environment.amqp_url or config.rabbitmq.url()
    if not foreground:
        host.start_detached()
        _tell(place, host, amqp_url, broker)
        return Exit.OK
    try:
        host.start()
        _tell(place, host, amqp_url, broker)
        _wait(host)
    finally:
        say("Stopping …")
        host.stop()
        _forget(place)
    return Exit.OK


def run_down(place: Place) -> Exit:
    """Stop what runs in this clone, in order. Raises CommandFailed."""
    running = read_endpoints(place.endpoints)
    if running and running.kind == "demo":
        return _end_demo(running)
    supervisor = Supervisor(socket_of(place))
    pid = supervisor.pid()
    supervisor.stop_in_order(STOP_TIMEOUT_S)
    supervisor.shutdown()
    if not wait_until_gone([pid], STOP_TIMEOUT_S):
        raise CommandFailed(f"supervisord (pid {pid}) does not end")
    _forget(place)
    say("stopped")
    return Exit.OK


def needs_private_broker(place: Place, config: AppConfig) -> bool:
    """Only where neither AMQP_URL nor the configuration names a broker."""
    return place.environment.amqp_url is None and "rabbitmq" not in config.model_fields_set


def private_broker(place: Place) -> PrivateBroker:
    """The same from one start to the next: its data, its login, and its ports if they are free.

    Raises ConfigurationError and CommandFailed.
    """
    refuse_orphaned_broker(place.broker)
    server = find_server(place.environment.rabbitmq_home)
    kept = read_json(place.broker / "kept.json") or {}
    ports = BrokerPorts(**kept["ports"]) if kept else BrokerPorts.free(management=True)
    numbers = (ports.amqp, ports.distribution, ports.epmd, ports.management)
    if not all(is_free(port) for port in numbers if port):
        ports = BrokerPorts.free(management=True)
    login = Login(**kept["login"]) if kept else Login("fleet", secrets.token_urlsafe(12))
    broker = PrivateBroker(place.broker, ports, server, login)
    broker.write()
    _keep(broker)
    return broker


def prepare(place: Place, broker: PrivateBroker | None) -> Host:
    """The files that supervisord reads, and the environment of its programs."""
    (place.home / "supervisor").mkdir(parents=True, exist_ok=True)
    write_programs(place.generated_programs, broker_programs(broker) if broker else [])
    environment = dict(os.environ) | {
        "FLEET_CONFIG": str(place.config_path),
        "FLEET_HOME": str(place.home),
    }
    if broker:
        environment["AMQP_URL"] = broker.amqp_url
    return Host(_conf(place), place.supervisor_socket, environment)


def _conf(place: Place) -> Path:
    """supervisord.conf itself, unless its socket's path is too long in this clone, or what the
    agent adds is in a home elsewhere."""
    root = place.supervisor_conf.parent
    directories = dict.fromkeys((PROGRAMS, place.generated_programs, place.home / "supervisor"))
    if place.supervisor_socket.parent == root / ".fleet" and len(directories) == 2:
        return place.supervisor_conf
    conf = root / ".fleet" / "supervisord.conf"
    includes = [f"{directory}/*.ini" for directory in directories]
    text = variant(root / ".fleet", root / "logs", place.supervisor_socket, includes)
    conf.write_text(text, encoding="utf-8")
    return conf


def _keep(broker: PrivateBroker) -> None:
    ports, login = broker.ports, broker.login
    before = os.umask(0o077)
    try:
        write_json(
            broker.directory / "kept.json",
            {
                "ports": {
                    "amqp": ports.amqp,
                    "distribution": ports.distribution,
                    "epmd": ports.epmd,
                    "management": ports.management,
                },
                "login": {"user": login.user, "password": login.password},
            },
        )
    finally:
        os.umask(before)


def _tell(place: Place, host: Host, amqp_url: str, broker: PrivateBroker | None) -> None:
    Endpoints(
        kind="fleet",
        pid=host.pid,
        started=started_at(host.pid) or 0.0,
        amqp_url=amqp_url,
        supervisor_socket=str(host.socket),
        config=str(place.config_path),
        management_url=broker.management_url if broker else None,
    ).write(place.endpoints)
    say("The fleet is up: fleet status, fleet tail 'futures.#', fleet down; logs are in logs/.")
    if broker:
        say(f"Its private broker's queues: {broker.management_url} (login in {place.endpoints})")


def _wait(host: Host) -> None:
    """Until a signal, or supervisord's own end."""
    stop = False

    def request_stop(_number: int, _frame: object) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, request_stop)
    while not stop and not host.ended():
        time.sleep(_POLL_S)


def _end_demo(running: Endpoints) -> Exit:
    """A demo stops its own supervisord, and cleans up."""
    with suppress(psutil.Error):
        demo = psutil.Process(running.pid).parent()
        if demo is None or demo.pid != running.demo_pid:  # pid 1 has inherited it
            raise CommandFailed("the demo was killed, and what it started is about to end")
        demo.terminate()
        if wait_until_gone([demo.pid], STOP_TIMEOUT_S):
            say("the demo has ended")
            return Exit.OK
    raise CommandFailed("the demo does not end")


def _forget(place: Place) -> None:
    place.endpoints.unlink(missing_ok=True)
    remove_socket(place.supervisor_socket)
    # Else a bare supervisord would start the broker, which nobody had told the programs about.
    write_programs(place.generated_programs, [])
