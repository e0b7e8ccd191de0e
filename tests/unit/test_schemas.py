"""The published schemas: what the models say, and nothing that breaks their readers."""

from copy import deepcopy
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from coordinator.answers import failure, success
from futures_fleet import answers
from scripts import schemas
from scripts.schemas_compat import breaks
from scripts.schemas_forms import BODIES, forms
from shared.batch import Batch, decoded
from shared.kinds import KINDS, TRADES
from shared.messages import Trade
from shared.status import Heartbeat
from tests.facts import NOW_MS, trade

FORMS = {form.name: form for form in forms()}
OLD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "maxLength": 10},
        "price": {"type": "number", "exclusiveMinimum": 0},
        "side": {"enum": ["buy", "sell"], "type": "string"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "levels": {"type": "array", "items": {"$ref": "#/$defs/Level"}},
        "sizes": {"type": "object", "additionalProperties": {"type": "number"}},
        "late": {"type": "integer", "default": 0},
    },
    "required": ["id", "price"],
    "$defs": {
        "Level": {"type": "object", "properties": {"size": {"type": "number"}}, "required": []}
    },
}


def test_the_files_are_what_the_models_say() -> None:
    assert [str(path) for path in schemas.stale()] == [], "run python scripts/schemas.py"


def test_nothing_breaks_who_goes_by_the_files() -> None:
    assert schemas.committed(), "no schemas are committed"
    assert schemas.incompatible(schemas.committed()) == []


@pytest.mark.parametrize("name", FORMS)
def test_each_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(FORMS[name].schema)


def test_fields_are_described_by_their_comments() -> None:
    fields = FORMS["trades"].schema["properties"]
    assert fields["side"]["description"] == "of the taker"
    assert fields["id"]["description"] == "in the venue's own id space"
    ticker = FORMS["ticker"].schema["properties"]
    assert ticker["ask_size"].get("description") is None
    assert ticker["base_volume"]["description"] == "base currency"
    command = FORMS["command.add_symbol"].schema["properties"]
    assert "revision_conflict" in command["expected_revision"]["description"]


def valid(name: str, body: Any) -> bool:
    return bool(Draft202012Validator(FORMS[name].schema).is_valid(body))


def test_what_the_fleet_says_fits() -> None:
    body = orjson.loads(Trade.model_validate_json(trade(5)).model_dump_json())
    assert valid("trades", body)
    assert valid("trades", body | {"of a newer fleet": 1})
    assert not valid("trades", body | {"price": 0})
    assert not valid("trades", {k: v for k, v in body.items() if k != "id"})
    beat = Heartbeat(
        role="agent", exchange=None, worker="agent@h", epoch="agent@h/1", state="running",
        sent_at=NOW_MS, revision=None,
    )  # fmt: skip
    assert valid("heartbeat", orjson.loads(beat.model_dump_json()))


def test_a_batch_fits() -> None:
    batch = Batch(TRADES)
    for number in range(50):
        batch.add(b'{"key":"%d","seq":%d,' % (number, number) + trade(number)[1:])
    body, encoding = batch.encode("binance", "w", "w/1")
    assert valid("batch", orjson.loads(decoded(body, encoding)))
    assert not valid("batch", {"schema": 1, "rows": []})


def test_answers_fit() -> None:
    data = {"symbols": ["BTC/USDT:USDT"], "count": 1, "revision": None, "state_revision": 4}
    answer = success("get_symbols", "c", "text", data, 5)
    assert valid("answer.get_symbols", answer)
    assert not valid("answer.get_symbols", answer | {"data": {"count": 1}})
    assert not valid("answer.set_symbols", answer)
    assert valid("answer.failure", failure(None, None, "invalid_json", "text", 5))
    assert not valid("answer.failure", answer)


