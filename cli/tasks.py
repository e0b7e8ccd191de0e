"""`fleet tasks`: collection tasks, as the coordinator knows them."""

from typing import Any

from cli.control import in_full, outcome, send, told, without_nulls
from cli.exits import Exit
from cli.output import print_json, print_table, say
from cli.place import Place
from cli.roster import cell

_PAGE = 200
_COLUMNS = ("task_id", "exchange", "symbol", "kind", "interval", "state", "owner", "delivery")


def run_list(place: Place, wanted: dict[str, Any], limit: int | None, as_json: bool) -> Exit:
    """Page after page; degraded where one of them fails."""
    if wanted.get("symbol"):
        wanted = wanted | {"symbol": in_full(wanted["symbol"])}
    tasks: list[dict[str, Any]] = []
    after: str | None = None
    while limit is None or len(tasks) < limit:
        page = _PAGE if limit is None else min(_PAGE, limit - len(tasks))
        asked = {"command": "list_tasks", **wanted, "limit": page, "after": after}
        answer = send(place, without_nulls(asked))
        if not answer.get("success"):
            told(answer, as_json)
            return outcome(answer)
        tasks += answer["data"]["tasks"]
        after = answer["data"].get("next")
        if after is None:
            break
    _print(tasks, as_json)
    failing = any(task.get("state") == "failing" for task in tasks)
    return Exit.DEGRADED if failing else Exit.OK


def run_add(place: Place, task: dict[str, Any], as_json: bool) -> Exit:
    """`task` is the command, with nulls for what was not given; its symbol may be short."""
    parameters = without_nulls(task["parameters"])
    command = task | {
        "command": "add_task",
        "symbol": in_full(task["symbol"]),
        "parameters": parameters or None,
    }
    answer = send(place, without_nulls(command))
    code = told(answer, as_json)
    if code is Exit.OK and not as_json and task["task_id"] is None:
        say(answer["data"]["task_id"])
    return code


def run_remove(place: Place, task_id: str, revision: int | None, as_json: bool) -> Exit:
    asked = {"command": "remove_task", "task_id": task_id, "expected_revision": revision}
    return told(send(place, without_nulls(asked)), as_json)


def _print(tasks: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"tasks": tasks, "count": len(tasks)})
    elif tasks:
        rows = [tuple(cell(task.get(column)) for column in _COLUMNS) for task in tasks]
        print_table(_COLUMNS, rows)
    else:
        say("no tasks")
