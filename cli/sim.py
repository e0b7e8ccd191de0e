"""`fleet sim`: faults of the simulated venues, started and healed over their HTTP control."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from cli.endpoints import read_endpoints
from cli.exits import CommandFailed, Exit
from cli.output import print_json, print_table, say
from cli.place import Place

TIMEOUT_S = 10.0


def list_faults(place: Place, as_json: bool) -> Exit:
    """All faults that the simulator knows, and their parameters."""
    known = _asked(place, "GET", "/_faults/catalogue")
    if as_json:
        print_json(known)
    else:
        rows = [(name, one["summary"], _parameters(one)) for name, one in known.items()]
        print_table(("FAULT", "WHAT IT DOES", "PARAMETERS"), rows)
    return Exit.OK


def start_fault(
    place: Place,
    exchange: str,
    fault: str,
    given: Mapping[str, object],
    settings: Sequence[str],
    as_json: bool,
) -> Exit:
    """Raises CommandFailed in the simulator's words for what cannot be."""
    body = {"venue": exchange, "fault": fault} | parse_settings(settings)
    body |= {name: value for name, value in given.items() if value is not None}
    started = _asked(place, "POST", "/_faults", body)
    if as_json:
        print_json(started)
    else:
        say(f"{started['id']} started: {fault} at {exchange}, {_hit(started)}")
    return Exit.OK


def heal_faults(place: Place, fault_id: str | None, as_json: bool) -> Exit:
    """Raises CommandFailed where `fault_id` is not active."""
    ids = [fault_id] if fault_id else [one["id"] for one in _listed(place)["active"]]
    healed = [_asked(place, "DELETE", f"/_faults/{id_}") for id_ in ids]
    if as_json:
        print_json(healed)
    else:
        say("\n".join(f"{one['id']} healed" for one in healed) or "no fault is active")
    return Exit.OK


def show_faults(place: Place, as_json: bool) -> Exit:
    listed = _listed(place)
    if as_json:
        print_json(listed)
        return Exit.OK
    states = (("active", listed["active"]), ("past", listed["past"]))
    rows = [
        (one["id"], one["fault"], state, str(one["applied"]), _hit(one))
        for state, faults in states
        for one in faults
    ]
    print_table(("ID", "FAULT", "STATE", "APPLIED", "HIT"), rows)
    return Exit.OK


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` each; a value that is no JSON is a text. Raises CommandFailed."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise CommandFailed(f"{setting} is not KEY=VALUE", Exit.USAGE)
        try:
            found[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[name] = text
    return found


def _parameters(fault: Mapping[str, Any]) -> str:
    return " ".join(fault["parameters"])


def _hit(fault: Mapping[str, Any]) -> str:
    """The one thing that it hit, or how many."""
    hit = fault["hit"]
    if len(hit) != 1:
        return f"{len(hit)} hit" if hit else "nothing to hit yet"
    return ", ".join(f"{name} {value}" for name, value in hit[0].items())


def _listed(place: Place) -> Any:
    return _asked(place, "GET", "/_faults")


def _asked(place: Place, method: str, path: str, body: object = None) -> Any:
    endpoints = read_endpoints(place.endpoints)
    if endpoints is None or endpoints.simulator_url is None:
        raise CommandFailed("no simulated venues run here: fleet demo", Exit.UNREACHABLE)
    return asyncio.run(_answer(method, endpoints.simulator_url.rstrip("/") + path, body))


async def _answer(method: str, url: str, body: object) -> Any:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.request(method, url, json=body, timeout=timeout) as response:
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CommandFailed(f"the simulator at {url}: {error}", Exit.UNREACHABLE) from error
    if response.status != 200:
        raise CommandFailed(answer["error"], Exit.USAGE)
    return answer
