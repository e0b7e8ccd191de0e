"""Where a fleet lives, to test."""

from pathlib import Path

from cli.place import Place
from shared.config import Environment


def place(home: Path, amqp_url: str | None = None) -> Place:
    """All of it in one directory."""
    return Place(
        Environment(
            amqp_url=amqp_url,
            config_path=home / "config.json",
            home=home,
            host_id="host",
            egress="host",
        )
    )
