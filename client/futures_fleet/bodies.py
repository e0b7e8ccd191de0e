"""From a message's bytes to the model of its kind."""

from collections.abc import Callable, Mapping
from typing import Any, Union

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from futures_fleet._wire.completeness import Coverage, Gap
from futures_fleet._wire.messages import (
    FuturesData,
    Liquidation,
    Ohlcv,
    OpenInterest,
    Orderbook,
    PredictedFunding,
    SettledFunding,
    TaskResult,
    Ticker,
    Trade,
)
from futures_fleet.errors import BodyError

#: What `Message.body` may be; a dictionary for kinds that this version does not know.
Body = (
    Trade
    | Ticker
    | Orderbook
    | FuturesData
    | Ohlcv
    | SettledFunding
    | PredictedFunding
    | OpenInterest
    | Liquidation
    | Gap
    | Coverage
    | TaskResult
    | dict[str, Any]
)

#: The models of each kind, by its name. Two where what is final and what is not share a kind.
MODELS: Mapping[str, tuple[type[BaseModel], ...]] = {
    "trades": (Trade,),
    "ticker": (Ticker,),
    "orderbook": (Orderbook,),
    "futures": (FuturesData,),
    "ohlcv": (Ohlcv,),
    "funding": (SettledFunding, PredictedFunding),
    "open_interest": (OpenInterest,),
    "liquidation": (Liquidation,),
    "gap": (Gap,),
    "coverage": (Coverage,),
    "task": (TaskResult,),
}


def _reader(models: tuple[type[BaseModel], ...]) -> Callable[..., Any]:
    form: Any = Union[models]  # noqa: UP007 - made at run time
    return TypeAdapter(form).validate_json


_READERS = {kind: _reader(models) for kind, models in MODELS.items()}


def parsed(kind: str, raw: bytes) -> Body:
    """The body as its model. A field that only a newer fleet knows is overlooked.

    Raises BodyError.
    """
    reader = _READERS.get(kind)
    try:
        body: Body = orjson.loads(raw) if reader is None else reader(raw, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BodyError(f"not a body of kind {kind}: {where}: {first['msg']}") from None
    except orjson.JSONDecodeError as error:
        raise BodyError(f"not JSON: {error}") from None
    if reader is None and not isinstance(body, dict):
        raise BodyError(f"a body of kind {kind} that is no JSON object")
    return body
