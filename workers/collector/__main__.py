"""`python -m workers.collector EXCHANGE`: the collector of one venue."""

import argparse
import sys
from pathlib import Path

from shared.clock import SystemClock
from shared.errors import ConfigurationError
from shared.service import EXIT_CONFIG, Life, run
from shared.venues import canonical_venue
from workers.collector import lean_ccxt
from workers.collector.standby import Standby, program_name


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.collector", description=__doc__)
    parser.add_argument("exchange", help="a venue, binance or coinbase for example")
    parser.add_argument(
        "--index",
        type=int,
        default=0,
        choices=range(10),
        metavar="N",
        help="which of several workers of the exchange on this host, 0 to 9; default 0",
    )
    parser.add_argument(
        "--record-only", action="store_true", help="record its raw traffic and publish nothing"
    )
    parser.add_argument("--seconds", type=float, help="record so long; else until a signal")
    parser.add_argument("--out", type=Path, help="record below this directory")
    given = parser.parse_args()
    if not given.record_only and (given.seconds or given.out):
        parser.error("--seconds and --out are of --record-only")
    if given.record_only and given.index:
        parser.error("--index is of a collector that publishes")
    try:
        venue = canonical_venue(given.exchange)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG

    async def collect(life: Life) -> None:
        waiting = Standby(life.settings, venue, given.index, SystemClock())
        exchange = await waiting.name(life.stop)
        if exchange is None:
            return
        # Imported here: ccxt is 60 MB that a collector which only waits need not have.
        lean_ccxt.install()
        from workers.collector.collector import Collector

        collector = Collector(life.settings, venue, exchange, SystemClock(), given.index)
        life.on_change(collector.reconfigure)
        await collector.run(life.stop)

    async def record(life: Life) -> None:
        lean_ccxt.install()
        from workers.collector.recording import only

        wish = only.Wish(given.seconds, given.out)
        await only.record(life.settings, venue, wish, SystemClock(), life.stop)

    if given.record_only:
        return run(f"record-{venue}", record)
    return run(program_name(venue, given.index), collect)


if __name__ == "__main__":
    sys.exit(main())
