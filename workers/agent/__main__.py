"""`python -m workers.agent`: the agent of this host, under the same supervisord as its programs."""

import argparse
import sys

from shared.clock import SystemClock
from shared.service import Life, run
from workers.agent.agent import PROGRAM, Agent


async def _serve(life: Life) -> None:
    await Agent(life.settings, SystemClock()).run(life.stop)


def main() -> int:
    argparse.ArgumentParser(prog="python -m workers.agent", description=__doc__).parse_args()
    return run(PROGRAM, _serve)


if __name__ == "__main__":
    sys.exit(main())
