"""`python -m simulator`: simulated venues on one port, until told to stop.

`python -m simulator replay DIR --capture NAME` serves a recording instead.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from simulator.capture import Capture, JsonLines
from simulator.happening import Rates
from simulator.recorded import RECORDED
from simulator.recording import Recording
from simulator.replay import Replay
from simulator.server import Server, Settings
from simulator.truth import Truth


def main() -> int:
    try:
        if sys.argv[1:2] == ["replay"]:
            uvloop.run(replay(parse_replay(sys.argv[2:])))
        else:
            uvloop.run(serve(parse(sys.argv[1:])))
    except OSError as error:  # no such capture, not gzip, a port that is taken
        sys.stderr.write(f"simulator: {error}\n")
        return 1
    return 0


def parse(arguments: list[str]) -> Settings:
    rates = Rates()
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0 takes any free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--symbols", type=int, help="the first N symbols; beyond 30 made-up ones")
    parser.add_argument("--truth", type=Path, help="append what was received and sent, as JSONL")
    parser.add_argument("--ticker-rate", type=float, default=rates.ticker, help="a symbol and s")
    parser.add_argument("--book-rate", type=float, default=rates.book, help="a symbol and s")
    parser.add_argument("--trade-rate", type=float, default=rates.trade, help="a symbol and s")
    add_habits(parser, rates)
    given = parser.parse_args(arguments)
    return Settings(
        host=given.host,
        port=given.port,
        seed=given.seed,
        symbols=given.symbols,
        rates=Rates(
            ticker=given.ticker_rate,
            book=given.book_rate,
            trade=given.trade_rate,
            liquidation=given.liquidation_rate,
            candle_corrections=given.candle_corrections,
            funding_minutes=given.funding_minutes,
        ),
        truth=given.truth,
    )


def add_habits(parser: argparse.ArgumentParser, rates: Rates) -> None:
    parser.add_argument(
        "--liquidation-rate", type=float, default=rates.liquidation, help="a symbol and minute"
    )
    parser.add_argument(
        "--candle-corrections",
        type=float,
        default=rates.candle_corrections,
        metavar="P",
        help="share of candles that change two seconds after their close",
    )
    parser.add_argument(
        "--funding-minutes", type=int, metavar="N", help="settle funding every N minutes"
    )


def parse_replay(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator replay", description="Serve a recording.")
    parser.add_argument("directory", type=Path, help="holds {venue}/{day}, or http and frames")
    parser.add_argument("--capture", required=True, choices=sorted(RECORDED))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900, help="0 takes any free port")
    parser.add_argument("--speed", type=float, default=1.0, help="times the recorded pace")
    parser.add_argument("--truth", type=Path, help="append what was received and sent, as JSONL")
    return parser.parse_args(arguments)


async def serve(settings: Settings) -> None:
    stop = stop_signal()
    async with Server(settings) as server:
        announce(settings.host, server.port, ", ".join(server.venues))
        await stop.wait()


async def replay(given: argparse.Namespace) -> None:
    stop = stop_signal()
    recorded = RECORDED[given.capture]()
    capture = open_capture(given.directory, given.capture)
    player = Replay(capture, recorded, Truth(given.truth), given.speed)
    await player.listen(given.host, given.port)
    announce(given.host, player.port, f"{recorded.venue}, recorded")
    ending = asyncio.create_task(tell_end(player))
    await stop.wait()
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    await player.stop()


async def tell_end(player: Replay) -> None:
    await player.ended.wait()
    sent, missed = player.delivery.sent, player.delivery.missed
    sys.stdout.write(f"replayed to the end: {sent} frames were sent, {missed} missed\n")
    sys.stdout.flush()


def open_capture(directory: Path, name: str) -> Capture:
    """Whatever of this name is there."""
    captured = JsonLines(directory, name)
    return captured if captured.exists() else Recording(directory, RECORDED[name].venue)


def stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def announce(host: str, port: int, what: str) -> None:
    sys.stdout.write(f"simulator listening on http://{host}:{port} ({what})\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
