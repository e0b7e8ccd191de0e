"""Fixtures that all tests share: real brokers, and a deadline for each test."""

import gc
import os
import signal
from collections.abc import Generator, Iterator
from types import FrameType

import pytest
from hypothesis import settings

from cli.broker_node import Node
from shared.errors import BrokerError, ConfigurationError
from tests.brokers import SessionBroker, Vhosts, private_node, session_broker
from tests.collecting import Played
from tests.venues import VENUES

pytest_plugins = ["tests.report", "tests.lanes"]

# A machine with other work on it is no reason for a property to fail.
settings.register_profile("fleet", deadline=None)
settings.load_profile("fleet")

#: A test which takes longer hangs. `@pytest.mark.deadline(seconds)` states another.
DEADLINE_S = 120


def pytest_configure(config: pytest.Config) -> None:
    if not config.option.markexpr:  # long tests are wanted too
        Played.venues = VENUES


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """A collector in this process freezes what it finds, which is the rest of its life: not ours,
    where the next test would find the garbage of all before it."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def the_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionBroker]:
    """The broker of this run; without one the test is skipped, in CI it fails."""
    try:
        with session_broker(tmp_path_factory.mktemp("broker")) as broker:
            yield broker
    except (BrokerError, ConfigurationError) as error:
        missing(str(error))


@pytest.fixture(scope="session")
def amqp_url(the_broker: SessionBroker) -> str:
    """A broker that all tests share: bring names of your own, or take `broker_url`."""
    return the_broker.url


@pytest.fixture
def broker_url(the_broker: SessionBroker) -> Iterator[str]:
    """A vhost of the shared broker for this test alone: the topology can be declared in it."""
    vhosts = the_broker.vhosts
    if vhosts is None:
        pytest.skip("AMQP_URL names a foreign broker, where tests make no vhosts")
    name = vhosts.take()
    yield vhosts.url(name)
    vhosts.give_back(name)


@pytest.fixture(scope="session")
def spare_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Vhosts]]:
    """A broker that nothing needs which goes on after a test: to boot one takes ten seconds."""
    try:
        with private_node(tmp_path_factory.mktemp("node")) as node:
            yield node, Vhosts(node.ctl, node.amqp_url)
    except (BrokerError, ConfigurationError) as error:
        missing(str(error))


@pytest.fixture
def broker_node(spare_node: tuple[Node, Vhosts]) -> Iterator[Node]:
    """A node that the test may stop, kill and freeze, with a fresh vhost in its `amqp_url`."""
    node, vhosts = spare_node
    if not node.running:
        node.start()
    node.vhost = vhosts.take()
    yield node
    node.thaw()
    vhosts.give_back(node.vhost)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE_S

    def expire(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"not finished after {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"nothing to test against: {reason}")
    pytest.skip(f"nothing to test against: {reason}")
