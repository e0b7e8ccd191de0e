"""An agent with a real broker and a real supervisord, whose programs are those of a small host."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from cli.broker_node import Node
from cli.host import Host
from cli.place import socket_path
from cli.supervisor import Program
from cli.supervisor_conf import PROGRAMS, variant
from shared.clock import SystemClock
from shared.errands import Errand
from shared.files import read_json
from shared.status import MAX_HEARTBEAT_BYTES, Heartbeat
from shared.topology import MAILBOX, STATUS
from tests.coordinators import Client, client
from tests.waiting import eventually

pytestmark = pytest.mark.deadline(120)


@dataclass
class SmallHost:
    """supervisord with an agent and two collectors, which wait since their venues are left."""

    home: Path
    host: Host
    client: Client
    beats: list[Heartbeat] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def listen(self) -> None:
        queue = await self.client.channel.declare_queue(exclusive=True)
        await queue.bind(STATUS, "heartbeat.agent.#")

        async def hear(message: AbstractIncomingMessage) -> None:
            self.beats.append(Heartbeat.model_validate_json(message.body))
            self.sizes.append(len(message.body))

        await queue.consume(hear, no_ack=True)

    async def mailbox(self) -> str:
        before = len(self.beats)
        await eventually(lambda: self.beats[before:] and self.beats[-1].mailbox, 30, "a mailbox")
        return self.beats[-1].mailbox or ""

    async def post(self, body: bytes, **properties: Any) -> None:
        exchange = await self.client.channel.get_exchange(MAILBOX, ensure=False)
        await exchange.publish(aio_pika.Message(body, **properties), await self.mailbox())

    async def send(self, action: str, id_: str = "", **fields: str) -> str:
        sent_at = SystemClock().now_ms()
        sent = {"id": id_ or secrets.token_hex(4), "action": action, "sent_at": sent_at}
        errand = Errand.model_validate(sent | fields)
        await self.post(errand.model_dump_json().encode())
        return errand.id

    async def end_of(self, id_: str, timeout_s: float = 40) -> dict[str, Any]:
        def end() -> dict[str, Any] | None:
            last = self.errands().get("last", []) if self.beats else []
            return next((outcome for outcome in last if outcome["id"] == id_), None)

        return await eventually(end, timeout_s, f"the end of errand {id_}")

    def errands(self) -> dict[str, Any]:
        return dict(self.beats[-1].details["errands"])

    def programs(self) -> dict[str, Program]:
        return {program.name: program for program in self.host.supervisor.programs()}

    def pids(self) -> dict[str, int | None]:
        return {name: program.pid for name, program in self.programs().items()}


def added(home: Path) -> list[Path]:
    """The program files that the agent has written."""
    return list(home.glob("supervisor/*.ini"))


@asynccontextmanager
async def small_host(
    home: Path, broker_url: str, *, includes: bool = True
) -> AsyncIterator[SmallHost]:
    logs = home / "logs"
    logs.mkdir()
    (home / "state").mkdir()
    (home / "state" / "exchanges.json").write_bytes(orjson.dumps({"left": ["gate", "htx"]}))
    (home / "config.json").write_bytes(orjson.dumps({"exchanges": ["gate", "htx"]}))
    programs = [PROGRAMS / f"{name}.ini" for name in ("agent", "collector-gate", "collector-htx")]
    directories = [str(path) for path in programs]
    directories += [str(home / "supervisor" / "*.ini")] if includes else []
    conf = home / "supervisord.conf"
    conf.write_text(variant(home, logs, socket_path(home), directories))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FLEET_", "AMQP_"))}
    environment |= {
        "AMQP_URL": broker_url,
        "FLEET_HOME": str(home),
        "FLEET_CONFIG": str(home / "config.json"),
        "FLEET_HOST_ID": "host.a",
    }
    async with client(broker_url) as fleet:
        host = Host(conf, socket_path(home), environment)
        await asyncio.to_thread(host.start_detached)
        subject = SmallHost(home, host, fleet)
        try:
            await subject.listen()
            await subject.mailbox()
            yield subject
        finally:
            await asyncio.to_thread(host.stop)


async def test_a_restart_touches_one_program_and_repeated_ids_do_nothing(
    broker_url: str, tmp_path: Path
) -> None:
    async with small_host(tmp_path, broker_url) as host:
        beat = host.beats[-1]
        assert (beat.role, beat.worker, beat.exchange) == ("agent", "agent@host.a", None)
        await eventually(lambda: len(host.beats[-1].details["programs"]) == 3, 10)
        before = host.pids()
        id_ = await host.send("restart", worker="gate-0@host.a")
        end = await host.end_of(id_)
        assert end["ok"], end
        after = host.pids()
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"collector-gate"} and after["collector-gate"]
        await host.send("restart", id_, worker="gate-0@host.a")
        await eventually(lambda: host.errands()["repeated"] == 1, 10)
        assert host.pids() == after
        wrong = await host.send("restart", worker="okx-0@host.a")
        end = await host.end_of(wrong)
        assert not end["ok"] and "no program" in end["text"]
        assert max(host.sizes) <= MAX_HEARTBEAT_BYTES


@pytest.mark.long
async def test_a_venue_is_added_and_left_without_touching_the_others(
    broker_url: str, tmp_path: Path
) -> None:
    async with small_host(tmp_path, broker_url) as host:
        before = host.pids()
        end = await host.end_of(await host.send("add", exchange="okx"))
        assert end["ok"], end
        assert host.programs()["collector-okx"].state == "RUNNING"
        assert {name: host.pids()[name] for name in before} == before
        assert read_json(tmp_path / "state" / "exchanges.json")["added"] == ["okx"]
        okx = host.pids()["collector-okx"]
        end = await host.end_of(await host.send("leave", exchange="okx"))
        assert end["ok"], end
        assert host.programs()["collector-okx"].state == "RUNNING", "it waits"
        assert host.pids()["collector-okx"] != okx
        assert {name: host.pids()[name] for name in before} == before
        assert "okx" in read_json(tmp_path / "state" / "exchanges.json")["left"]


async def test_a_configuration_that_takes_no_files_is_told_and_nothing_changes(
    broker_url: str, tmp_path: Path
) -> None:
    async with small_host(tmp_path, broker_url, includes=False) as host:
        before = host.pids()
        end = await host.end_of(await host.send("add", exchange="okx"))
        assert not end["ok"] and "include" in end["text"]
        assert host.pids() == before
        assert not added(tmp_path)


async def test_what_is_no_errand_is_counted_and_the_agent_goes_on(
    broker_url: str, tmp_path: Path
) -> None:
    async with small_host(tmp_path, broker_url) as host:
        agent = host.pids()["agent"]
        bodies = (b"", b"\xff", b"{}", b"[" * 5000, b'{"id": "x", "action": "rm"}', b"x" * 100_000)
        for body in bodies:
            await host.post(body)
        await host.post(b"", type="ping")
        await eventually(lambda: host.errands()["malformed"] == len(bodies), 10)
        old = Errand(id="old", action="restart", worker="gate-0@host.a", sent_at=1)
        await host.post(old.model_dump_json().encode())
        assert not (await host.end_of("old"))["ok"]
        assert host.errands()["refused"] == 1
        assert host.pids()["agent"] == agent


async def test_a_killed_agent_goes_on_with_its_errand(broker_url: str, tmp_path: Path) -> None:
    async with small_host(tmp_path, broker_url) as host:
        before = host.pids()
        id_ = await host.send("restart", worker="gate-0@host.a")
        book = tmp_path / "state" / "agent" / "errands.json"

        def begun() -> bool:
            return any(
                waiting["pids"] for waiting in (read_json(book) or {"waiting": []})["waiting"]
            )

        await eventually(begun, 10, "the errand is at hand")
        agent = before["agent"]
        assert agent is not None
        os.kill(agent, signal.SIGKILL)
        end = await host.end_of(id_, 60)
        assert end["ok"], end
        after = host.pids()
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"agent", "collector-gate"}
        assert host.programs()["collector-gate"].state == "RUNNING"
        assert read_json(book)["waiting"] == []


async def test_a_mailbox_that_is_deleted_is_made_anew(broker_node: Node, tmp_path: Path) -> None:
    async with small_host(tmp_path, broker_node.amqp_url) as host:
        first = await host.mailbox()
        ctl = ("delete_queue", first, "--vhost", broker_node.vhost)
        await asyncio.to_thread(broker_node.ctl, *ctl)
        await eventually(lambda: host.beats[-1].mailbox not in (None, first), 20, "another mailbox")
        end = await host.end_of(await host.send("restart", worker="htx-0@host.a"))
        assert end["ok"], end
