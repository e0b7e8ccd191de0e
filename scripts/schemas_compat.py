"""Whether a JSON Schema that changed still fits those who know the one before it."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaks(old: Schema, new: Schema, *, heard: bool) -> list[str]:
    """What of `new` breaks somebody, one line each.

    Whoever wrote for `old` is still understood: no field gone, no type narrower, no new required
    field. Of what the fleet says and others hear (`heard`) also: nothing wider, and what was always
    there still is, for a reader made for `old`. New fields that may be absent break nobody.
    """
    found = list(_Pair(old, new, both=True).less(old, new, ""))
    if heard:
        found += [f"{line} (for readers of before)" for line in _wider(old, new)]
    return found


def _wider(old: Schema, new: Schema) -> Iterator[str]:
    return _Pair(new, old, both=False).less(new, old, "")


class _Pair:
    """Two documents, whose references lead into their own definitions; none leads in a circle."""

    def __init__(self, one: Schema, other: Schema, *, both: bool) -> None:
        self._one = one
        self._other = other
        self._both = both  # whether a field that the other lacks counts

    def less(self, one: Schema, other: Schema, path: str) -> Iterator[str]:
        """What `other` refuses though `one` takes it."""
        choices = _choices(_resolved(one, self._one), self._one)
        others = _choices(_resolved(other, self._other), self._other)
        for choice in choices:
            faults = [list(self._choice(choice, against, path)) for against in others]
            if all(faults):
                yield from min(faults, key=len)

    def _choice(self, one: Schema, other: Schema, path: str) -> Iterator[str]:
        at = path or "/"
        if not _same_type(one, other):
            yield f"{at}: {_type(one)} is refused by {_type(other)}"
            return
        yield from _values(one, other, at)
        yield from _bounds(one, other, at)
        yield from self._object(one, other, path)
        for inner in ("items", "additionalProperties"):
            mine, theirs = one.get(inner), other.get(inner)
            if isinstance(theirs, dict):
                yield from self.less(mine if isinstance(mine, dict) else {}, theirs, f"{path}/*")

    def _object(self, one: Schema, other: Schema, path: str) -> Iterator[str]:
        mine, theirs = one.get("properties", {}), other.get("properties", {})
        for name in mine:
            if name in theirs:
                yield from self.less(mine[name], theirs[name], f"{path}/{name}")
            elif self._both:
                yield f"{path}/{name}: is gone"
        always = set(one.get("required", ()))
        for name in other.get("required", ()):
            if name not in always and (self._both or name in mine):
                yield f"{path}/{name}: {'is required' if self._both else 'may be absent'} now"


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = document["$defs"][name]
    return schema


def _choices(schema: Schema, document: Schema) -> list[Schema]:
    """What a value may be, each alternative for itself; several values or types are several."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            parts = (_resolved(part, document) for part in schema[word])
            return [choice for part in parts for choice in _choices(part, document)]
    if "enum" in schema:
        return [{"type": _json_type(value), "const": value} for value in schema["enum"]]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": name} for name in schema["type"]]
    return [schema]


def _same_type(one: Schema, other: Schema) -> bool:
    mine, theirs = _type(one), _type(other)
    return theirs in (mine, "anything") or (mine, theirs) == ("integer", "number")


def _type(schema: Schema) -> str:
    if "const" in schema:
        return _json_type(schema["const"])
    return str(schema.get("type", "anything"))


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names.get(type(value), "object")


def _values(one: Schema, other: Schema, at: str) -> Iterator[str]:
    if "const" in other and one.get("const", ...) != other["const"]:
        yield f"{at}: {one.get('const', 'other values')!r} is refused now"
    if "pattern" in other and "const" not in one and one.get("pattern") != other["pattern"]:
        yield f"{at}: the pattern is another"


def _bounds(one: Schema, other: Schema, at: str) -> Iterator[str]:
    if "const" in one:
        return
    for words, narrower in ((_AT_LEAST, 1), (_AT_MOST, -1)):
        for word in words:
            mine, theirs = one.get(word), other.get(word)
            if theirs is not None and (mine is None or narrower * (theirs - mine) > 0):
                yield f"{at}: {word} {theirs} in place of {mine}"
