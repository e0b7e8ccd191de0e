"""What each field means, out of the comments that stand beside the fields in the code."""

import ast
import inspect
import io
import tokenize
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any


def classes(*modules: ModuleType) -> dict[str, type]:
    """All classes of some modules, by name."""
    return {
        name: thing
        for module in modules
        for name, thing in vars(module).items()
        if isinstance(thing, type) and thing.__module__ == module.__name__
    }


def describe(schema: dict[str, Any], name: str, known: Mapping[str, type]) -> None:
    """Add the words of each field to the schema of the class `name`, and to its parts."""
    for title, part in ((name, schema), *schema.get("$defs", {}).items()):
        said = words(known[title]) if title in known else {}
        for field, rules in part.get("properties", {}).items():
            rules |= {"description": said[field]} if field in said else {}


def words(thing: type) -> dict[str, str]:
    """The comment of each field: behind it, or in the lines above it. Of its bases, too."""
    said: dict[str, str] = {}
    for base in reversed(_bases(thing)):
        said |= _own_words(base)
    return said


def _bases(thing: type) -> list[type]:
    """The class and what it was made of. Typed dictionaries forget theirs but in one place."""
    found = [thing]
    for base in getattr(thing, "__orig_bases__", thing.__bases__):
        if isinstance(base, type) and base.__module__.split(".")[0] in _OURS:
            found += _bases(base)
    return found


_OURS = frozenset(("shared", "futures_fleet", "scripts", "__main__"))


def _own_words(thing: type) -> dict[str, str]:
    source = inspect.getsource(thing)
    lines = source.splitlines()
    comments = _comments(source)
    tree = ast.parse(source).body[0]
    assert isinstance(tree, ast.ClassDef)
    said = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = _above(lines, node.lineno)
            text = " ".join((*above, comments.get(node.end_lineno or 0, ""))).strip()
            if text:
                said[node.target.id] = text
    return said


def _comments(source: str) -> dict[int, str]:
    """By line, those that stand behind code."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: _plain(token.string)
        for token in tokens
        if token.type == tokenize.COMMENT and token.line[: token.start[1]].strip()
    }


def _above(lines: list[str], number: int) -> Iterable[str]:
    found: list[str] = []
    while number >= 2 and lines[number - 2].lstrip().startswith("#"):
        number -= 1
        found.insert(0, _plain(lines[number - 1].strip()))
    return found


def _plain(comment: str) -> str:
    return comment.lstrip("#:").strip()
