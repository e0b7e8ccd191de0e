"""A user of each role on a private node, and the whole topology in its vhost, all from
definitions: nobody has declared anything."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from cli.broker_node import Node
from cli.ports import LOOPBACK
from shared.definitions import User, logins, shared_names
from shared.permissions import roles
from shared.topology import Topology


@dataclass(frozen=True, slots=True)
class Login:
    user: str
    url: str


def import_logins(
    node: Node, vhost: str, topology: Topology, exchanges: Sequence[str], directory: Path
) -> dict[str, Login]:
    """By role. Users belong to the whole node: the names of ours begin with the vhost's."""
    users = [
        User(f"{vhost}-{role.name}", role, secrets.token_urlsafe())
        for role in roles(topology, exchanges)
    ]
    path = directory / "definitions.json"
    path.write_bytes(orjson.dumps(logins(users, vhost) | shared_names(topology, vhost)))
    node.ctl("import_definitions", str(path))
    at = f"{LOOPBACK}:{node.broker.ports.amqp}/{vhost}"
    return {
        user.role.name: Login(user.name, f"amqp://{user.name}:{user.password}@{at}")
        for user in users
    }
