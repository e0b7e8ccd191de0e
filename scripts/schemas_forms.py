"""Every form that the fleet's messages have on the wire, as JSON Schema, from the models."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from futures_fleet import answers, commands
from scripts.schemas_words import classes, describe
from shared import collection, completeness, messages, status, symbolset
from shared.control import ERROR_CODES

SCHEMA_WORD = "x-schema"  # version of the bodies, `shared.messages.SCHEMA`
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_FLEET = classes(messages, completeness, symbolset, status, collection)
_COMMANDS = classes(commands, collection)
_ANSWERS = classes(answers)


class Batch(messages.Message):
    """A message of `futures_batches`: many rows of one kind. Compressed from some size on, which
    the property `content_encoding` says."""

    schema_: Literal[1] = Field(alias="schema")  # version of the rows' bodies
    kind: str
    exchange: str
    worker: str
    epoch: str
    rows: list[dict[str, Any]]  # each the single message's body with its `key` and `seq`


@dataclass(frozen=True, slots=True)
class Form:
    """A schema, by the name of its file. `heard`: the fleet says it; else it is told so."""

    name: str
    schema: dict[str, Any]
    heard: bool


#: Bodies of the data exchange, by kind; those of `funding` are told apart by `settled`.
BODIES: dict[str, type[BaseModel]] = {
    "futures": messages.FuturesData,
    "ticker": messages.Ticker,
    "orderbook": messages.Orderbook,
    "trades": messages.Trade,
    "ohlcv": messages.Ohlcv,
    "liquidation": messages.Liquidation,
    "funding.settled": messages.SettledFunding,
    "funding.predicted": messages.PredictedFunding,
    "open_interest": messages.OpenInterest,
    "gap": completeness.Gap,
    "coverage": completeness.Coverage,
    "task": messages.TaskResult,
}
#: Bodies of the other exchanges.
OTHERS: dict[str, type[BaseModel]] = {
    "batch": Batch,
    "heartbeat": status.Heartbeat,
    "holdings": status.Holdings,
    "markets": status.MarketList,
    "symbols": symbolset.SymbolSet,
}


def forms() -> list[Form]:
    """All of them."""
    made = [Form(name, _heard(model), heard=True) for name, model in (BODIES | OTHERS).items()]
    for command in commands.COMMANDS:
        made.append(Form(f"command.{command.name}", _command(command), heard=False))
    for name, data in answers.DATA.items():
        made.append(Form(f"answer.{name}", _success(name, data), heard=True))
    made.append(Form("answer.failure", _failure(), heard=True))
    return made


class _Terse(GenerateJsonSchema):
    """Without titles that repeat the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _heard(model: type[BaseModel]) -> dict[str, Any]:
    """As a reader takes it: what has a default may be absent, in messages of an older fleet."""
    schema = model.model_json_schema(schema_generator=_Terse)
    return _finished(schema, model.__name__, {**_FLEET, "Batch": Batch})


def _command(model: type[commands.Command]) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=_Terse)
    command = {"command": {"const": model.name, "type": "string"}}
    schema["properties"] = command | schema["properties"]
    schema["required"] = ["command", *schema.get("required", ())]
    return _finished(schema, model.__name__, _COMMANDS)


def _success(command: str, data: Any) -> dict[str, Any]:
    inner = TypeAdapter(data).json_schema(schema_generator=_Terse)
    describe(inner, data.__name__, _ANSWERS)
    definitions = inner.pop("$defs", {})
    schema = _envelope(True, {"const": command, "type": "string"})
    schema["properties"]["data"] = inner
    schema["required"].append("data")
    if definitions:
        schema["$defs"] = definitions
    return _finished(schema | {"title": f"answer to {command}"}, "", {})


def _failure() -> dict[str, Any]:
    schema = _envelope(False, {"anyOf": [{"type": "string"}, {"type": "null"}]})
    codes = "; ".join(f"{code}: {what}" for code, what in ERROR_CODES.items() if code != "timeout")
    code = {"type": "string", "description": f"what is wrong, for programs. {codes}"}
    schema["properties"] |= {"error": code, "data": {"type": "object"}}
    schema["required"].append("error")
    return _finished(schema | {"title": "refusal"}, "", {})


def _envelope(success: bool, command: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string", "description": "for people"}
    seconds = {"type": "integer", "description": "seconds of the Unix epoch"}
    return {
        "type": "object",
        "properties": {
            "correlation_id": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "success": {"const": success, "type": "boolean"},
            "command": command,
            "message": text,
            "timestamp": seconds,
        },
        "required": ["correlation_id", "success", "command", "message", "timestamp"],
    }


def _finished(schema: dict[str, Any], name: str, known: dict[str, type]) -> dict[str, Any]:
    describe(schema, name, known)
    opened: dict[str, Any] = _open(schema)
    return {"$schema": _DRAFT, SCHEMA_WORD: messages.SCHEMA} | opened


def _open(part: Any) -> Any:
    """Readers overlook fields that they do not know: nothing is closed for what is to come."""
    if isinstance(part, list):
        return [_open(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _open(value)
        for key, value in part.items()
        if not (key == "additionalProperties" and value is False)
    }