def test_every_command_has_a_form_and_an_answer() -> None:
    commands = {name.partition(".")[2] for name in FORMS if name.startswith("command.")}
    assert commands == set(answers.DATA)
    assert valid("command.get_symbols", {"command": "get_symbols"})
    assert not valid("command.get_symbols", {})
    assert not valid("command.add_symbol", {"command": "add_symbol"})
    assert not valid("command.add_symbol", {"command": "remove_symbol", "symbol": "X"})


def test_every_kind_has_a_channel_and_its_bodies() -> None:
    document = YAML(typ="safe").load(schemas.ASYNCAPI.read_text())
    names = {kind.name for kind in KINDS.values()}
    assert names <= set(document["channels"])
    assert {body.partition(".")[0] for body in BODIES} <= names
    assert document["channels"]["task"]["address"] == "task.{exchange}.{symbol}.{task_id}"
    assert document["asyncapi"] == "3.0.0"


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = YAML(typ="safe").load(schemas.ASYNCAPI.read_text())
    references = list(_references(document))
    assert len(references) > 50
    for reference in references:
        if reference.startswith("./"):
            assert (schemas.ASYNCAPI.parent / reference).is_file(), reference
            continue
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_every_form_is_in_the_document() -> None:
    text = schemas.ASYNCAPI.read_text()
    assert [name for name in FORMS if f"./schemas/{name}.json" not in text] == []


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def changed(**fields: Any) -> dict[str, Any]:
    """OLD with other fields; None takes one away."""
    new = deepcopy(OLD)
    new["properties"] |= fields
    new["properties"] = {name: rules for name, rules in new["properties"].items() if rules}
    return new


HARMLESS = [
    OLD,
    changed(more={"type": "string"}),
    changed(id={"type": "string", "maxLength": 10, "description": "said better"}),
]
NARROWER = [
    changed(late=None),
    changed(id={"type": "integer"}),
    changed(id={"type": "string", "maxLength": 9}),
    changed(price={"type": "integer", "exclusiveMinimum": 0}),
    changed(price={"type": "number", "exclusiveMinimum": 1}),
    changed(price={"type": "number", "exclusiveMinimum": 0, "maximum": 5}),
    changed(side={"const": "buy", "type": "string"}),
    changed(note={"type": "string"}),
    changed(levels={"type": "array", "items": {"type": "number"}}),
    changed(sizes={"type": "object", "additionalProperties": {"type": "integer"}}),
    OLD | {"required": ["id", "price", "side"]},
    changed(more={"type": "string"}) | {"required": ["id", "price", "more"]},
    OLD | {"$defs": {"Level": {"type": "object", "properties": {}}}},
]
WIDER = [
    changed(id={"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]}),
    changed(id={"type": "string", "maxLength": 11}),
    changed(price={"type": "number"}),
    changed(side={"enum": ["buy", "sell", "none"], "type": "string"}),
    changed(late={"type": "number", "default": 0}),
    OLD | {"required": ["id"]},
]


@pytest.mark.parametrize("new", HARMLESS)
def test_what_harms_nobody(new: dict[str, Any]) -> None:
    assert breaks(OLD, new, heard=True) == []


@pytest.mark.parametrize("new", NARROWER)
@pytest.mark.parametrize("heard", [True, False])
def test_what_breaks_those_who_wrote_for_it(new: dict[str, Any], heard: bool) -> None:
    assert breaks(OLD, new, heard=heard)


@pytest.mark.parametrize("new", WIDER)
def test_what_breaks_those_who_read_it(new: dict[str, Any]) -> None:
    assert breaks(OLD, new, heard=True)
    assert breaks(OLD, new, heard=False) == []


def test_a_form_that_goes_is_told() -> None:
    before = schemas.committed() | {"gone": {"type": "object"}}
    assert schemas.incompatible(before) == ["gone: is gone"]


def test_a_raised_version_may_break() -> None:
    before = deepcopy(schemas.committed())
    before["trades"]["properties"]["colour"] = {"type": "string"}
    assert schemas.incompatible(before) == ["trades/colour: is gone"]
    before["trades"]["x-schema"] = 0
    assert schemas.incompatible(before) == []
