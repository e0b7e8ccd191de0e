"""`python -m coordinator [restore|reset|accept]`: the fleet's registry and its control queue."""

import argparse
import sys

from coordinator.coordinator import PROGRAM, Coordinator
from coordinator.recovery import accept, reset, restore
from shared.clock import SystemClock
from shared.errors import BrokerError
from shared.service import Life, Main, run


async def _coordinate(life: Life) -> None:
    coordinator = Coordinator(life.settings, SystemClock())
    life.on_change(coordinator.reconfigure)
    await coordinator.run(life.stop)


async def _restore(life: Life) -> None:
    try:
        await restore(life.settings, PROGRAM, SystemClock())
    except BrokerError as error:
        raise ConnectionError(f"not restored: {error}") from error


async def _reset(life: Life) -> None:
    reset(life.settings, PROGRAM)


async def _accept(life: Life) -> None:
    try:
        await accept(life.settings, SystemClock())
    except BrokerError as error:
        raise ConnectionError(f"not accepted: {error}") from error


_ACTIONS: dict[str, Main] = {
    "run": _coordinate,
    "restore": _restore,
    "reset": _reset,
    "accept": _accept,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m coordinator", description=__doc__)
    help_text = (
        "restore: registry from the mirror; reset: forget the mirror; "
        "accept: go on without what a later version wrote"
    )
    parser.add_argument("action", nargs="?", default="run", choices=_ACTIONS, help=help_text)
    action: str = parser.parse_args().action
    program = PROGRAM if action == "run" else f"{PROGRAM}-{action}"
    return run(program, _ACTIONS[action])


if __name__ == "__main__":
    sys.exit(main())
