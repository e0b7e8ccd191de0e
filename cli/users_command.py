"""The command `fleet users`, as it is typed."""

from typing import Annotated

import typer


def add_users(app: typer.Typer) -> None:
    """Make `users` a command of `app`."""

    @app.command()
    def users(
        exchange: Annotated[
            list[str] | None,
            typer.Option(help="Of this exchange, by its name on the wire; repeat it. Else all."),
        ] = None,
        prefix: Annotated[str, typer.Option(help="What the users' names begin with.")] = "fleet-",
        services: Annotated[
            bool,
            typer.Option(
                "--services/--no-services", help="Also those that the fleet itself logs in as."
            ),
        ] = True,
        as_json: Annotated[
            bool, typer.Option("--json", help="Users with passwords, and definitions, as JSON.")
        ] = False,
    ) -> None:
        """Definitions for the broker: a user for each role, permissions, policies, the topology.

        For `rabbitmqctl import_definitions`. Passwords are made anew each time and shown once, on
        stderr; the definitions hold their hashes.
        """
        from cli.place import Place
        from cli.users import run_users

        raise typer.Exit(run_users(Place.here(), exchange or [], prefix, services, as_json))
