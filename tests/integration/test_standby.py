"""What the registry calls a venue that the configuration does not name, told by a real broker."""

import asyncio
from pathlib import Path

from shared.broker import publish
from shared.clock import SystemClock
from shared.config import AppConfig, Environment, Settings
from shared.host_exchanges import HostExchanges, exchanges_path, write_host_exchanges
from shared.service import Stop
from shared.status import Heartbeat
from shared.symbolset import Revision, SymbolSet
from shared.topology import STATUS, SYMBOLS
from tests.coordinators import client
from tests.waiting import eventually
from workers.collector.standby import Standby


async def test_the_announced_name_is_taken(broker_url: str, tmp_path: Path) -> None:
    environment = Environment(
        amqp_url=broker_url,
        config_path=tmp_path / "config.json",
        home=tmp_path,
        host_id="a",
        egress="a",
    )
    settings = Settings(config=AppConfig(exchanges=("htx",)), environment=environment, keys={})
    path = exchanges_path(tmp_path)
    write_host_exchanges(path, HostExchanges(added=("okx",)))
    async with client(broker_url) as fleet:
        beats: list[Heartbeat] = []
        queue = await fleet.channel.declare_queue(exclusive=True)
        await queue.bind(STATUS, "heartbeat.collector.okx.*")

        async def hear(message: object) -> None:
            beats.append(Heartbeat.model_validate_json(message.body))  # type: ignore[attr-defined]

        await queue.consume(hear, no_ack=True)
        stop = Stop()
        naming = asyncio.create_task(Standby(settings, "okx", 0, SystemClock()).name(stop))
        await eventually(lambda: beats, 15, "it asks for an announcement")
        assert (beats[0].worker, beats[0].state, beats[0].mailbox) == ("okx-0@a", "waiting", None)
        for venue in ("htx", "okx"):
            announced = SymbolSet(
                exchange=f"the-{venue}",
                venue=venue,
                revision=Revision(registry="r", epoch=1, offset=1),
                symbols=[],
            )
            body = announced.model_dump_json().encode()
            await publish(fleet.channel, SYMBOLS, "", body)
        assert await asyncio.wait_for(naming, 10) == "the-okx"
