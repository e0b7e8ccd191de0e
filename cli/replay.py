"""`fleet replay`: a captured market, served again by the simulator."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cli.exits import CommandFailed, Exit


def run_replay(directory: str, options: Sequence[str]) -> NoReturn:
    """Become the simulator, which replays the captures in `directory`. Raises CommandFailed."""
    if not Path(directory).is_dir():
        raise CommandFailed(f"{directory} is no directory", Exit.USAGE)
    command = [sys.executable, "-m", "simulator", "replay", directory, *options]
    os.execv(sys.executable, command)
