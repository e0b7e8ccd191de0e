"""The brokers that tests run against, and how each makes vhosts."""

import asyncio
import os
import socket
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.broker_node import Node
from cli.private_broker import BrokerPorts, PrivateBroker, find_server

IMAGE = "rabbitmq:4-alpine"
_AT_ONCE = 10


class Vhosts:
    """Fresh vhosts by way of `rabbitmqctl`: ten a call, since a call costs half a second.

    Used ones are deleted with the next call, and with the broker in the end.
    """

    def __init__(self, ctl: Callable[..., str], base_url: str) -> None:
        self._ctl = ctl
        self._base_url = base_url
        self._made = 0
        self._fresh: list[str] = []
        self._used: list[str] = []

    def take(self) -> str:
        """The name of a vhost that nothing has touched."""
        if not self._fresh:
            self._refill()
        return self._fresh.pop(0)

    def give_back(self, name: str) -> None:
        self._used.append(name)

    def url(self, name: str) -> str:
        return self._base_url + name

    def _refill(self) -> None:
        self._fresh = [f"test-{self._made + i}" for i in range(_AT_ONCE)]
        self._made += _AT_ONCE
        self._ctl("eval", f"{_deleting(self._used)}{_adding(self._fresh)}")
        self._used = []


@dataclass(frozen=True, slots=True)
class SessionBroker:
    """The broker of a test run. `vhosts` is None where we may not make any."""

    url: str
    vhosts: Vhosts | None = None


@asynccontextmanager
async def memory_alarm(node: Node) -> AsyncIterator[None]:
    """The broker takes no message within this block."""
    watermark = "set_vm_memory_high_watermark"
    await asyncio.to_thread(node.ctl, watermark, "0.0001")
    try:
        yield
    finally:
        await asyncio.to_thread(node.ctl, watermark, "0.4")


@contextmanager
def session_broker(directory: Path) -> Iterator[SessionBroker]:
    """AMQP_URL, else a container where an engine answers, else a private node."""
    if url := os.environ.get("AMQP_URL"):
        yield SessionBroker(url)
        return
    container = _started_container()
    if container is None:
        with private_node(directory) as node:
            yield SessionBroker(node.amqp_url, Vhosts(node.ctl, node.amqp_url))
        return
    try:
        url = f"amqp://guest:guest@{container.get_container_host_ip()}:"
        url += f"{container.get_exposed_port(5672)}/"
        yield SessionBroker(url, Vhosts(_ctl_inside(container), url))
    finally:
        container.stop()


@contextmanager
def private_node(directory: Path) -> Iterator[Node]:
    """A node of our own, started. Raises ConfigurationError, BrokerError."""
    node = Node(PrivateBroker(directory, BrokerPorts.free(), find_server()))
    try:
        node.start()
        yield node
    finally:
        node.close()


def _started_container() -> Any:
    """A container with RabbitMQ 4, or None where there is no engine or no image to be had."""
    if not _engine_listens():
        return None
    with warnings.catch_warnings():
        # testcontainers warns about its own modules at import.
        warnings.simplefilter("ignore")
        from testcontainers.community.rabbitmq import RabbitMqContainer

        try:
            container = RabbitMqContainer(IMAGE)
            container.start()
        except Exception:  # noqa: BLE001 whatever is wrong with it: the private node is next
            return None
        return container


def _engine_listens() -> bool:
    if os.environ.get("DOCKER_HOST"):
        return True
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        probe.connect("/var/run/docker.sock")
        return True
    return False


def _ctl_inside(container: Any) -> Callable[..., str]:
    def ctl(*arguments: str) -> str:
        code, output = container.exec(["rabbitmqctl", "-q", *arguments])
        assert code == 0, output.decode()
        return str(output.decode())

    return ctl


def _adding(names: list[str]) -> str:
    """Erlang which makes the vhosts, with the guest user's permissions."""
    return (
        "[begin rabbit_vhost:add(N, <<>>), rabbit_auth_backend_internal:set_permissions("
        f'<<"guest">>, N, <<".*">>, <<".*">>, <<".*">>, <<>>) end || N <- {_binaries(names)}].'
    )


def _deleting(names: list[str]) -> str:
    return f"[rabbit_vhost:delete(N, <<>>) || N <- {_binaries(names)}], "


def _binaries(names: list[str]) -> str:
    return "[" + ",".join(f'<<"{name}">>' for name in names) + "]"
