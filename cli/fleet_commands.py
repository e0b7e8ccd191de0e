"""`fleet workers`, `exchange`, `tasks`, `history`, `rollback`: what a coordinator is asked for."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import ExpectedRevision, Json, WaitS, place
from shared.endpoints import Endpoint

workers_app = typer.Typer(help="The workers of all hosts: list, restart.")
exchange_app = typer.Typer(
    help="Venues: on this or another host, and for the whole fleet.", no_args_is_help=True
)
tasks_app = typer.Typer(
    help="What is collected beside what each symbol implies.", no_args_is_help=True
)

#: How long an agent may take to restart a program, with room for one that stops slowly.
_WAIT_S = 60.0
Name = Annotated[str, typer.Argument(help="A venue: binance, gate or gateio, ...")]
Host = Annotated[str | None, typer.Option("--host", help="That host, instead of this one.")]


OfEndpoint = Annotated[
    Endpoint | None, typer.Option("--endpoint", help="That sort of its endpoints alone.")
]


class TaskKind(StrEnum):
    TICKER = "ticker"
    ORDERBOOK = "orderbook"
    TRADES = "trades"
    OHLCV = "ohlcv"
    FUNDING = "funding"
    OPEN_INTEREST = "open_interest"


class TaskDelivery(StrEnum):
    LOSSLESS = "lossless"
    LATEST = "latest"
    SAMPLED = "sampled"


@workers_app.callback(invoke_without_command=True)
def list_workers(
    context: typer.Context,
    exchange: Annotated[str | None, typer.Option(help="Of this exchange alone.")] = None,
    as_json: Json = False,
) -> None:
    """The workers of all hosts: their state, how many symbols each has, and how many flow."""
    if context.invoked_subcommand is not None:
        return
    from cli.workers import run_workers

    raise typer.Exit(run_workers(place(), exchange, as_json))


@workers_app.command("restart")
def restart_worker(
    worker: Annotated[str, typer.Argument(help="As fleet workers names it: binance-0@host.")],
    wait_s: WaitS = _WAIT_S,
    as_json: Json = False,
) -> None:
    """Restart one worker, by the agent of its host; the others miss nothing."""
    from cli.errands import run_errand

    command = {"command": "restart_worker", "worker": worker}
    raise typer.Exit(run_errand(place(), command, wait_s, as_json))


@exchange_app.command("list")
def list_exchanges(as_json: Json = False) -> None:
    """The venues of the fleet, who collects them, and how much of each flows."""
    from cli.exchanges import run_exchanges

    raise typer.Exit(run_exchanges(place(), as_json))


@exchange_app.command("add")
def add_exchange(
    name: Name, host: Host = None, wait_s: WaitS = _WAIT_S, as_json: Json = False
) -> None:
    """Collect a venue on a host, whatever its configuration says; nothing else is touched."""
    from cli.exchanges import run_on_host

    raise typer.Exit(run_on_host(place(), "enable_exchange", name, host, wait_s, as_json))


@exchange_app.command("remove")
def remove_exchange(
    name: Name, host: Host = None, wait_s: WaitS = _WAIT_S, as_json: Json = False
) -> None:
    """Do not collect a venue on a host any more; other hosts go on."""
    from cli.exchanges import run_on_host

    raise typer.Exit(run_on_host(place(), "disable_exchange", name, host, wait_s, as_json))


@exchange_app.command("enable")
def enable_exchange(name: Name, revision: ExpectedRevision = None, as_json: Json = False) -> None:
    """Collect a venue again, in the whole fleet."""
    from cli.exchanges import run_switch

    raise typer.Exit(run_switch(place(), "enable_exchange", name, revision, as_json))


@exchange_app.command("disable")
def disable_exchange(name: Name, revision: ExpectedRevision = None, as_json: Json = False) -> None:
    """Collect a venue nowhere in the fleet; its symbols are remembered."""
    from cli.exchanges import run_switch

    raise typer.Exit(run_switch(place(), "disable_exchange", name, revision, as_json))


@exchange_app.command("trip")
def trip_breaker(
    name: Name,
    endpoint: OfEndpoint = None,
    seconds: Annotated[float | None, typer.Option(help="By default until it is reset.")] = None,
    as_json: Json = False,
) -> None:
    """Have its collectors leave a venue's REST alone; streams flow on."""
    from cli.exchanges import run_breaker

    raise typer.Exit(run_breaker(place(), "trip_breaker", name, endpoint, seconds, as_json))


