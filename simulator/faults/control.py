"""The HTTP control of faults: `/_faults`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from simulator.faults.catalogue import FAULTS
from simulator.faults.fault import Fault, Refused

if TYPE_CHECKING:
    from simulator.venue import Venue


class Control:
    def __init__(self, venues: Mapping[str, "Venue"]) -> None:
        self._venues = venues

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """400 with one sentence for what cannot be."""
        parts = request.path.strip("/").split("/")[1:]
        try:
            match request.method, parts:
                case "GET", []:
                    return _json(self._listed())
                case "GET", ["catalogue"]:
                    return _json(catalogue())
                case "POST", []:
                    return _json(self._start(await request.read()))
                case ("DELETE", [id_]) | ("POST", [id_, "heal"]):
                    return _json(self._heal(id_))
        except Refused as refused:
            return _json({"error": str(refused)}, 400)
        return _json({"error": f"{request.method} {request.path} is nothing"}, 400)

    def _listed(self) -> dict[str, object]:
        return {
            "active": [
                f.described() for v in self._venues.values() for f in v.faults.active.values()
            ],
            "past": [f.described() for v in self._venues.values() for f in v.faults.past],
        }

    def _start(self, body: bytes) -> dict[str, object]:
        asked = _object(body)
        name, kind = asked.pop("venue", None), asked.pop("fault", None)
        venue, made = self._venues.get(str(name)), FAULTS.get(str(kind))
        if venue is None:
            raise Refused(f"no venue {name}; there are {', '.join(self._venues)}")
        if made is None:
            raise Refused(f"no fault {kind}; there are {', '.join(FAULTS)}")
        try:
            wish = made.wishes.model_validate(asked)
        except ValidationError as error:
            raise Refused(f"{kind}: {_first(error)}") from None
        fault = made(venue.faults.next_id(), venue, wish)
        venue.faults.start(fault)
        return fault.described()

    def _heal(self, id_: str) -> dict[str, object]:
        venue = self._venues.get(id_.rpartition("-")[0])
        if venue is None:
            raise Refused(f"no active fault {id_}")
        return venue.faults.end(id_, "healed").described()


def catalogue() -> dict[str, dict[str, Any]]:
    """Each fault's one line and its parameters, as a JSON schema."""
    return {name: _described(fault) for name, fault in FAULTS.items()}


def _described(fault: type[Fault]) -> dict[str, Any]:
    schema = fault.wishes.model_json_schema()
    parameters = {
        name: {"default": field.get("default"), "required": name in schema.get("required", [])}
        for name, field in schema["properties"].items()
    }
    return {"summary": fault.summary, "parameters": parameters}


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(f"the body is no JSON: {error}") from None
    if not isinstance(asked, dict):
        raise Refused("the body is no JSON object")
    return asked


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
