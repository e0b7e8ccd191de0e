"""The command line of the fleet: `fleet`. Each command's work is in the file of its name, imported
when it is called: `fleet --help` is quick."""

import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.config_commands import config_app
from cli.exits import CommandFailed, Exit
from cli.fleet_commands import exchange_app, history, rollback, tasks_app, workers_app
from cli.options import ExpectedRevision, Json, place
from cli.sim_commands import sim_app
from cli.users_command import add_users

app = typer.Typer(
    name="fleet",
    help="A fleet of processes that collects crypto-futures data and delivers it over RabbitMQ.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 degraded, 4 unreachable, 78 configuration.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

app.add_typer(workers_app, name="workers")
app.add_typer(exchange_app, name="exchange")
app.add_typer(tasks_app, name="tasks")
app.add_typer(sim_app, name="sim")
app.add_typer(config_app, name="config")
app.command()(history)
app.command()(rollback)
add_users(app)


class RegistryAction(StrEnum):
    RESTORE = "restore"
    RESET = "reset"
    ACCEPT = "accept"


class SymbolAction(StrEnum):
    LIST = "list"
    ADD = "add"
    REMOVE = "remove"
    SET = "set"


class RequestPriority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@app.command()
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="End so long after all venues deliver, with a verdict."),
    ] = None,
) -> None:
    """A whole fleet on simulated venues, until Ctrl-C."""
    from cli.demo import run_demo

    raise typer.Exit(run_demo(place(), seconds))


@app.command()
def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop the fleet on Ctrl-C.")
    ] = False,
) -> None:
    """Start the fleet of config.json on this host.

    Where neither AMQP_URL nor config.json names a broker, a private one runs with it.
    """
    from cli.up import run_up

    raise typer.Exit(run_up(place(), foreground))


@app.command()
def down() -> None:
    """Stop the fleet that runs in this clone."""
    from cli.up import run_down

    raise typer.Exit(run_down(place()))


@app.command()
def status(as_json: Json = False) -> None:
    """This host's programs; workers, coordinators and agents of all hosts."""
    from cli.status import run_status

    raise typer.Exit(run_status(place(), as_json))


@app.command()
def symbols(
    action: Annotated[SymbolAction, typer.Argument()] = SymbolAction.LIST,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="BTC, BTCUSDT, BTC/USDT or BTC/USDT:USDT; */USDT:USDT or top:50 for many."
        ),
    ] = None,
    exchange: Annotated[
        str | None, typer.Option(help="Of this exchange alone, instead of all.")
    ] = None,
    revision: ExpectedRevision = None,
    as_json: Json = False,
) -> None:
    """Which symbols are collected: list, add, remove, set."""
    from cli.control import Wish, run_symbols

    if bool(names) == (action is SymbolAction.LIST):
        raise typer.BadParameter(f"{action.value} takes {'no' if names else 'at least one'} symbol")
    if action is SymbolAction.LIST and revision is not None:
        raise typer.BadParameter("list changes nothing, so it expects no revision")
    wish = Wish(action.value, names or [], exchange, revision)
    raise typer.Exit(run_symbols(place(), wish, as_json))


@app.command()
def control(
    command: Annotated[str, typer.Argument(help="A command's name, or the whole command as JSON.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")] = 10.0,
) -> None:
    """Send any command to the control queue; its answer as JSON."""
    from cli.control import run_control

    raise typer.Exit(run_control(place(), command, timeout))


@app.command()
def registry(
    action: Annotated[
        RegistryAction,
        typer.Argument(
            help="restore: from this host's mirror; reset: forget it; accept: go on without what a "
            "later version wrote."
        ),
    ],
) -> None:
    """When the broker has lost the registry's log, and the coordinator waits to be told."""
    from cli.registry import run_registry

    run_registry(place(), action.value)


