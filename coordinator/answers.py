"""Answers to commands: the envelope of the control API."""

from typing import Any

from shared.encoding import encoded
from shared.symbolset import Revision

Answer = dict[str, Any]


def success(
    command: str, correlation_id: str | None, message: str, data: Answer, now_s: int
) -> Answer:
    return {
        "correlation_id": correlation_id,
        "success": True,
        "command": command,
        "message": message,
        "data": data,
        "timestamp": now_s,
    }


def failure(
    command: str | None, correlation_id: str | None, code: str, message: str, now_s: int
) -> Answer:
    """`command` is null where the message held none that could be read."""
    return {
        "correlation_id": correlation_id,
        "success": False,
        "command": command,
        "message": message,
        "error": code,
        "timestamp": now_s,
    }


def finished(answer: Answer, revision: Revision | None, state_revision: int) -> bytes:
    """The answer's bytes; where it has data, with the revision that the command led to."""
    if "data" in answer:
        stamp = revision.model_dump() if revision else None
        data = {**answer["data"], "revision": stamp, "state_revision": state_revision}
        answer = {**answer, "data": data}
    return encoded(answer)
