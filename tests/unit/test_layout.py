"""The layout of the project, held: who may import whom, where a thing may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.venues import VENUES

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "workers", "coordinator", "simulator", "cli", "client", "bench")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
IDS = [str(path.relative_to(ROOT)) for path in FILES]

#: What each package may import of the project.
MAY_IMPORT = {
    "shared": {"shared"},
    "workers": {"shared", "workers"},
    "coordinator": {"shared", "coordinator"},
    "simulator": {"simulator"},  # a venue knows nothing of us
    "cli": {"shared", "cli"},  # it starts the others as processes
    "client": {"futures_fleet"},  # a wheel of its own; it brings copies of what it shares
    # Only what they say of themselves, and the client as a user has it.
    "bench": {"shared", "cli", "bench", "workers", "simulator", "futures_fleet"},
}
#: Where a venue may be named in code: the catalogue and what belongs to one venue.
NAMES_VENUES = (
    "shared/venues.py",
    "client/futures_fleet/_wire/venues.py",
    "workers/collector/catalogue/",
    "simulator/",
    "bench/worker.py",
)
_VENUE = re.compile(rf"\b({'|'.join(VENUES)})\b", re.IGNORECASE)


def modules_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    imported = {name.split(".")[0] for name in modules_imported(path)}
    imported &= {*PACKAGES, "futures_fleet"}
    assert imported <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_file_is_one_noun(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_generic_code_names_no_venue(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name.startswith(NAMES_VENUES) or "/venues/" in name:
        return
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
    ]
    used = [text for text in strings if _VENUE.fullmatch(text)]
    assert not used


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_the_environment_has_one_door(path: Path) -> None:
    if str(path.relative_to(ROOT)) == "shared/config.py" or "simulator" in path.parts:
        return
    assert not re.search(r"os\.environ\[|os\.environ\.get|os\.getenv", path.read_text())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_names_on_the_broker_have_one_door(path: Path) -> None:
    doors = ("shared/broker.py", "bench/shelf.py", "client/futures_fleet/_wire/broker.py")
    if str(path.relative_to(ROOT)) in doors:
        return
    assert not re.search(r"\.(declare_queue|declare_exchange|queue_declare)\(", path.read_text())
