"""What was in a lossless message that neither the broker nor the disk took."""

from collections.abc import Iterator
from typing import Any

import orjson

from shared.batch import decoded
from shared.kinds import Kind
from shared.publisher import Publication
from shared.topology import BATCHES
from workers.collector.continuity.gaps import NOWHERE, Mark


def bodies(message: Publication) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """The facts of a message that are about a symbol: its body, or each row of a batch. None of
    one that a disk made unreadable."""
    if not message.body:
        return
    content = orjson.loads(decoded(message.body, message.content_encoding))
    rows = content["rows"] if message.exchange == BATCHES else [content]
    for row in rows:
        if row.get("symbol") and "opened_at" not in row:  # gaps speak for others
            yield message.kind, row


def before_lost(body: dict[str, Any]) -> Mark:
    """The last point before what is lost, as far as that has a time."""
    time = body.get("start", body.get("timestamp"))
    return NOWHERE if time is None else Mark(None, time - 1)