@app.command()
def tail(
    pattern: Annotated[str, typer.Argument(help="A binding key: trades.binance.*, #.")] = "#",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    exchange: Annotated[
        str | None, typer.Option(help="The AMQP exchange, where the pattern does not tell.")
    ] = None,
    reader: Annotated[
        bool, typer.Option("--reader", help="With a queue of a reader, who may not command.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Messages as they come, one a line."""
    from cli.tail import Tail, run_tail

    wish = Tail(pattern, exchange, count, "reader" if reader else "client")
    raise typer.Exit(run_tail(place(), wish, as_json))


@app.command()
def doctor(
    exchange: Annotated[
        str | None, typer.Option(help="Whether this venue answers what the fleet asks.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many symbols by turnover.")] = 5,
    as_json: Json = False,
) -> None:
    """Whether this machine can run a fleet, and if not why; or how a venue answers."""
    from cli.doctor import run_doctor

    raise typer.Exit(run_doctor(place(), exchange, top, as_json))


@app.command()
def request(
    method: Annotated[str, typer.Argument(help="A method of ccxt: fetch_ticker, fetchTicker ...")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help='In its order: BTC, 5, \'["BTC", "ETH"]\'.')
    ] = None,
    exchange: Annotated[
        str | None, typer.Option(help="Of this venue; by default of whichever can.")
    ] = None,
    priority: Annotated[
        RequestPriority, typer.Option(help="Among the requests of users.")
    ] = RequestPriority.NORMAL,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, max=300)] = 10.0,
    max_age_s: Annotated[
        float | None, typer.Option("--max-age", min=0, help="0: ask the venue itself.")
    ] = None,
) -> None:
    """Ask a venue by its collector: out of live data, or of the venue itself. Prints JSON."""
    from cli.requests import Wish, run_request

    wish = Wish(method, arguments or [], exchange, priority, timeout_s, max_age_s)
    raise typer.Exit(run_request(place(), wish))


@app.command()
def record(
    exchange: Annotated[str | None, typer.Argument(help="The venue.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Record so long; else until Ctrl-C.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Below this directory, instead of the fleet's own.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="What was recorded so far.")] = False,
    as_json: Json = False,
) -> None:
    """Record a venue's raw traffic, of the symbols in config.json; publishes nothing.

    `fleet replay` serves it again. A collector records besides its work where its exchange has
    `"record": true` in config.json.
    """
    from cli.record import list_recordings, run_record

    if listed == (exchange is not None):
        raise typer.BadParameter("name a venue, or ask for --list")
    if exchange is None:
        raise typer.Exit(list_recordings(place(), out, as_json))
    run_record(place(), exchange, seconds, out)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def replay(
    context: typer.Context,
    directory: Annotated[str, typer.Argument(help="Where the recordings or captures are.")],
) -> None:
    """Serve a recorded market again.

    Options go to the simulator: --capture NAME (a venue, as `fleet record --list` names it;
    needed), --port PORT (8900; 0: any free one), --speed FACTOR (1), --host ADDRESS, --truth FILE.
    """
    from cli.replay import run_replay

    run_replay(directory, context.args)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def bench(context: typer.Context) -> None:
    """What this machine does a second, how late, in how much memory.

    Options go to the benchmark: names of measurements, --quick, --json PATH.
    """
    from cli.bench import run_bench

    run_bench(context.args)


def main() -> None:
    """Run one command; errors of the environment are one line on stderr, and an exit code."""
    from shared.errors import ConfigurationError, CryptoCollectorException

    # Services log; a command says what it has to say itself.
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        app()
    except CommandFailed as error:
        _end(str(error), error.code)
    except ConfigurationError as error:
        _end(str(error), Exit.CONFIG)
    except CryptoCollectorException as error:
        _end(str(error), Exit.FAILED)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(Exit.OK)
    except OSError as error:
        _end(str(error), Exit.FAILED)


def _end(message: str, code: Exit) -> None:
    sys.stderr.write(f"fleet: {message}\n")
    sys.exit(code)
