"""Commands that are none, are too much, are somebody else's or come again: each is refused and
counted, and the registry and its coordinator are what they were."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker import own_queue
from shared.control import ERROR_CODES
from shared.status import Heartbeat
from shared.topology import COMMANDS, CONTROL_QUEUE, DEAD, REGISTRY_STREAM, RESPONSES, STATUS
from tests.coordinators import BTC, ETH, SOL, Client, Process, client
from tests.waiting import eventually

#: Who the broker says that we are, on a connection of the user `guest`.
USER = "guest"
ANSWERED_S = 30.0  # while a consumer that was thrown out comes back
P99_S = 0.050
PAUSE_S = 0.015
#: One in so many has megabytes, and one is a message that the client library itself can not read:
#: nobody answers that, and it costs the coordinator its subscription five times.
RARE_EVERY = 250
UNREADABLE = "unreadable"

Content = dict[str, Any]


@dataclass(frozen=True)
class Hostile:
    """A message, and the error codes that are right answers; none where it does not get any."""

    what: str
    body: bytes
    codes: frozenset[str]
    properties: Content = field(default_factory=dict)


class Ear:
    """The answers, each with the moment at which it came, and what coordinators tell."""

    def __init__(self) -> None:
        self.beat: Heartbeat | None = None
        self.answers: asyncio.Queue[tuple[float, str, Content]] = asyncio.Queue()

    async def take(self, message: AbstractIncomingMessage) -> None:
        if message.exchange == STATUS:
            self.beat = Heartbeat.model_validate_json(message.body)
            return
        key = message.routing_key or ""
        self.answers.put_nowait((time.perf_counter(), key, orjson.loads(message.body)))


@asynccontextmanager
async def listening(user: Client) -> AsyncIterator[Ear]:
    ear = Ear()
    bindings = [(RESPONSES, "#"), (STATUS, "heartbeat.coordinator.#")]
    queue = await own_queue(user.channel, "client", "ear", bindings)
    tag = await queue.consume(ear.take, no_ack=True)
    yield ear
    await queue.cancel(tag)


@pytest.mark.deadline(150)
async def test_hostile_commands_change_nothing(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    await _play(150, broker_url, tmp_path, record_property)


@pytest.mark.long
@pytest.mark.deadline(600)
async def test_a_thousand_hostile_commands_change_nothing_and_hold_nobody_up(
    broker_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    figures = await _play(1000, broker_url, tmp_path, record_property)
    assert figures["p99_ms"] <= 1000 * P99_S


async def _play(
    count: int, broker_url: str, directory: Path, record: Callable[[str, object], None]
) -> dict[str, float]:
    process = Process(broker_url, directory / "one", control={"require_user": True})
    async with client(broker_url) as user, listening(user) as ear:
        await process.start()
        try:
            done = {"command": "add_symbol", "symbol": SOL, "correlation_id": "done"}
            await _asked(user, ear, done)
            before = await _asked(user, ear, {"command": "get_symbols"})
            assert before["data"]["symbols"] == [BTC, ETH, SOL]
            first = await eventually(lambda: ear.beat, 10, "a heartbeat")
            assault = Assault(user, ear)
            for hostile in _mix(count, orjson.dumps(done)):
                await assault.send(hostile)
                await asyncio.sleep(PAUSE_S)
            after = await _asked(user, ear, {"command": "get_symbols"})
            await eventually(lambda: _counted(ear, first, assault.refused), 10, "all is counted")
        finally:
            code = await process.end()
    assert code == 0
    assert ear.beat is not None and ear.beat.epoch == first.epoch, "the coordinator crashed"
    for name in ("symbols", "count", "state_revision"):
        assert after["data"][name] == before["data"][name]
    figures = assault.figures()
    record("figures", figures | {"refused": dict(assault.refused)})
    print("hostile commands:", figures, dict(assault.refused))  # noqa: T201
    return figures


class Assault:
    """Sends one message after the other, and times the answers."""

    def __init__(self, user: Client, ear: Ear) -> None:
        self.refused: Counter[str] = Counter()
        self._user = user
        self._ear = ear
        self._took: list[float] = []

    async def send(self, hostile: Hostile) -> None:
        began = time.perf_counter()
        await _send(self._user, hostile)
        if hostile.what == UNREADABLE:
            return
        async with asyncio.timeout(ANSWERED_S):
            at, key, answer = await self._ear.answers.get()
        if not hostile.codes:
            assert answer["success"] is True, hostile.what  # a true repetition: the first answer
        else:
            assert answer["success"] is False, f"{hostile.what}: {answer}"
            assert answer["error"] in hostile.codes, f"{hostile.what}: {answer}"
            assert answer["error"] in ERROR_CODES
            assert len(orjson.dumps(answer)) < 4096, f"{hostile.what}: an answer of any length"
            self.refused[answer["error"]] += 1
        assert key.startswith("control.response."), hostile.what
        self._took.append(at - began)

    def figures(self) -> dict[str, float]:
        cuts = quantiles(self._took, n=100)
        figures = {"p50_ms": cuts[49], "p99_ms": cuts[98], "worst_ms": max(self._took)}
        rounded = {name: round(1000 * seconds, 2) for name, seconds in figures.items()}
        return {"answered": float(len(self._took))} | rounded


def _counted(ear: Ear, first: Heartbeat, refused: Counter[str]) -> bool:
    """Whether the coordinator's own counters grew by what was refused here."""
    if ear.beat is None:
        return False
    before, now = (beat.details.get("refused", {}) for beat in (first, ear.beat))
    return {code: now.get(code, 0) - before.get(code, 0) for code in refused} == dict(refused)


