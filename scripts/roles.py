"""Write what is generated below deploy/rabbitmq: `python scripts/roles.py`, or `--check` it."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from shared.definitions import shared_names
from shared.permissions import roles
from shared.topology import topology
from shared.venues import VENUES

_DIRECTORY = ROOT / "deploy" / "rabbitmq"
_DATA_EXCHANGE = "futures_data"
#: The one user of docker compose's broker, which listens on loopback.
_LOGIN, _EVERYTHING = "guest", ".*"


def files() -> dict[Path, bytes]:
    """Each generated file and what belongs in it."""
    return {
        _DIRECTORY / "roles.json": _json([asdict(role) for role in _roles()]),
        _DIRECTORY / "definitions.json": _json(_definitions()),
    }


def _roles() -> Any:
    return roles(topology(_DATA_EXCHANGE), VENUES)


def _definitions() -> dict[str, Any]:
    everything = {"configure": _EVERYTHING, "write": _EVERYTHING, "read": _EVERYTHING}
    return {
        "users": [{"name": _LOGIN, "password": _LOGIN, "tags": "administrator"}],
        "permissions": [{"user": _LOGIN, "vhost": "/"} | everything],
    } | shared_names(topology(_DATA_EXCHANGE).with_requests(VENUES))


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where one differs")
    check = parser.parse_args().check
    stale = [path for path, text in files().items() if _read(path) != text]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)} {'differs' if check else 'written'}\n")
        if not check:
            path.write_bytes(files()[path])
    return 1 if check and stale else 0


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


if __name__ == "__main__":
    sys.exit(main())
