"""Messages as rows of a spool, and back.

A row says in plain columns what is counted of it; all else is in `meta` and `body`, which its
checksum covers.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

from shared.encoding import encoded
from shared.kinds import KINDS, Delivery, Kind
from shared.publisher import Publication
from shared.topology import BATCHES

#: What a row costs beside its meta and body.
ROW_BYTES = 48
_BATCH = ".batch"  # how the label of a batch ends

Row = tuple[int, Any, Any, Any, Any, Any]
"""Id, label, rows, meta, body, checksum: anything at all, where the file is damaged."""


def row_of(message: Publication) -> tuple[str, int, bytes, bytes, int]:
    """All of its row but the id."""
    meta = encoded(
        {
            "exchange": message.exchange,
            "key": message.routing_key,
            "kind": message.kind.label,
            "id": message.message_id,
            "headers": message.headers,
            "timestamp": message.timestamp_ms,
            "rows": message.rows,
            "encoding": message.content_encoding,
            "mandatory": message.mandatory,
        }
    )
    checksum = zlib.crc32(message.body, zlib.crc32(meta))
    return message.label, message.rows, meta, message.body, checksum


def row_size(message: Publication) -> int:
    """About what a message takes on disk, before it is there."""
    strings = len(message.exchange) + len(message.routing_key) + len(message.message_id)
    return len(message.body) + strings + 256 + ROW_BYTES


def message_of(row: Row) -> Publication | None:
    """The message in a row; None where it is damaged, or not as any version writes it."""
    row_id, label, rows, meta, body, checksum = row
    if not isinstance(meta, bytes) or not isinstance(body, bytes):
        return None
    if zlib.crc32(body, zlib.crc32(meta)) != checksum:
        return None
    message = _read(_parsed(meta), body)
    # Neither column is under the checksum, and the books are kept by both.
    if message is None or (message.label, message.rows) != (label, rows):
        return None
    message.kept_as, message.kept_size = row_id, len(meta) + len(body) + ROW_BYTES
    return message


def _read(fields: Mapping[str, Any], body: bytes) -> Publication | None:
    match fields:
        case {
            "exchange": str(exchange),
            "key": str(key),
            "kind": str(kind),
            "id": str(message_id),
            "headers": dict(headers),
            "timestamp": int(timestamp),
        }:
            message = Publication(exchange, key, _kind(kind), body, message_id, headers, timestamp)
        case _:
            return None
    match fields.get("rows", 1), fields.get("encoding"):
        case int(rows), str() | None as encoding:
            message.rows, message.content_encoding = rows, encoding
            message.mandatory = bool(fields.get("mandatory"))
            return message
    return None


def counted(row: Row) -> tuple[str, int, int]:
    """The label, facts and bytes that a row counts for, whatever is in it."""
    size = sum(len(part) for part in (row[3], row[4]) if isinstance(part, bytes | str))
    return str(row[1]), number(row[2]), size + ROW_BYTES


def number(value: object) -> int:
    return value if isinstance(value, int) else 1


def remains_of(row: Row) -> Publication:
    """What is known of a message that can not be read; see `remains`."""
    label, rows, _ = counted(row)
    left = remains(label, rows)
    match _parsed(row[3]):
        case {
            "key": str(key),
            "id": str(message_id),
            "headers": dict(headers),
            "timestamp": int(timestamp),
        }:
            left.routing_key, left.message_id = key, message_id
            left.headers, left.timestamp_ms = headers, timestamp
    return left


def remains(label: str, rows: int) -> Publication:
    """In place of messages that are lost: so many facts of that label, and an empty body."""
    name = label.removesuffix(_BATCH)
    exchange = BATCHES if label.endswith(_BATCH) else ""
    return Publication(exchange, "", _kind(name), b"", "", {}, 0, rows)


def _kind(label: str) -> Kind:
    return KINDS.get(label) or Kind(label, Delivery.LOSSLESS, keyed=False)


def _parsed(meta: object) -> Mapping[str, Any]:
    """Empty for what is no object of JSON."""
    try:
        fields = orjson.loads(meta) if isinstance(meta, bytes) else None
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
