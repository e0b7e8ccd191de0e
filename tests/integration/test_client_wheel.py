"""The client library as its users have it: a wheel, installed, and nothing of this repository."""

import asyncio
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import orjson
import pytest

from cli.place import ROOT
from tests.coordinators import coordinator
from tests.facts import message, speaker

PROGRAM = """
import asyncio, importlib.util, json, sys
import futures_fleet
from futures_fleet import FleetClient, Trade


async def main(url):
    async with FleetClient(url) as fleet, fleet.stream("trades.#") as trades:
        added = await fleet.add_symbol("SOL")
        await trades.ready()
        print(json.dumps({
            "file": futures_fleet.__file__,
            "shared": importlib.util.find_spec("shared") is not None,
            "symbols": added["current_symbols"],
        }), flush=True)
        async for message in trades:
            assert isinstance(message.body, Trade)
            print(json.dumps({"symbol": message.symbol, "id": message.body.id}), flush=True)
            return


asyncio.run(main(sys.argv[1]))
"""


def find_uv() -> str:
    """That of `make test`, else one of the machine."""
    own = ROOT / ".fleet" / "tools" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        pytest.skip("no uv: make test brings one")
    return found


def environment() -> dict[str, str]:
    """Ours, without what leads Python back into this repository."""
    led = ("PYTHON", "VIRTUAL_ENV", "FLEET_", "AMQP_", "COVERAGE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(led)}
    return {"UV_CACHE_DIR": str(ROOT / ".fleet" / "cache" / "uv")} | kept


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy: a build leaves nothing in the repository."""
    at = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "dist", ".*_cache")
    shutil.copytree(ROOT / "client", at / "client", ignore=ignored)
    run(find_uv(), "build", "--quiet", "--wheel", "--out-dir", str(at), str(at / "client"), cwd=at)
    (built,) = at.glob("*.whl")
    return built


@pytest.mark.deadline(240)
def test_the_wheel_brings_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"futures_fleet"}
    assert "futures_fleet/py.typed" in names
    assert "futures_fleet/_wire/messages.py" in names
    (metadata,) = (name for name in names if name.endswith("METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    needs = {
        line.partition(": ")[2].split(">")[0] for line in lines if line.startswith("Requires-Dist")
    }
    assert needs == {"aio-pika", "aiormq", "orjson", "pydantic", "typing-extensions", "yarl"}


@pytest.mark.deadline(300)
async def test_a_program_with_nothing_but_the_wheel(
    wheel: Path, broker_url: str, tmp_path: Path
) -> None:
    uv, venv = find_uv(), tmp_path / "venv"
    (tmp_path / "program.py").write_text(PROGRAM)
    python = str(venv / "bin" / "python")
    await asyncio.to_thread(run, uv, "venv", "--quiet", "--python", "3.11", str(venv), cwd=tmp_path)
    install = (uv, "pip", "install", "--quiet", "--python", python, str(wheel))
    await asyncio.to_thread(run, *install, cwd=tmp_path)
    async with coordinator(broker_url, tmp_path / "home"), speaker(broker_url) as speaks:
        process = await asyncio.create_subprocess_exec(
            *(python, "program.py", broker_url),
            cwd=tmp_path,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        first = orjson.loads(await process.stdout.readline() or b"null")
        assert first is not None, (await process.stderr.read()).decode()
        await speaks.say(message(5))
        got = orjson.loads(await process.stdout.readline())
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert first["file"].startswith(str(venv))
    assert first["shared"] is False
    assert first["symbols"][-1] == "SOL/USDT:USDT"
    assert got == {"symbol": "BTC/USDT:USDT", "id": "5"}