@exchange_app.command("reset")
def reset_breaker(name: Name, endpoint: OfEndpoint = None, as_json: Json = False) -> None:
    """Have its collectors ask a venue's REST again, whatever has failed."""
    from cli.exchanges import run_breaker

    raise typer.Exit(run_breaker(place(), "reset_breaker", name, endpoint, None, as_json))


@tasks_app.command("list")
def list_tasks(
    exchange: Annotated[str | None, typer.Option(help="Of this exchange alone.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Of this symbol alone.")] = None,
    kind: Annotated[TaskKind | None, typer.Option(help="Of this kind alone.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most.")] = None,
    as_json: Json = False,
) -> None:
    """The collection tasks, who runs each, and whether it runs."""
    from cli.tasks import run_list

    wanted = {"exchange": exchange, "symbol": symbol, "kind": kind and kind.value}
    raise typer.Exit(run_list(place(), wanted, limit, as_json))


@tasks_app.command("add")
def add_task(
    exchange: Annotated[str, typer.Argument(help="The venue.")],
    symbol: Annotated[str, typer.Argument(help="BTC, BTCUSDT, BTC/USDT or BTC/USDT:USDT.")],
    kind: Annotated[TaskKind, typer.Argument()],
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds from one to the next.")],
    task_id: Annotated[str | None, typer.Option("--id", help="Its name; else one is made.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of ohlcv: 1m, 5m, ...")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Of orderbook: levels a side.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Of ohlcv and trades: rows.")] = None,
    priority: Annotated[int | None, typer.Option(min=1, max=9, help="1 goes first.")] = None,
    delivery: Annotated[TaskDelivery | None, typer.Option(help="Default: latest.")] = None,
    sample_ms: Annotated[
        int | None, typer.Option("--sample-ms", help="Of sampled: at most one each so many ms.")
    ] = None,
    revision: ExpectedRevision = None,
    as_json: Json = False,
) -> None:
    """Collect something at an interval; it comes on task.EXCHANGE.SYMBOL.ID."""
    from cli.tasks import run_add

    task = {
        "task_id": task_id,
        "exchange": exchange,
        "symbol": symbol,
        "kind": kind.value,
        "interval": interval,
        "parameters": {"timeframe": timeframe, "depth": depth, "limit": limit},
        "priority": priority,
        "delivery": delivery and delivery.value,
        "sample_ms": sample_ms,
        "expected_revision": revision,
    }
    raise typer.Exit(run_add(place(), task, as_json))


@tasks_app.command("remove")
def remove_task(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="As fleet tasks list names it.")],
    revision: ExpectedRevision = None,
    as_json: Json = False,
) -> None:
    """End a collection task."""
    from cli.tasks import run_remove

    raise typer.Exit(run_remove(place(), task_id, revision, as_json))


def history(
    limit: Annotated[int | None, typer.Option(min=1, help="So many at most.")] = None,
    before: Annotated[int | None, typer.Option(min=0, help="Older than this revision.")] = None,
    as_json: Json = False,
) -> None:
    """Who changed the registry, when and what; the newest first."""
    from cli.history import run_history

    raise typer.Exit(run_history(place(), limit, before, as_json))


def rollback(
    to: Annotated[int, typer.Argument(metavar="REVISION", min=0, help="See fleet history.")],
    revision: ExpectedRevision = None,
    as_json: Json = False,
) -> None:
    """Make symbols, tasks and venues what they were at a revision."""
    from cli.history import run_rollback

    raise typer.Exit(run_rollback(place(), to, revision, as_json))
