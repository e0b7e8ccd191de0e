"""Writes docs/schemas and docs/asyncapi.yaml from the models: `python scripts/schemas.py`.

Refuses what would break those who read or write the messages of now, unless the version of the
bodies was raised. `--check` writes nothing and says what differs.
"""

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "client")]

from scripts.schemas_asyncapi import document
from scripts.schemas_compat import breaks
from scripts.schemas_forms import SCHEMA_WORD, forms

SCHEMAS = ROOT / "docs" / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"
_HEAD = "# Made by scripts/schemas.py from the models: change those.\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="say what differs, write nothing")
    check = parser.parse_args(arguments).check
    broken = incompatible(committed())
    if broken:
        sys.stderr.write("\n".join((*broken, "raise shared.messages.SCHEMA, or keep it\n")))
        return 1
    changed = stale()
    if check:
        for path in changed:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not what the models say\n")
        return 1 if changed else 0
    SCHEMAS.mkdir(exist_ok=True)
    for path, content in changed.items():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    return 0


def files() -> dict[Path, bytes]:
    """What shall stand in the files."""
    made = {
        SCHEMAS / f"{form.name}.json": orjson.dumps(form.schema, option=orjson.OPT_INDENT_2) + b"\n"
        for form in forms()
    }
    made[ASYNCAPI] = _yaml(document(forms()))
    return made


def stale() -> dict[Path, bytes | None]:
    """Files whose content differs, with what it shall be; None where none shall be there."""
    wanted = files()
    there = {*SCHEMAS.glob("*.json"), *([ASYNCAPI] if ASYNCAPI.exists() else ())}
    gone: dict[Path, bytes | None] = dict.fromkeys(there - set(wanted))
    return gone | {
        path: content
        for path, content in wanted.items()
        if path not in there or path.read_bytes() != content
    }


def committed() -> dict[str, dict[str, Any]]:
    """The schemas as they stand in the files, by name."""
    return {path.stem: orjson.loads(path.read_bytes()) for path in sorted(SCHEMAS.glob("*.json"))}


def incompatible(before: Mapping[str, dict[str, Any]]) -> list[str]:
    """What the models break for those who go by the schemas `before`, one line each."""
    now = {form.name: form for form in forms()}
    found = [f"{name}: is gone" for name in before if name not in now]
    for name, old in before.items():
        form = now.get(name)
        if form is not None and form.schema[SCHEMA_WORD] == old[SCHEMA_WORD]:
            found += [f"{name}{line}" for line in breaks(old, form.schema, heard=form.heard)]
    return found


def _yaml(content: dict[str, Any]) -> bytes:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.representer.ignore_aliases = lambda *_: True
    text = io.StringIO()
    yaml.dump(content, text)
    return (_HEAD + text.getvalue()).encode()


if __name__ == "__main__":
    sys.exit(main())
