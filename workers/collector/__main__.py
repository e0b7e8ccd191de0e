"""`python -m workers.collector EXCHANGE`: the collector of one venue."""

import argparse
import logging
import sys

from shared.clock import SystemClock
from shared.config import Settings
from shared.errors import ConfigurationError
from shared.service import EXIT_CONFIG, Stop, run
from shared.venues import canonical_venue
from workers.collector import lean_ccxt


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.collector", description=__doc__)
    parser.add_argument("exchange", help="binance, bybit, bitget, htx or gate")
    try:
        venue = canonical_venue(parser.parse_args().exchange)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG

    async def collect(settings: Settings, stop: Stop) -> None:
        exchange = settings.config.wire_name(venue)
        if exchange is None:
            logging.getLogger("main").info("The config does not name %s: waiting", venue)
            await stop.wait()
            return
        # Imported here: ccxt is 60 MB that a collector which only waits need not have.
        lean_ccxt.install()
        from workers.collector.collector import Collector

        await Collector(settings, venue, exchange, SystemClock()).run(stop)

    return run(f"collector-{venue}", collect)


if __name__ == "__main__":
    sys.exit(main())
