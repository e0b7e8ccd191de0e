"""Copies what the client library shares with the fleet: `python scripts/wire.py`.

The library is a wheel of its own and may bring no package called `shared`, so it carries these
modules below `futures_fleet._wire`, word for word but for imports and the logger's name. A test
compares.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "client" / "futures_fleet" / "_wire"
PACKAGE = "futures_fleet._wire"

#: In `shared/`. Together they import nothing else of it.
MODULES = (
    "backoff",
    "breaker",
    "broker",
    "clock",
    "collection",
    "completeness",
    "endpoints",
    "errors",
    "exchange_manager",
    "kinds",
    "known_venues",
    "messages",
    "reactions",
    "requester",
    "requests",
    "routing",
    "status",
    "symbols",
    "symbolset",
    "tasks",
    "timeframes",
    "topology",
    "venues",
)
#: Methods that need what the library does not bring, and the import that they alone need.
_LEFT_OUT = {"broker": ("of", "shared.config")}
_HEAD = "# Copied from shared/{name}.py by scripts/wire.py: change that one.\n"
_PACKAGE_DOC = '"""What the library shares with the fleet, copied by scripts/wire.py."""\n'


def main() -> int:
    for name, text in copies().items():
        (TARGET / name).write_text(text)
    return 0


def copies() -> dict[str, str]:
    """What the copies shall hold, by file name."""
    made = {"__init__.py": _PACKAGE_DOC}
    for name in MODULES:
        text = (ROOT / "shared" / f"{name}.py").read_text()
        made[f"{name}.py"] = _HEAD.format(name=name) + _copied(name, text)
    return made


def _copied(name: str, text: str) -> str:
    if name in _LEFT_OUT:
        text = _without(text, *_LEFT_OUT[name])
    text = text.replace('getLogger("rabbitmq")', 'getLogger("futures_fleet")')
    text = text.replace("from shared import", f"from {PACKAGE} import")
    return text.replace("from shared.", f"from {PACKAGE}.")


def _without(text: str, method: str, module: str) -> str:
    """The module without one method, the blank line after it, and one import."""
    gone: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            gone.update(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, ast.FunctionDef) and node.name == method:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            gone.update(range(first, (node.end_lineno or 0) + 2))
    if not gone:
        raise ValueError(f"there is no {method} to leave out")
    lines = text.splitlines(keepends=True)
    return "".join(line for number, line in enumerate(lines, start=1) if number not in gone)


if __name__ == "__main__":
    sys.exit(main())
