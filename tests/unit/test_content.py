"""Content headers packed by hand, against the client library's own."""

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, frame, header

from shared.content import Contents
from shared.kinds import TICKER, TRADES, Kind
from shared.publisher import Publication

short = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
numbers = st.integers(-(2**63), 2**63 - 1)


@given(
    short,
    st.dictionaries(short, numbers | short, max_size=6),
    st.integers(1, 4 * 10**12),
    st.sampled_from([TRADES, TICKER]),
    st.sampled_from([None, "zstd"]),
)
def test_the_client_library_reads_the_same(
    message_id: str, headers: dict[str, int | str], at: int, kind: Kind, encoding: str | None
) -> None:
    message = Publication("x", "k", kind, b"{}", message_id, headers, at, content_encoding=encoding)
    data = b"".join(Contents(7).encode(message))
    size, channel, content = frame.unmarshal(data)
    assert isinstance(content, header.ContentHeader)
    properties = content.properties
    assert (channel, content.body_size) == (7, 2)
    assert properties.headers == headers
    assert properties.message_id == message_id
    assert properties.timestamp == datetime.fromtimestamp(at // 1000, UTC)
    assert properties.delivery_mode == (2 if kind.lossless else 1)
    assert (properties.message_type, properties.app_id) == (kind.name, "futures-fleet")
    assert properties.content_type == "application/json"
    assert properties.content_encoding == (encoding or "utf-8")
    left, _, carried = frame.unmarshal(data[size:])
    assert isinstance(carried, body.ContentBody)
    assert (carried.value, size + left) == (b"{}", len(data))


@pytest.mark.parametrize("size", [0, 131_064, 131_065, 400_000])
def test_bodies_are_cut_into_frames_of_the_greatest_size(size: int) -> None:
    message = Publication("x", "k", TRADES, bytes(size), "i", {}, 1)
    data = b"".join(Contents(1).encode(message))
    taken, _, content = frame.unmarshal(data)
    chunks = []
    while data := data[taken:]:
        taken, _, part = frame.unmarshal(data)
        assert isinstance(part, body.ContentBody) and taken <= 131_072
        chunks.append(part.value)
    assert b"".join(chunks) == bytes(size)
    assert isinstance(content, header.ContentHeader) and content.body_size == size


@pytest.mark.parametrize("headers", [{"a": 2**63}, {"a": None}, {"a": 1.5}, {"n" * 300: 1}])
def test_what_amqp_can_not_carry_is_an_error(headers: dict[str, object]) -> None:
    message = Publication("x", "k", TRADES, b"{}", "i", headers, 1)
    with pytest.raises((ValueError, TypeError, struct.error)):
        Contents(1).encode(message)