async def _asked(user: Client, ear: Ear, command: Content) -> Content:
    await user.send(command, user_id=USER)
    async with asyncio.timeout(ANSWERED_S):
        _, _, answer = await ear.answers.get()
    assert answer["success"], answer
    return answer


async def _send(user: Client, hostile: Hostile) -> None:
    """Below the client library's own checks, which a hostile client does not have."""
    properties = aio_pika.Message(b"").properties
    for name, value in hostile.properties.items():
        setattr(properties, name, value)
    raw = await user.channel.get_underlay_channel()
    await raw.basic_publish(
        hostile.body, exchange=COMMANDS, routing_key=CONTROL_QUEUE, properties=properties
    )


# --- what is sent


class _Undecodable(str):
    """Bytes on the wire that are no UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe\x80"


class _Endless(datetime):
    """Seconds on the wire that no datetime holds."""

    def timestamp(self) -> float:
        return 2**62


def _mix(count: int, done: bytes) -> list[Hostile]:
    """Of each sort alike, in an order without a pattern; a third without a user, where that is not
    what it is about."""
    random = Random(count)
    sorts = [_garbage(), _strange(), _unknown(), _wrong_fields(), _wrong_numbers(), _properties()]
    sorts += [_oversized(), _repeated(done), _foreign()]
    for sort in sorts:
        random.shuffle(sort)
    in_turn = [cycle(sort) for sort in sorts]
    rare = [cycle(_unreadable()), cycle(_huge())]
    few = max(2, 2 * count // RARE_EVERY)
    chosen = [next(rare[number % len(rare)]) for number in range(few)]
    chosen += [next(in_turn[number % len(in_turn)]) for number in range(count - few)]
    random.shuffle(chosen)
    return [_anonymous(one) if random.random() < 0.3 else one for one in chosen]


def _anonymous(hostile: Hostile) -> Hostile:
    """The same of nobody: whichever is looked at first."""
    if not hostile.codes or hostile.what == "unauthorised":
        return hostile
    properties = {k: v for k, v in hostile.properties.items() if k != "user_id"}
    codes = hostile.codes | {"unauthorized"}
    return Hostile(f"{hostile.what}, anonymous", hostile.body, codes, properties)


def _of(what: str, body: bytes | Content, *codes: str, **properties: Any) -> Hostile:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Hostile(what, raw, frozenset(codes), {"user_id": USER} | properties)


def _garbage() -> list[Hostile]:
    random = Random(1)
    bodies = [b"", b"{", b"nonsense", b"\x00" * 100, b'{"command":"add_symbol",}', b'{"command"']
    bodies += [random.randbytes(random.randrange(1, 2000)) for _ in range(10)]
    bodies += [
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'{"command":"get_symbols","symbol":' + b"[" * 5000,
    ]
    bodies += [b'{"command":"add_symbol","symbol":"\xed\xa0\x80"}', b'{"timestamp":1e999}']
    bodies += [
        b'{"command":"add_symbol","correlation_id":"\\ud800"}',
        b'{"a":NaN}',
        b"\xef\xbb\xbf{}",
    ]
    return [_of("garbage", body, "invalid_json", "invalid_command") for body in bodies]


def _strange() -> list[Hostile]:
    values = (b"null", b"[]", b"1", b'"add_symbol"', b"true", b"{}", b"[[[]]]", b"1e308")
    names: tuple[Any, ...] = (None, 1, [], {}, True, 1.5, ["add_symbol"])
    bodies = [*values, *(orjson.dumps({"command": name}) for name in names)]
    return [_of("no command", body, "invalid_command") for body in bodies]


def _unknown() -> list[Hostile]:
    names = ["", " ", "ADD_SYMBOL", "drop", "reload", "x." * 200 + "#", "é" * 300, "*", "#"]
    names += ["__class__", "add_symbol\n", "\u202eadd_symbol", "\x00", "control.response.x"]
    return [_of("unknown", {"command": name}, "unknown_command") for name in names]


def _wrong_fields() -> list[Hostile]:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    symbols: tuple[Any, ...] = (None, 1, [], {}, "", " ", "BTC", "btc/usdt", "BTC/USDT", "é" * 5000)
    symbols += ("BTC/USDT:USDT ", "../../etc", "BTC.USDT", "\x00/\x00:\x00", "#", deep, [BTC], "/:")
    bodies: list[Content] = [{"command": "add_symbol", "symbol": symbol} for symbol in symbols]
    bodies += [{"command": "remove_symbol", "symbol": symbol} for symbol in symbols]
    lists: tuple[Any, ...] = (None, BTC, {}, [1], [BTC, BTC], [None], [deep], [[BTC]], [BTC] * 3000)
    bodies += [{"command": "set_symbols", "symbols": some} for some in lists]
    exchanges: tuple[Any, ...] = (1, [], {}, "nowhere", "", "BINANCE\n", "é" * 1000, deep)
    bodies += [{"command": "add_symbol", "symbol": ETH, "exchange": one} for one in exchanges]
    ids: tuple[Any, ...] = (1, [], {}, True, "x" * 256, "é" * 128, deep)
    bodies += [{"command": "set_symbols", "symbols": [], "correlation_id": one} for one in ids]
    bodies += [{"command": "set_symbols"}, {"command": "add_symbol"}, {"command": "add_task"}]
    bodies += [{"command": "remove_task"}, {"command": "rollback"}, {"command": "restart_worker"}]
    hosts: tuple[Any, ...] = (1, [], "", "\n", "x" * 256)
    bodies += [{"command": "reload_config", "host": host} for host in hosts]
    bodies += [{"command": "enable_exchange"}, {"command": "disable_exchange", "exchange": []}]
    return [_of("wrong field", body, "invalid_command") for body in bodies]


def _wrong_numbers() -> list[Hostile]:
    numbers: tuple[Any, ...] = (-1, 2**63, 2**64 - 1, 1.5, 1e308, "1", True, [1], {})
    put: Content = {"command": "set_symbols", "symbols": []}
    task: Content = {"command": "add_task", "exchange": "binance", "symbol": BTC, "kind": "ticker"}
    task |= {"task_id": "hostile"}
    bodies: list[Content] = [put | {"expected_revision": number} for number in numbers]
    bodies += [{"command": "rollback", "to": number} for number in numbers]
    bodies += [{"command": "get_history", "limit": number} for number in numbers]
    bodies += [{"command": "list_tasks", "limit": number} for number in numbers]
    wrong: tuple[Any, ...] = (-1, 0, 2**63, 1e308, "1", [1], {})
    bodies += [task | {"interval": number} for number in wrong]
    bodies += [task | {"interval": 1, "priority": number} for number in (0, 10, 2**63, "1", 1.5)]
    bodies += [task | {"interval": 1, "kind": kind} for kind in ("", "tickers", 1, None, "ohlcv")]
    bodies += [task | {"interval": 1, "task_id": id_} for id_ in ("#", "a.*", "x" * 65, 1, "é")]
    raw = [b'{"command":"set_symbols","symbols":[],"expected_revision":' + n + b"}" for n in _HUGE]
    codes = ("invalid_command", "invalid_json")
    raw += map(orjson.dumps, bodies)
    return [_of("wrong number", body, *codes) for body in raw]


_HUGE = (b"1e999", b"-1e999", b"9" * 400, b"1" + b"0" * 4000, b"0.1e-999", b"-1")


def _oversized() -> list[Hostile]:
    """Just above what a body may have."""
    sizes = (65_537, 70_000, 100_000)
    blank = [b'{"command":"set_symbols","symbols":[]' + b" " * size + b"}" for size in sizes]
    bodies = [*blank, *(b"x" * size for size in sizes)]
    return [_of("oversized", body, "invalid_command") for body in bodies]


def _huge() -> list[Hostile]:
    return [_of("huge", b"x" * size, "invalid_command") for size in (2_000_000, 5_000_000)]


def _repeated(done: bytes) -> list[Hostile]:
    other = orjson.loads(done) | {"symbol": ETH}
    swapped = orjson.loads(done) | {"command": "remove_symbol"}
    spaced = done.replace(b",", b", ")
    again = [_of("repeated", done) for _ in range(3)]
    changed = [_of("id used again", one, "invalid_command") for one in (other, swapped, spaced)]
    return [*again, *changed]


def _foreign() -> list[Hostile]:
    """Sound commands of nobody."""
    bodies: tuple[Content, ...] = (
        {"command": "add_symbol", "symbol": "XRP/USDT:USDT"},
        {"command": "remove_symbol", "symbol": BTC},
        {"command": "set_symbols", "symbols": []},
        {"command": "get_symbols"},
        {"command": "get_statistics"},
        {"command": "disable_exchange", "exchange": "binance"},
        {"command": "rollback", "to": 0},
        {"command": "restart_worker", "worker": "binance-0@one"},
        {"command": "add_symbol", "symbol": SOL, "correlation_id": "done"},
    )
    nobody = {"user_id": None}
    return [_of("unauthorised", body, "unauthorized", **nobody) for body in bodies]


def _properties() -> list[Hostile]:
    """What is refused anyway, with the properties of a message that means harm."""
    addresses = (
        "nobody",
        "amq.rabbitmq.reply-to.g1garbage",
        "#.*",
        "é" * 100,
        REGISTRY_STREAM,
        DEAD,
    )
    odd: list[Content] = [{"reply_to": address} for address in addresses]
    odd += [{"correlation_id": id_} for id_ in ("x" * 255, "\x00\r\n", "é" * 127, "\u202e", "")]
    odd += [{"headers": headers} for headers in ({"x": "y" * 100_000}, _nested(), _many())]
    odd += [{"message_type": "tick"}, {"content_encoding": "gzip"}, {"expiration": "60000"}]
    odd += [{"content_type": "x" * 255}, {"priority": 255}, {"app_id": "é" * 127}]
    return [_of("odd property", b'{"command":"drop"}', "unknown_command", **some) for some in odd]


def _nested() -> Content:
    table: Content = {"x": 1}
    for _ in range(50):
        table = {"x": table}
    return table


def _many() -> Content:
    return {f"header-{number}": number for number in range(3000)}


def _unreadable() -> list[Hostile]:
    """Nobody can answer them: the client library gives them to nobody."""
    readable = b'{"command":"set_symbols","symbols":[]}'
    times: Content = {"timestamp": _Endless(2030, 1, 1, tzinfo=UTC)}
    return [
        _of(UNREADABLE, readable, correlation_id=_Undecodable("x")),
        _of(UNREADABLE, readable, **times),
        _of(UNREADABLE, readable, reply_to=_Undecodable("x")),
    ]
