"""Commands over a real broker: answers, repetitions, replies, announcements, statistics."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest

from coordinator.leadership import Leadership
from shared.broker import own_queue
from shared.status import Heartbeat, State, Statistics
from shared.topology import MAILBOX, REGISTRY_STREAM
from tests.coordinators import BTC, ETH, EXCHANGES, SOL, Client, client, coordinator
from tests.waiting import eventually


def beat(epoch: str, success: int, state: State = "running") -> Heartbeat:
    return Heartbeat(
        role="collector",
        exchange="gateio",
        worker="gate-0@h",
        epoch=epoch,
        state=state,
        sent_at=1,
        revision=None,
        statistics=Statistics(success=success, published=success),
    )


class _Undecodable(str):
    """Bytes on the wire that are no UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


class _Endless(datetime):
    """Seconds on the wire that no datetime holds."""

    def timestamp(self) -> float:
        return 2**62


async def symbols_of(user: Client) -> list[str]:
    answer = await user.ask({"command": "get_symbols"})
    symbols: list[str] = answer["data"]["symbols"]
    return symbols


async def test_the_five_commands_answer_as_promised(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        added = await user.ask({"command": "add_symbol", "symbol": SOL, "correlation_id": "c1"})
        assert added["success"] is True
        assert added["correlation_id"] == "c1"
        assert added["data"]["current_symbols"] == [BTC, ETH, SOL]
        assert added["data"]["state_revision"] == 2
        key, _, message = user.answers[-1]
        assert key == "control.response.add_symbol"
        assert (message.correlation_id, message.content_type) == ("c1", "application/json")
        assert message.delivery_mode == aio_pika.DeliveryMode.NOT_PERSISTENT

        again = {"command": "add_symbol", "symbol": SOL, "correlation_id": "c2"}
        assert (await user.ask(again))["error"] == "duplicate_symbol"
        gone = {"command": "remove_symbol", "symbol": BTC, "correlation_id": "c3"}
        assert (await user.ask(gone))["data"]["current_symbols"] == [ETH, SOL]
        put = {"command": "set_symbols", "symbols": [SOL, BTC], "correlation_id": "c4"}
        assert (await user.ask(put))["message"] == "Symbols set successfully"
        assert await symbols_of(user) == [SOL, BTC]
        own = {"command": "remove_symbol", "symbol": SOL, "exchange": "gate"}
        assert (await user.ask(own))["data"]["current_symbols"] == [BTC]
        of_gate = await user.ask({"command": "get_symbols", "exchange": "gateio"})
        assert (of_gate["data"]["symbols"], of_gate["correlation_id"]) == ([BTC], None)
        assert await symbols_of(user) == [SOL, BTC]


async def test_a_repeated_command_gets_the_same_bytes(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        command = {"command": "add_symbol", "symbol": SOL, "correlation_id": "c"}
        await user.ask(command)
        await user.ask({"command": "remove_symbol", "symbol": SOL, "correlation_id": "d"})
        await user.ask(command)
        assert user.answers[0][1] == user.answers[2][1]
        refused = {"command": "remove_symbol", "symbol": SOL, "correlation_id": "e"}
        assert (await user.ask(refused))["error"] == "symbol_not_found"
        await user.ask({"command": "add_symbol", "symbol": SOL, "correlation_id": "f"})
        assert (await user.ask(refused))["error"] == "symbol_not_found"
        assert (await user.ask(command | {"symbol": BTC}))["error"] == "invalid_command"
        assert await symbols_of(user) == [BTC, ETH, SOL]


async def test_what_is_no_command_is_answered_as_invalid(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        assert (await user.ask(b"{", correlation_id="p"))["error"] == "invalid_json"
        assert orjson.loads(user.answers[-1][1])["correlation_id"] == "p"
        name = "x." * 200 + "#"
        assert (await user.ask({"command": name}))["error"] == "unknown_command"
        assert (await user.ask(b"x" * 70_000))["error"] == "invalid_command"
        assert {key for key, _, _ in user.answers} == {"control.response.invalid"}
        assert (await user.ask({"command": "add_symbol"}))["error"] == "invalid_command"
        assert user.answers[-1][0] == "control.response.add_symbol"


@pytest.mark.parametrize(
    ("name", "value"),
    [("correlation_id", _Undecodable("x")), ("timestamp", _Endless(2030, 1, 1, tzinfo=UTC))],
    ids=["text that is no UTF-8", "a time that is no time"],
)
async def test_a_message_that_no_client_library_can_read_ends_as_a_dead_letter(
    broker_url: str, tmp_path: Path, name: str, value: object
) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        strange = aio_pika.Message(b"{}").properties
        setattr(strange, name, value)
        raw = await user.channel.get_underlay_channel()
        await raw.basic_publish(
            b"{}",
            exchange="futures_commands",
            routing_key="futures_collector_control",
            properties=strange,
        )
        assert await symbols_of(user) == [BTC, ETH]


async def test_a_tick_from_outside_does_no_harm(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        await user.send(b"", type="tick")
        answer = await user.ask({"command": "get_symbols"}, type="tick")
        assert answer["data"]["symbols"] == [BTC, ETH]


@pytest.mark.parametrize("through", ["mailbox", "default exchange"])
async def test_reply_to_is_answered(broker_url: str, tmp_path: Path, through: str) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        if through == "mailbox":
            await user.replies.bind(MAILBOX, user.replies.name)
        await user.ask({"command": "get_symbols"}, reply_to=user.replies.name, correlation_id="r")
        await eventually(lambda: user.replied)
        assert user.replied[0].body == user.answers[0][1]
        assert user.replied[0].correlation_id == "r"
        assert user.replied[0].exchange == (MAILBOX if through == "mailbox" else "")
        assert len(user.replied) == 1


async def test_direct_reply_to_is_answered(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        replied: list[bytes] = []

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            replied.append(message.body)

        direct = await user.channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
        await direct.consume(take, no_ack=True)
        await user.ask({"command": "get_symbols"}, reply_to="amq.rabbitmq.reply-to")
        await eventually(lambda: replied)


@pytest.mark.parametrize(
    "address", ["nobody", "amq.rabbitmq.reply-to.g1garbage", "#.*", "é" * 100, REGISTRY_STREAM]
)
async def test_an_address_that_leads_nowhere_disturbs_nothing(
    broker_url: str, tmp_path: Path, address: str
) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path) as subject:
        await user.ask({"command": "get_symbols"}, reply_to=address)
        assert await symbols_of(user) == [BTC, ETH]
        assert subject.log.malformed == 0
        assert len(user.answers) == 2


async def test_an_error_of_ours_is_answered_and_the_next_command_served(
    broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> bytes:
        raise RuntimeError("a bug")

    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(Leadership, "read", fail)
            assert (await user.ask({"command": "get_symbols"}))["error"] == "internal_error"
        assert await symbols_of(user) == [BTC, ETH]


async def test_state_revisions_guard_a_change(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        read = await user.ask({"command": "get_symbols"})
        seen = read["data"]["state_revision"]
        guarded = {"command": "add_symbol", "symbol": SOL, "expected_revision": seen}
        assert (await user.ask(guarded))["data"]["state_revision"] == seen + 1
        other = guarded | {"command": "remove_symbol"}
        conflict = await user.ask(other)
        assert conflict["error"] == "revision_conflict"
        assert conflict["data"]["state_revision"] == seen + 1


async def test_market_lists_tell_where_a_symbol_is_listed(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path) as subject:
        await symbols_of(user)
        await eventually(lambda: subject.roster.alive("coordinator"))
        await user.status("markets.collector.x.y", b"nonsense")
        for exchange in EXCHANGES:
            await user.markets(exchange, [BTC, SOL] if exchange == "htx" else [BTC])
        await eventually(lambda: not subject.listings.of(BTC, EXCHANGES).unknown)
        data = (await user.ask({"command": "add_symbol", "symbol": SOL}))["data"]
        assert (data["listed_on"], data["not_listed_on"]) == (["htx"], ["binance", "gateio"])
        nowhere = await user.ask({"command": "add_symbol", "symbol": "XYZ/USDT:USDT"})
        assert "XYZ" in nowhere["data"]["warning"]
        assert subject.watch.malformed == 1


async def test_every_change_is_announced_in_full(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        added = await user.ask({"command": "add_symbol", "symbol": SOL, "exchange": "gate"})
        revision = added["data"]["revision"]

        def settled() -> bool:
            latest = {one.exchange: one for one in user.announced}
            return len(latest) == len(EXCHANGES) and all(
                one.revision.model_dump() == revision for one in latest.values()
            )

        await eventually(settled)
        latest = {one.exchange: one for one in user.announced}
        assert latest["gateio"].symbols == [BTC, ETH, SOL]
        assert latest["gateio"].venue == "gate"
        assert latest["htx"].symbols == [BTC, ETH]


async def test_announcements_of_many_changes_are_few(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path):
        await symbols_of(user)
        for number in range(60):
            await user.send({"command": "add_symbol", "symbol": f"T{number}/USDT:USDT"})
        await eventually(lambda: len(user.answers) == 61, 20)
        await eventually(lambda: len(user.announced[-1].symbols) == 62)
        assert len(user.announced) < 61 * len(EXCHANGES) / 2


async def test_a_starting_worker_is_told_at_once(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path) as subject:
        await symbols_of(user)
        await eventually(lambda: len(user.announced) >= len(EXCHANGES))
        await eventually(lambda: subject.roster.alive("coordinator"))
        for number, heartbeat in enumerate((beat("e1", 0), beat("e1", 0, "starting"))):
            user.announced.clear()
            await user.heartbeat(heartbeat)
            await eventually(lambda: user.announced, 3, str(number))
            assert user.announced[-1].exchange == "gateio"


async def test_statistics_outlive_workers_and_coordinators(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user:
        async with coordinator(broker_url, tmp_path) as subject:
            await eventually(lambda: subject.roster.alive("coordinator"), 10)
            await user.status("heartbeat.collector.gateio.w", b'{"role":"collector"}')
            await user.heartbeat(beat("e1", 10))
            await user.heartbeat(beat("e2", 3))
            await eventually(lambda: subject.roster.alive("collector"))
            answer = await user.ask({"command": "get_statistics", "correlation_id": "s"})
            assert answer["message"] == "Statistics retrieved successfully"
            assert answer["data"]["exchange_success"] == {"binance": 0, "gateio": 13, "htx": 0}
            assert answer["data"]["exchange_errors"] == {}
            assert answer["data"]["rabbitmq_published"] == 13
            assert subject.watch.malformed == 1
        async with coordinator(broker_url, tmp_path) as subject:
            await eventually(lambda: subject.roster.alive("coordinator"), 10)
            await user.heartbeat(beat("e2", 5))
            await eventually(lambda: subject.roster.alive("collector"))
            answer = await user.ask({"command": "get_statistics"})
            assert answer["data"]["exchange_success"]["gateio"] == 15


async def test_the_coordinators_heartbeat_tells_who_leads(broker_url: str, tmp_path: Path) -> None:
    async with client(broker_url) as user, coordinator(broker_url, tmp_path) as subject:
        heard: list[Heartbeat] = []

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            heard.append(Heartbeat.model_validate_json(message.body))
            assert len(message.body) <= 4096

        queue = await own_queue(
            user.channel, "client", "beats", [("futures_status", "heartbeat.coordinator.#")]
        )
        await queue.consume(take, no_ack=True)
        await eventually(lambda: heard and heard[-1].details["leader"] is True, 10)
        assert heard[-1].revision == subject.log.registry.revision
        assert heard[-1].details["symbols"] == 2
