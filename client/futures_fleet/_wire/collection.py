# Copied from shared/collection.py by scripts/wire.py: change that one.
"""Collection tasks: what shall be collected besides what each symbol implies, and how often."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from futures_fleet._wire.messages import Message
from futures_fleet._wire.timeframes import Timeframe

TaskKind = Literal["ticker", "orderbook", "trades", "ohlcv", "funding", "open_interest"]
TaskDelivery = Literal["lossless", "latest", "sampled"]

#: Most tasks of a registry: all of them travel in one announcement a venue.
MAX_TASKS = 1000


class TaskParameters(Message):
    """What some kinds take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeframe: Timeframe | None = None  # of `ohlcv`, which needs one
    depth: Annotated[int, Field(ge=1, le=5000)] | None = None  # of `orderbook`: levels a side
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None  # of `ohlcv` and `trades`: rows


class CollectionTask(Message):
    """One task, as `add_task` takes it and workers are told it.

    Its results go to `task.{exchange}.{symbol}.{task_id}`, see `shared.topology.task_key`.
    """

    task_id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")
    exchange: str  # canonical name in the registry, wire name in commands and answers
    symbol: str  # unified
    kind: TaskKind
    interval: Annotated[float, Field(ge=0.1, le=86_400)]  # seconds
    parameters: TaskParameters = TaskParameters()
    priority: Annotated[int, Field(ge=1, le=9)] = 5  # 1 goes first where not all can
    #: lossless: each result is kept until the broker has it; latest: a newer one replaces it;
    #: sampled: latest, at most one each `sample_ms`, whatever the interval.
    delivery: TaskDelivery = "latest"
    sample_ms: Annotated[int, Field(ge=100, le=3_600_000)] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "CollectionTask":
        given = self.parameters.model_dump(exclude_none=True)
        taken = {"ohlcv": {"timeframe", "limit"}, "trades": {"limit"}, "orderbook": {"depth"}}
        foreign = set(given) - taken.get(self.kind, set())
        if foreign:
            raise ValueError(f"{self.kind} takes no {', '.join(sorted(foreign))}")
        if self.kind == "ohlcv" and self.parameters.timeframe is None:
            raise ValueError("ohlcv needs a timeframe")
        if (self.delivery == "sampled") != (self.sample_ms is not None):
            raise ValueError("sample_ms belongs to delivery sampled")
        return self
