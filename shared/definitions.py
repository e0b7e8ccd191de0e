"""What a broker is told before a fleet runs on it: names, bounds, users and what those may do.

The form is RabbitMQ's own, as `load_definitions` and `rabbitmqctl import_definitions` take it.
Importing adds and renews, it removes nothing.
"""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.permissions import Role
from shared.topology import MIB, Topology

#: What any queue may hold where it states no bound of its own. The lower of policy and argument
#: wins, so this is above every bound in `shared.topology`.
QUEUE_BYTES = 128 * MIB
#: A reader's queue: the oldest goes first, and all of it when nobody has read for a while.
READER_BYTES = 64 * MIB
READER_EXPIRES_MS = 10 * 60 * 1000
_SALT_BYTES = 4  # fixed by RabbitMQ

Definitions = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """A login and what it is for."""

    name: str
    role: Role
    password: str = field(repr=False)


def shared_names(topology: Topology, vhost: str = "/") -> Definitions:
    """The vhost, its policies, and the whole topology: enough for `assert` mode."""
    return {
        "vhosts": [{"name": vhost}],
        "policies": policies(vhost),
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.type,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in topology.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": queue.arguments,
            }
            for queue in topology.queues
        ],
        "bindings": [
            {
                "source": exchange,
                "vhost": vhost,
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for queue in topology.queues
            for exchange, key in queue.bindings
        ],
    }


def policies(vhost: str = "/") -> list[Definitions]:
    """Bounds for queues of others; one policy a queue, that of the highest priority."""
    return [
        {
            "vhost": vhost,
            "name": "bounded",
            "pattern": ".*",
            "apply-to": "queues",
            "priority": 0,
            "definition": {"max-length-bytes": QUEUE_BYTES},
        },
        {
            "vhost": vhost,
            "name": "readers",
            "pattern": r"^futures_reader\.",
            "apply-to": "queues",
            "priority": 10,
            "definition": {
                "max-length-bytes": READER_BYTES,
                "overflow": "drop-head",
                "expires": READER_EXPIRES_MS,
            },
        },
    ]


def logins(users: Sequence[User], vhost: str = "/") -> Definitions:
    """Users, with the hashes of their passwords, and their permissions in a vhost."""
    return {
        "users": [
            {
                "name": user.name,
                "password_hash": password_hash(user.password, secrets.token_bytes(_SALT_BYTES)),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for user in users
        ],
        "permissions": [
            {
                "user": user.name,
                "vhost": vhost,
                "configure": user.role.configure,
                "write": user.role.write,
                "read": user.role.read,
            }
            for user in users
        ],
        "topic_permissions": [
            {
                "user": user.name,
                "vhost": vhost,
                "exchange": topic.exchange,
                "write": topic.write,
                "read": topic.read,
            }
            for user in users
            for topic in user.role.topics
        ],
    }


def password_hash(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps a password: base64 of the salt and SHA-256 over salt and password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
