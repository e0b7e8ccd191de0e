"""`fleet bench`: what the fleet does on this machine, measured by `python -m bench`."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cli.place import ROOT


def run_bench(options: Sequence[str]) -> NoReturn:
    """Become the benchmark."""
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "bench", *options])
