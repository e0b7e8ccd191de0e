"""A run with canaries: no password and no key is said anywhere, whatever goes wrong."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard

from cli.broker_node import Node
from shared.broker import Broker
from shared.topology import topology
from tests.venues import Simulator, simulated_venues
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
VENUE, BTC = "gate", "BTC/USDT:USDT"
_ZSTD = b"\x28\xb5\x2f\xfd"
FLEET = (sys.executable, "-c", "from cli.main import main; main()")
CANARIES = {
    name: f"canary{number:02d}of{name}"
    for number, name in enumerate(
        ("broker", "redis", "database", "proxy", "key", "secret", "passphrase", "typo")
    )
}
#: What a fleet's user keeps secrets in; all else is looked at.
KEPT_IN = {"config.json", ".env.keys"}


@pytest.mark.deadline(180)
async def test_no_secret_is_said_anywhere(broker_node: Node, tmp_path: Path) -> None:
    url = _user(broker_node)
    (tmp_path / "venues").mkdir()
    async with simulated_venues(tmp_path / "venues", "--symbols", "2") as simulator:
        home = tmp_path / "home"
        config = _written(home, simulator)
        async with _spying(url) as heard, _running(url, home) as processes:
            await eventually(lambda: any(f"futures.{VENUE}.BTCUSDT" in k for k, _ in heard), 40)
            said = [await _call(url, home, *words) for words in COMMANDS]
            storm = await simulator.fault(VENUE, "server_errors")
            await _break(home, config, processes)
            said += [await _call(url, home, *words) for words in COMMANDS]
            await asyncio.sleep(8)
            await simulator.heal(storm)
            lines = [_command_line(process.pid) for process in processes]
    assert _found("\n".join(lines)) == {}, "in the list of processes"
    assert _found("\n".join(said)) == {}, "by the command line"
    spoken = b"\n".join(body for _, body in heard).decode()
    assert any(key.startswith("heartbeat.") for key, _ in heard)
    assert any(key.startswith("control.response.get_statistics") for key, _ in heard)
    assert _found(spoken) == {}, "on the broker"
    logs = 0
    for path in (path for path in home.rglob("*") if path.is_file()):
        text = path.read_bytes().decode(errors="replace")
        if path.name in KEPT_IN or "config-snapshots" in path.parts:
            modes = (path.stat().st_mode, path.parent.stat().st_mode)
            is_private = path.name == "config.json" or any(mode & 0o077 == 0 for mode in modes)
            assert is_private or not _found(text), path
            continue
        logs += "[ERROR]" in text
        assert _found(text) == {}, path
    assert logs >= 1, "nothing went wrong: the run says little"


COMMANDS = (
    ("config", "show"),
    ("config", "check"),
    ("config", "diff"),
    ("control", "get_statistics"),
    ("control", "get_workers"),
    ("doctor",),
    ("request", "fetch_open_interest", "BTC", "--exchange", VENUE, "--timeout", "3"),
    ("request", "fetch_funding_rate_history", "BTC", "--exchange", VENUE, "--timeout", "3"),
)


def _found(text: str) -> dict[str, str]:
    """Around each canary that is there."""
    return {
        name: text[max(0, text.index(value) - 150) :][:200]
        for name, value in CANARIES.items()
        if value in text
    }


def _user(node: Node) -> str:
    """The URL of a user of the broker whose password is a canary."""
    name = f"canary-{node.vhost}"
    node.ctl("add_user", name, CANARIES["broker"])
    node.ctl("set_permissions", "-p", node.vhost, name, ".*", ".*", ".*")
    return node.amqp_url.replace("guest:guest", f"{name}:{CANARIES['broker']}")


def _written(home: Path, simulator: Simulator) -> dict[str, Any]:
    home.mkdir()
    config = simulator.config((VENUE,), symbols=[BTC])
    at = f"user:{CANARIES['proxy']}@127.0.0.1:{simulator.port}/{VENUE}"
    config["exchange_configs"][VENUE] = {
        "urls": {"rest": f"http://{at}", "ws": f"ws://127.0.0.1:{simulator.port}/{VENUE}"},
        "passphrase": CANARIES["passphrase"],
    }
    config |= {
        "debug": True,
        "redis": {"host": "127.0.0.1", "port": 9, "password": CANARIES["redis"]},
        "database": {"enabled": True, "port": 9, "password": CANARIES["database"]},
        "logging": {"level": "DEBUG", "file_path": str(home / "logs" / "{program}.log")},
    }
    (home / "config.json").write_text(json.dumps(config))
    keys = {VENUE: {"apiKey": CANARIES["key"]}}
    path = home / ".env.keys"
    path.write_text(json.dumps(keys))
    path.chmod(0o600)
    return config


async def _break(
    home: Path, config: dict[str, Any], processes: list[asyncio.subprocess.Process]
) -> None:
    """Files that can not be used, with secrets in their faults."""
    path = home / "config.json"
    good = path.read_text()
    wrong = [
        good[: good.index(CANARIES["passphrase"]) + 10],
        json.dumps(config | {"redis": {"pasword": CANARIES["typo"]}}),
        json.dumps(config | {"rabbitmq": {"port": CANARIES["typo"]}}),
        json.dumps(config | {"exchange_configs": {VENUE: {"api_secret": [CANARIES["typo"]]}}}),
        f"{CANARIES['typo']}: [",
    ]
    for text in wrong:
        path.write_text(text)
        for process in processes:
            process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.4)
    path.write_text(good)


def _environment(url: str, home: Path) -> dict[str, str]:
    upper = VENUE.upper()
    return os.environ | {
        "AMQP_URL": url,
        "FLEET_CONFIG": str(home / "config.json"),
        "FLEET_HOME": str(home),
        "FLEET_HOST_ID": "host.a",
        f"CRYPTO_COLLECTOR_EXCHANGE_CONFIGS__{upper}__API_SECRET": CANARIES["secret"],
    }


@asynccontextmanager
async def _running(url: str, home: Path) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """A coordinator and a collector, whose output goes to files."""
    processes = []
    try:
        for words in (("coordinator",), ("workers.collector", VENUE)):
            with (home / f"{words[0]}.out").open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", *words),
                    cwd=ROOT,
                    env=_environment(url, home),
                    stdout=output,
                    stderr=output,
                )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in processes:
            assert await asyncio.wait_for(process.wait(), 20) == 0


@asynccontextmanager
async def _spying(url: str) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Whatever passes over the broker's exchanges."""
    heard: list[tuple[str, bytes]] = []
    broker = Broker(url, "spy", topology("futures_data"), declares=True)
    async with await broker.connect("spy") as connection:
        channel = await connection.channel()
        await broker.declare(channel)
        queue = await channel.declare_queue(exclusive=True)
        for exchange in broker.topology.exchanges:
            await queue.bind(exchange.name, "#" if exchange.type == "topic" else "")

        async def take(message: Any) -> None:
            body = message.body
            if body.startswith(_ZSTD):
                body = zstandard.ZstdDecompressor().decompress(body, max_output_size=2**24)
            heard.append((message.routing_key or "", body))

        await queue.consume(take, no_ack=True)
        yield heard


async def _call(url: str, home: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(*FLEET, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(url, home),
    )
    async with asyncio.timeout(40):
        output, _ = await process.communicate()
    return output.decode()


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
