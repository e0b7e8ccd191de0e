"""`python -m workers.agent`: the agent of this host, under the same supervisord as its programs."""

import argparse
import sys

from shared.clock import SystemClock
from shared.config import Settings
from shared.service import Stop, run
from workers.agent.agent import PROGRAM, Agent


async def _serve(settings: Settings, stop: Stop) -> None:
    await Agent(settings, SystemClock()).run(stop)


def main() -> int:
    argparse.ArgumentParser(prog="python -m workers.agent", description=__doc__).parse_args()
    return run(PROGRAM, _serve)


if __name__ == "__main__":
    sys.exit(main())
