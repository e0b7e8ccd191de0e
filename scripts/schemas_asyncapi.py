"""The fleet's channels on RabbitMQ as an AsyncAPI 3.0 document."""

from collections.abc import Sequence
from typing import Any

from scripts.schemas_forms import BODIES, SCHEMA_WORD, Form
from shared.kinds import KINDS, Kind
from shared.topology import (
    BATCHES,
    COMMANDS,
    CONTROL_QUEUE,
    RESPONSES,
    STATUS,
    SYMBOLS,
    topology,
)

_DATA = "futures_data"
_BINDING = "0.3.0"
_WORDS = {
    "exchange": "the venue's name on the wire",
    "symbol": "key form: BTCUSDT is BTC/USDT:USDT",
    "timeframe": "of the candles: 1m … 1d",
    "kind": "whose coverage it is",
    "task_id": "as the task was added",
    "worker": "stable id of the worker, with dots and wildcards percent-encoded",
    "role": "collector, coordinator, agent",
    "delivery": "latest or lossless",
    "command": "name of the command, or `invalid`",
}
#: What stands behind the kind in the routing keys of single kinds; elsewhere exchange and symbol.
_TAILS = {
    "ohlcv": ("exchange", "symbol", "timeframe"),
    "coverage": ("exchange", "kind"),
    "task": ("exchange", "symbol", "task_id"),
}
_USUAL = ("exchange", "symbol")
_BATCHES = "Rows of the same facts, cut at 256 KiB or 100 ms."


def document(forms: Sequence[Form]) -> dict[str, Any]:
    """The whole, with references to the schemas beside it."""
    names = [form.name for form in forms]
    orders = [name for name in names if name.startswith("command.")]
    replies = [name for name in names if name.startswith("answer.")]
    version = forms[0].schema[SCHEMA_WORD]
    data = _data_channels()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "futures-fleet",
            "version": f"{version}.0.0",
            "description": "Market data of crypto futures over RabbitMQ, and the control of the "
            "fleet that collects it. docs/messages.md says what each field means.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "127.0.0.1:5672", "protocol": "amqp"}},
        "channels": data | _other_channels() | _control_channels(orders, replies),
        "operations": _operations(data) | _control_operations(),
        "components": {
            "messages": _messages(orders, replies),
            "messageTraits": {"fact": _fact_trait()},
        },
    }


def _data_channels() -> dict[str, Any]:
    channels = {}
    for name in dict.fromkeys(kind.name for kind in KINDS.values()):
        rows = [kind for kind in KINDS.values() if kind.name == name]
        messages = [body for body in BODIES if body.partition(".")[0] == name]
        tail = _TAILS.get(name, _USUAL)
        channels[name] = _channel(_DATA, (name, *tail), messages, _told(rows))
    return channels


def _told(rows: Sequence[Kind]) -> str:
    parts = [
        f"{row.variant or ('the rest' if len(rows) > 1 else 'delivery')}: {row.delivery.value}, "
        + ("message_id names one immutable fact" if row.keyed else "message_id is only unique")
        for row in rows
    ]
    return "; ".join(parts)


def _other_channels() -> dict[str, Any]:
    status = ("exchange", "worker")
    return {
        "batches": _channel(BATCHES, ("", "delivery", "kind", "exchange"), ["batch"], _BATCHES),
        "symbols": _fanout(),
        "heartbeats": _channel(
            STATUS, ("heartbeat", "role", *status), ["heartbeat"], "Every 2 s, at most 4 kB."
        ),
        "holdings": _channel(
            STATUS, ("holdings.collector", *status), ["holdings"], "What each of several has."
        ),
        "markets": _channel(
            STATUS, ("markets.collector", *status), ["markets"], "What a venue lists."
        ),
    }


def _control_channels(orders: Sequence[str], replies: Sequence[str]) -> dict[str, Any]:
    channel = _channel(RESPONSES, ("control.response", "command"), replies, "Answers to commands.")
    return {
        "commands": {
            "address": CONTROL_QUEUE,
            "description": f"Publish to the exchange {COMMANDS} with the queue's name as routing "
            "key, persistent, mandatory; never declare the queue.",
            "messages": {name: _ref(name) for name in orders},
            "bindings": _amqp(COMMANDS, "direct"),
        },
        "answers": channel,
    }


def _channel(
    exchange: str, words: Sequence[str], messages: Sequence[str], description: str
) -> dict[str, Any]:
    """`words`: the first as it stands, the others are parameters."""
    first, *parameters = words
    address = ".".join(filter(None, (first, *(f"{{{word}}}" for word in parameters))))
    kind = {one.name: one.type for one in topology(_DATA).exchanges}[exchange]
    return {
        "address": address,
        "description": description,
        "parameters": {word: {"description": _WORDS[word]} for word in parameters},
        "messages": {name: _ref(name) for name in messages},
        "bindings": _amqp(exchange, kind),
    }


def _fanout() -> dict[str, Any]:
    return {
        "address": SYMBOLS,
        "description": "The effective symbols of each venue, in full, with their revision.",
        "messages": {"symbols": _ref("symbols")},
        "bindings": _amqp(SYMBOLS, "fanout"),
    }


def _amqp(exchange: str, kind: str) -> dict[str, Any]:
    told = {"name": exchange, "type": kind, "durable": True, "autoDelete": False, "vhost": "/"}
    return {"amqp": {"is": "routingKey", "exchange": told, "bindingVersion": _BINDING}}


def _operations(data: dict[str, Any]) -> dict[str, Any]:
    said = (*data, "batches", "symbols", "heartbeats", "holdings", "markets")
    return {
        f"say_{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        for name in said
    }


def _control_operations() -> dict[str, Any]:
    return {
        "obey": {
            "action": "receive",
            "channel": {"$ref": "#/channels/commands"},
            "summary": "One command at a time, by whichever coordinator leads. Repeated with the "
            "same correlation id and the same bytes it is answered alike and done once.",
            "reply": {"channel": {"$ref": "#/channels/answers"}},
        }
    }


def _messages(orders: Sequence[str], replies: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for body in BODIES:
        made[body] = _message(body, body.partition(".")[0])
        made[body]["traits"] = [{"$ref": "#/components/messageTraits/fact"}]
    for name in ("batch", "heartbeat", "holdings", "markets", "symbols"):
        made[name] = _message(name, name)
    for name in (*orders, *replies):
        made[name] = _message(name, name)
        made[name]["correlationId"] = {"location": "$message.payload#/correlation_id"}
    return made


def _message(name: str, kind: str) -> dict[str, Any]:
    return {"name": kind, "payload": {"$ref": f"./schemas/{name}.json"}}


def _fact_trait() -> dict[str, Any]:
    """Properties and headers of every message of the data exchange."""

    def field(kind: str, text: str) -> dict[str, str]:
        return {"type": kind, "description": text}

    return {
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {
                "schema": field("integer", "version of the body"),
                "worker": field("string", "who published it"),
                "epoch": field("string", "in which run; compared for equality only"),
                "seq": field("integer", "+1 for each message of a run on a routing key"),
                "prev_epoch": field("string", "on the first of a run: the run before"),
                "prev_seq": field("integer", "and its last number, as it was on disk"),
                "received_at": field("integer", "when its frame was read, ms of the Unix epoch"),
            },
            "required": ["schema", "worker", "epoch", "seq", "received_at"],
        },
        "bindings": {
            "amqp": {
                "contentEncoding": "utf-8",
                "messageType": "the kind",
                "bindingVersion": _BINDING,
            }
        },
    }


def _ref(message: str) -> dict[str, str]:
    return {"$ref": f"#/components/messages/{message}"}
