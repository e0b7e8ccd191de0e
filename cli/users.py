"""`fleet users`: a login for each role, with random passwords, as definitions for a broker."""

import re
import secrets
import sys
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from cli.exits import CommandFailed, Exit
from cli.output import print_json
from cli.place import Place
from shared.config import AppConfig, load_config
from shared.definitions import User, logins, shared_names
from shared.errors import ConfigurationError
from shared.permissions import roles
from shared.topology import topology
from shared.venues import VENUES, canonical_venue

_PREFIX = re.compile(r"[a-zA-Z0-9_.-]{0,64}")
_PASSWORD_BYTES = 24


def run_users(
    place: Place, exchanges: Sequence[str], prefix: str, services: bool, as_json: bool
) -> Exit:
    """Print definitions that `rabbitmqctl import_definitions` takes; passwords stand there as
    hashes and, this one time, in clear on stderr, or beside them in the JSON.

    The vhost is that of AMQP_URL, else of the configuration; so are the data exchange and, where
    none are named, the exchanges. Raises CommandFailed and ConfigurationError.
    """
    config = load_config(place.config_path) if place.config_path.exists() else None
    if _PREFIX.fullmatch(prefix) is None:
        raise CommandFailed("a prefix has letters, digits, '_', '.' and '-' alone", Exit.USAGE)
    vhost = _vhost(place, config)
    names = _wire_names(exchanges or _configured(config))
    shared = topology(config.rabbitmq.exchange if config else "futures_data").with_requests(names)
    users = [
        User(prefix + role.name, role, secrets.token_urlsafe(_PASSWORD_BYTES))
        for role in roles(shared, names)
        if services or not role.service
    ]
    definitions = logins(users, vhost) | shared_names(shared, vhost)
    if as_json:
        told = [
            {
                "user": user.name,
                "role": user.role.name,
                "purpose": user.role.purpose,
                "password": user.password,
            }
            for user in users
        ]
        print_json({"users": told, "definitions": definitions})
        return Exit.OK
    width = max(len(user.name) for user in users)
    for user in users:
        sys.stderr.write(f"{user.name.ljust(width)}  {user.password}\n")
    print_json(definitions)
    return Exit.OK


def _vhost(place: Place, config: AppConfig | None) -> str:
    if url := place.environment.amqp_url:
        return unquote(urlsplit(url).path.removeprefix("/")) or "/"
    return config.rabbitmq.vhost if config else "/"


def _configured(config: AppConfig | None) -> Sequence[str]:
    return config.exchanges if config else VENUES


def _wire_names(exchanges: Sequence[str]) -> list[str]:
    """Each venue once, by the name that it has on the wire."""
    names: dict[str, str] = {}
    for exchange in exchanges:
        try:
            venue = canonical_venue(exchange)
        except ConfigurationError as error:
            raise CommandFailed(str(error), Exit.USAGE) from None
        if names.setdefault(venue, exchange) != exchange:
            raise CommandFailed(f"{exchange} and {names[venue]} are the same venue", Exit.USAGE)
    return list(names.values())
