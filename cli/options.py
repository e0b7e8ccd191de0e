"""What many commands of `fleet` take, and where they are called."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.place import Place

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
ExpectedRevision = Annotated[
    int | None,
    typer.Option(
        "--revision", min=0, help="Only if the state still has this revision, see fleet history."
    ),
]
WaitS = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the host's agent; 0: do not.")
]


def place() -> "Place":
    """Raises ConfigurationError."""
    from cli.place import Place

    return Place.here()
