"""The private broker of a benchmark."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from cli.broker_node import Node
from cli.private_broker import BrokerPorts, PrivateBroker, find_server
from shared.config import read_environment

#: Room for all messages of a run: what a queue's bound drops can not be counted.
QUEUE_BYTES = 2**30


@contextmanager
def private_node() -> Iterator[Node]:
    """A node of its own, gone with the block. Raises ConfigurationError, BrokerError."""
    server = find_server(read_environment().rabbitmq_home)
    directory = Path(tempfile.mkdtemp(prefix="fleet-bench-"))
    node = Node(PrivateBroker(directory, BrokerPorts.free(), server))
    try:
        node.start()
        # The policy of private nodes bounds all queues, far below what is counted here.
        policy = orjson.dumps({"max-length-bytes": QUEUE_BYTES}).decode()
        node.ctl("set_policy", "--priority", "1", "--apply-to", "queues", "bench", "^bench", policy)
        yield node
    finally:
        node.close()
        shutil.rmtree(directory, ignore_errors=True)


def broker_pid(node: Node) -> int:
    """Of the Erlang machine."""
    return int(node.broker.pid_file.read_text())
