"""`fleet config`, as it is typed."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, WaitS, place

config_app = typer.Typer(
    help="The configuration: what it says, whether it is sound, what a reload would change.",
    no_args_is_help=True,
)

Environment = Annotated[
    str | None,
    typer.Option(
        "--environment",
        help="With this profile: development (dev), staging (stage), production (prod).",
    ),
]


@config_app.command()
def show(
    environment: Environment = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what nobody said: the defaults.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Each field, its value, and the file or variable that says it. Secrets are masked."""
    from cli.config import run_show

    raise typer.Exit(run_show(place(), environment, everything, as_json))


@config_app.command()
def check(environment: Environment = None, as_json: Json = False) -> None:
    """Whether the configuration is sound; exit code 78, and what is wrong in one line, if not."""
    from cli.config import run_check

    raise typer.Exit(run_check(place(), environment, as_json))


@config_app.command()
def diff(
    other: Annotated[
        Path | None,
        typer.Argument(help="Another configuration; by default the one that was taken up last."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What is another now, and whether it needs a restart; exit code 3 where anything is.

    Of the files and .env: API keys, secrets' files and variables are today's on both sides.
    """
    from cli.config import run_diff

    raise typer.Exit(run_diff(place(), other, as_json))


@config_app.command()
def reload(
    host: Annotated[
        str | None, typer.Option("--host", help="Of that host alone, instead of all.")
    ] = None,
    wait_s: WaitS = 10.0,
    as_json: Json = False,
) -> None:
    """Have the processes of all hosts look at their configuration now."""
    from cli.errands import run_errand

    command = {"command": "reload_config"} | ({"host": host} if host else {})
    raise typer.Exit(run_errand(place(), command, wait_s, as_json))


@config_app.command()
def schema() -> None:
    """The JSON schema of a whole configuration by canonical names, for editors."""
    from cli.config import run_schema

    raise typer.Exit(run_schema())


@config_app.command()
def rollback(
    steps: Annotated[
        int, typer.Argument(min=0, help="So many configurations back; 0: as last taken up.")
    ] = 1,
) -> None:
    """Put the files and .env back as they were; running processes take them up."""
    from cli.config import run_rollback

    raise typer.Exit(run_rollback(place(), steps))
