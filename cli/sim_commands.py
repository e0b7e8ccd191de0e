"""`fleet sim`: faults of simulated venues."""

from typing import Annotated

import typer

from cli.options import Json, place

sim_app = typer.Typer(
    help="Faults of the simulated venues of a running demo.", no_args_is_help=True
)


@sim_app.command("faults")
def sim_faults(as_json: Json = False) -> None:
    """What can go wrong, one line each."""
    from cli.sim import list_faults

    raise typer.Exit(list_faults(place(), as_json))


@sim_app.command("start")
def sim_start(
    fault: Annotated[str, typer.Argument(help="A name of `fleet sim faults`.")],
    exchange: Annotated[str, typer.Option(help="The venue.")],
    symbol: Annotated[str | None, typer.Option(help="Unified, or the venue's own id.")] = None,
    seconds: Annotated[float | None, typer.Option(help="It ends after so long.")] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a fault."""
    from cli.sim import start_fault

    given = {"symbol": symbol, "seconds": seconds}
    raise typer.Exit(start_fault(place(), exchange, fault, given, parameters or [], as_json))


@sim_app.command("heal")
def sim_heal(
    fault_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="All, without.")] = None,
    as_json: Json = False,
) -> None:
    """End a fault, or all that are active."""
    from cli.sim import heal_faults

    raise typer.Exit(heal_faults(place(), fault_id, as_json))


@sim_app.command("status")
def sim_status(as_json: Json = False) -> None:
    """Active and past faults."""
    from cli.sim import show_faults

    raise typer.Exit(show_faults(place(), as_json))
