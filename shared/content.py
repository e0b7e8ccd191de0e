"""Content headers and bodies of AMQP, packed by hand: what pamqp's marshal says, at a tenth of it.

Of a publisher's messages only `message_id`, the timestamp and the numbers among the headers vary;
all strings among them (worker, epoch) are packed once and looked up.
"""

import struct
from typing import Any

from shared.publisher import Publication

#: Bytes of a body frame at most: RabbitMQ's default frame_max of 131072 less the frame's own 8.
_FRAME_BODY = 131_072 - 8
_CACHED = 10_000
#: content_type, content_encoding, headers, delivery_mode, message_id, timestamp, type, app_id.
_FLAGS = 1 << 15 | 1 << 14 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5 | 1 << 3
_APP_ID = b"\x0dfutures-fleet"
_BASIC = 60
_HEAD = struct.Struct(">BHI")  # type, channel, size of the payload
_CONTENT = struct.Struct(">BHIHHQH")  # the same, class, weight, size of the body, flags
_TIME = struct.Struct(">Q")
_TABLE = struct.Struct(">I")
_LONG = struct.Struct(">q")


class Contents:
    """Encodes for one channel."""

    def __init__(self, channel_number: int) -> None:
        self._channel = channel_number
        self._strings: dict[tuple[str, str], bytes] = {}
        self._names: dict[str, bytes] = {}
        self._kinds: dict[str, bytes] = {}
        self._encodings: dict[str | None, bytes] = {}

    def encode(self, message: Publication) -> tuple[bytes, ...]:
        """The frames after Basic.Publish. Raises one of ENCODE_ERRORS."""
        body = message.body
        size = len(body)
        table = self._table(message.headers)
        message_id = message.message_id.encode()
        properties = b"".join(
            (
                self._encodings.get(message.content_encoding) or self._encoding(message),
                _TABLE.pack(len(table)),
                table,
                b"\x02" if message.kind.lossless else b"\x01",
                bytes((len(message_id),)),
                message_id,
                _TIME.pack(message.timestamp_ms // 1000),
                self._kinds.get(message.kind.name) or self._kind(message.kind.name),
            )
        )
        channel = self._channel
        content = _CONTENT.pack(2, channel, 14 + len(properties), _BASIC, 0, size, _FLAGS)
        if 0 < size <= _FRAME_BODY:
            head = _HEAD.pack(3, channel, size)
            return content, properties, b"\xce", head, body, b"\xce"
        return content, properties, b"\xce", *self._bodies(body)

    def _bodies(self, body: bytes) -> list[bytes]:
        parts: list[bytes] = []
        for start in range(0, len(body), _FRAME_BODY):
            chunk = body[start : start + _FRAME_BODY]
            parts += (_HEAD.pack(3, self._channel, len(chunk)), chunk, b"\xce")
        return parts

    def _table(self, headers: dict[str, Any]) -> bytes:
        parts: list[bytes] = []
        for name, value in headers.items():
            if type(value) is int:
                parts.append(self._names.get(name) or self._name(name))
                parts.append(_LONG.pack(value))
            else:
                parts.append(self._strings.get((name, value)) or self._string(name, value))
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        encoded = self._names[name] = _short(name) + b"l"
        return encoded

    def _string(self, name: str, value: str) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"header {name} is neither text nor a number: {value!r}")
        if len(self._strings) >= _CACHED:
            self._strings.clear()
        text = value.encode()
        encoded = self._strings[name, value] = _short(name) + b"S" + _TABLE.pack(len(text)) + text
        return encoded

    def _kind(self, name: str) -> bytes:
        encoded = self._kinds[name] = _short(name) + _APP_ID
        return encoded

    def _encoding(self, message: Publication) -> bytes:
        encoding = message.content_encoding
        encoded = _short("application/json") + _short(encoding or "utf-8")
        self._encodings[encoding] = encoded
        return encoded


def _short(text: str) -> bytes:
    """A short string. Raises ValueError beyond 255 bytes."""
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded
