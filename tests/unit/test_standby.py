"""A collector that has nothing to collect yet."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from shared.config import AppConfig, Environment, Settings
from shared.files import write_json
from shared.host_exchanges import HostExchanges, exchanges_path, write_host_exchanges
from shared.service import Stop
from shared.symbolset import Revision, SymbolSet
from tests.fakes import FakeClock
from tests.waiting import eventually
from workers.collector.standby import Standby, program_name
from workers.collector.wire_name import WireName


def settings(home: Path, *exchanges: str) -> Settings:
    environment = Environment(
        amqp_url="amqp://127.0.0.1:1/",
        config_path=home / "config.json",
        home=home,
        host_id="a",
        egress="a",
    )
    return Settings(config=AppConfig(exchanges=exchanges), environment=environment, keys={})


def standby(home: Path, *exchanges: str, venue: str = "gate", index: int = 0) -> Standby:
    return Standby(settings(home, *exchanges), venue, index, FakeClock())


def symbol_set(venue: str, exchange: str) -> SymbolSet:
    revision = Revision(registry="r", epoch=1, offset=1)
    return SymbolSet(exchange=exchange, venue=venue, revision=revision, symbols=[])


def host(home: Path, exchanges: HostExchanges) -> None:
    write_host_exchanges(exchanges_path(home), exchanges)


async def test_a_venue_that_the_config_names_is_collected_at_once(tmp_path: Path) -> None:
    assert await standby(tmp_path, "htx", "gateio").name(Stop()) == "gateio"


async def test_a_damaged_file_of_the_host_changes_nothing(tmp_path: Path) -> None:
    exchanges_path(tmp_path).parent.mkdir()
    exchanges_path(tmp_path).write_text("{")
    assert await standby(tmp_path, "gateio").name(Stop()) == "gateio"


@pytest.mark.parametrize("exchanges", [("htx",), ("htx", "gateio")])
async def test_a_stop_ends_the_waiting(tmp_path: Path, exchanges: tuple[str, ...]) -> None:
    host(tmp_path, HostExchanges(left=("gate",)))
    stop = Stop()
    waiting = asyncio.create_task(standby(tmp_path, *exchanges).name(stop))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stop.request()
    assert await waiting is None


async def test_what_is_added_while_it_waits_is_collected_by_the_name_it_had(
    tmp_path: Path,
) -> None:
    subject = standby(tmp_path, "htx", index=1)
    kept = tmp_path / "state" / program_name("gate", 1) / "symbols.json"
    write_json(kept, symbol_set("gate", "gateio").model_dump())
    waiting = asyncio.create_task(subject.name(Stop()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    host(tmp_path, HostExchanges(added=("gate",)))
    await eventually(waiting.done, 5)
    assert await waiting == "gateio"


async def test_a_left_venue_that_is_added_again_has_the_configs_name(tmp_path: Path) -> None:
    host(tmp_path, HostExchanges(left=("gate",)))
    waiting = asyncio.create_task(standby(tmp_path, "gateio").name(Stop()))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    host(tmp_path, HostExchanges().with_added("gate"))
    await eventually(waiting.done, 5)
    assert await waiting == "gateio"


def test_the_registry_has_to_have_told_of_others_for_long(tmp_path: Path) -> None:
    clock = FakeClock()
    subject = WireName(settings(tmp_path, "htx"), "gate", "gate-0@a", clock)
    other = symbol_set("htx", "htx").model_dump_json().encode()
    assert subject._name_in(other) is None
    clock.elapsed_s += 30
    assert subject._name_in(other) is None
    assert subject._name_in(b"{}") is None
    named = symbol_set("gate", "gateio").model_dump_json().encode()
    assert subject._name_in(named) == "gateio"
    clock.elapsed_s += 6
    assert subject._name_in(other) == "gate"


def test_who_waits_has_neither_ccxt_nor_an_amqp_library() -> None:
    code = (
        "import sys, workers.collector.__main__;"
        "sys.exit(bool({'ccxt', 'aio_pika', 'aiormq'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
