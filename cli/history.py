"""`fleet history` and `fleet rollback`: what the registry was, and making it that again."""

from datetime import UTC, datetime
from typing import Any

from cli.control import outcome, send, told, without_nulls
from cli.exits import Exit
from cli.output import print_table, say
from cli.place import Place
from cli.roster import cell

#: Seconds reach this in the year 5138; what is larger is milliseconds.
_MOST_SECONDS = 10**11


def run_history(place: Place, limit: int | None, before: int | None, as_json: bool) -> Exit:
    asked = {"command": "get_history", "limit": limit, "before": before}
    answer = send(place, without_nulls(asked))
    if as_json or not answer.get("success"):
        return told(answer, as_json)
    notes = answer["data"]["history"]
    if notes:
        print_table(("revision", "at", "by", "command", ""), [_row(note) for note in notes])
    else:
        say("nothing was changed yet")
    return outcome(answer)


def run_rollback(place: Place, to: int, revision: int | None, as_json: bool) -> Exit:
    asked = {"command": "rollback", "to": to, "expected_revision": revision}
    return told(send(place, without_nulls(asked)), as_json)


def _row(note: dict[str, Any]) -> tuple[str, ...]:
    names = ("by", "command", "text")
    rest = (cell(note.get(name)) for name in names)
    return (cell(note.get("state_revision")), time_of(note.get("at")), *rest)


def time_of(at: Any) -> str:
    """UTC, of seconds or milliseconds since 1970; what is neither is shown as it is."""
    if not isinstance(at, int | float) or isinstance(at, bool):
        return cell(at)
    seconds = at / 1000 if at > _MOST_SECONDS else at
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
