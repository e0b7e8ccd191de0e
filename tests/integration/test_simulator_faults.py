"""Faults of connections and streams from the client's side, and their lines in the truth log."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from simulator.happening import Rates
from simulator.server import Server, Settings
from tests.integration.test_simulator_ccxt import BTC
from tests.venues import TRADE_ID_FIELDS, VENUES
from tests.wires import BOOKS, Wire, command, decoded, found, market_id


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    rates = Rates(ticker=20, book=20, trade=50)
    async with Server(Settings(port=0, symbols=3, rates=rates)) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(params=VENUES)
def wire(request: pytest.FixtureRequest, server: Server, http: aiohttp.ClientSession) -> Wire:
    return Wire(server, request.param, http)


@pytest.fixture
def binance(server: Server, http: aiohttp.ClientSession) -> Wire:
    return Wire(server, "binance", http)


# --- control


async def test_wrong_input_is_one_error_and_changes_nothing(binance: Wire) -> None:
    wrong = (
        {"venue": "nowhere", "fault": "cut"},
        {"venue": "binance", "fault": "flood"},
        {"venue": "binance", "fault": "silent", "second": 1},
        {"venue": "binance", "fault": "silent", "seconds": -1},
        {"venue": "binance", "fault": "silent", "symbol": "NO/USDT:USDT"},
        {"venue": "binance", "fault": "cut", "connection": 99},
        {"venue": "binance", "fault": "wrong_checksum"},
        {"venue": "binance", "fault": "delist"},
    )
    for body in wrong:
        status, answer = await binance.asked("POST", "/_faults", **body)
        assert status == 400
        assert isinstance(answer["error"], str)
    assert (await binance.asked("DELETE", "/_faults/binance-1"))[0] == 400
    assert (await binance.asked("PATCH", "/_faults"))[0] == 400
    assert (await binance.asked("GET", "/_faults"))[1] == {"active": [], "past": []}
    assert binance.lines("fault") == []


async def test_a_fault_ends_by_time_by_count_and_by_hand(binance: Wire) -> None:
    timed = await binance.fault("silent", seconds=0.1)
    healed = await binance.fault("silent", symbol=BTC)
    assert (await binance.asked("POST", f"/_faults/{healed}/heal"))[0] == 200
    await binance.until(lambda: len(binance.lines("fault", step="end")) == 2)
    async with binance.socket("trades") as socket:
        counted = await binance.fault("drop_trades", count=3)
        await binance.until(lambda: binance.lines("fault", step="end", id=counted))
        await binance.ids(socket, "a", 1)
        topics = list(binance.server.venues["binance"].topics)
        assert topics
        assert all(topic.faults is None for topic in topics)
    ends = {line["id"]: line["reason"] for line in binance.lines("fault", step="end")}
    assert ends == {timed: "time", healed: "healed", counted: "done"}
    listed = (await binance.asked("GET", "/_faults"))[1]
    assert [one["id"] for one in listed["past"]] == [healed, timed, counted]
    assert not binance.server.venues["binance"].faults.active


# --- connections


async def test_cut_is_a_reset(wire: Wire) -> None:
    async with wire.socket("trades") as socket:
        await wire.fault("cut")
        while (message := await wire.receive(socket)).type in (
            aiohttp.WSMsgType.TEXT,
            aiohttp.WSMsgType.BINARY,
        ):
            pass
        assert message.type in (aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSED)
        assert socket.close_code == 1006
    assert len(wire.applied("cut")) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1012, 1006])
async def test_close_says_its_code(binance: Wire, code: int) -> None:
    async with binance.socket("trades") as socket:
        await binance.fault("close", code=code)
        while (message := await binance.receive(socket)).type is aiohttp.WSMsgType.TEXT:
            pass
        if code == 1006:
            assert socket.close_code == 1006
        else:
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert binance.applied("close")[0]["code"] == code


async def test_half_open_hears_and_says_nothing_until_it_is_healed(wire: Wire) -> None:
    async with wire.socket("trades") as socket:
        id_ = await wire.fault("half_open")
        with pytest.raises(TimeoutError):
            while True:
                await socket.receive(timeout=0.3)
        sent = len(wire.lines("sent"))
        wire.server.venues[wire.venue].sessions[1].reply(b"{}")
        await socket.ping()
        await socket.send_json(command(wire.venue, "book"))
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)
        assert not [x for x in wire.lines("received") if "ook" in x["raw"] or "epth" in x["raw"]]
        assert len(wire.lines("sent")) == sent
        async with wire.socket("trades") as other:
            await wire.receive(other)
        await wire.heal(id_)
        await wire.ids(socket, BOOKS[wire.venue], 1)
    assert [line["conn"] for line in wire.applied("half_open")] == [1]


async def test_half_open_of_all_takes_new_connections_too(binance: Wire) -> None:
    id_ = await binance.fault("half_open", all=True)
    url = f"{binance.root}/binance/ws"
    async with binance.http.ws_connect(url) as socket:
        await socket.send_json(command("binance", "trades"))
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.3)
        await binance.heal(id_)
        assert decoded(await socket.receive(timeout=5)) == {"result": None, "id": 1}


async def test_refused_upgrades(binance: Wire) -> None:
    await binance.fault("refuse", status=429, count=1)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        async with binance.socket():
            pass
    assert refusal.value.status == 429
    id_ = await binance.fault("refuse", mode="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), binance.socket():
            pass
    await binance.heal(id_)
    async with binance.socket("trades"):
        assert [line["mode"] for line in binance.applied("refuse")] == ["status", "hang"]


# --- streams


@pytest.mark.parametrize("until", ["resubscribe", "reconnect"])
async def test_silence_ends_for_who_comes_anew(wire: Wire, until: str) -> None:
    async with wire.socket("trades") as socket:
        await wire.fault("silent", channel="trades", symbol=wire.btc, until=until)
        with pytest.raises(TimeoutError):
            while True:
                await socket.receive(timeout=0.3)
        await socket.ping(b"alive")
        assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.PONG
        silent = wire.applied("silent")
        assert silent
        assert all(line["symbol"] == wire.btc and line["ids"] for line in silent)
        before = len(wire.lines("sent"))
        await socket.send_json(command(wire.venue, "trades", add=False))
        await socket.send_json(command(wire.venue, "trades"))
        if until == "resubscribe":
            await wire.until(lambda: len(wire.lines("sent")) > before + 2)
        else:
            await wire.until(lambda: len(wire.applied("silent")) > len(silent) + 3)
            assert len(wire.lines("sent")) == before
            async with wire.socket("trades"):
                assert len(wire.lines("sent", conn=2)) > 1
    assert wire.lines("unsubscribed", conn=1, symbol=wire.btc)
    assert len(wire.lines("subscribed", conn=1, symbol=wire.btc)) == 2


async def test_a_stuck_stream_repeats_itself(wire: Wire) -> None:
    async with wire.socket("trades") as socket:
        id_ = await wire.fault("stuck", channel="trades")
        await wire.until(lambda: len(wire.applied("stuck")) > 5)
        await wire.heal(id_)
        await wire.until(lambda: len(wire.lines("sent")) > 0)
        repeated = wire.applied("stuck")[0]["repeated"]
        name, value = next((k, v) for k, v in repeated.items() if k != "action")
        same = 0
        while same < 6:
            same += value[0] in found(decoded(await wire.receive(socket)), name)
    assert sum(line["ids"] == repeated for line in wire.lines("sent")) >= 6


async def test_deltas_lost_doubled_and_out_of_order(wire: Wire) -> None:
    name = BOOKS[wire.venue]
    async with wire.socket("book") as socket:
        await wire.fault("drop_delta")
        await wire.until(lambda: wire.applied("drop_delta"))
        await wire.fault("duplicate_delta", symbol=market_id(wire.venue))
        await wire.until(lambda: wire.applied("duplicate_delta"))
        await wire.fault("swap_deltas")
        await wire.until(lambda: wire.applied("swap_deltas"))
        swap = wire.applied("swap_deltas")[0]
        dropped, doubled = (
            wire.applied(fault)[0]["ids"][name] for fault in ("drop_delta", "duplicate_delta")
        )
        late, early = (ids[name] for ids in swap["sent"])
        seen: list[Any] = []
        while not seen or seen[-1] != early:
            seen += await wire.ids(socket, name, 1)
    assert dropped not in seen
    assert seen.count(doubled) == 2
    assert late > early
    assert seen.index(late) + 1 == seen.index(early)
    assert [line["ids"][name] for line in wire.lines("sent")].count(dropped) == 0


@pytest.mark.parametrize("venue", ["bitget", "okx"])
async def test_a_wrong_checksum(server: Server, http: aiohttp.ClientSession, venue: str) -> None:
    wire = Wire(server, venue, http)
    async with wire.socket("book") as socket:
        await wire.fault("wrong_checksum", channel="book")
        await wire.until(lambda: wire.applied("wrong_checksum"))
        line = wire.applied("wrong_checksum")[0]
        assert line["sent"] != line["true"]
        while (await wire.ids(socket, "checksum", 1))[0] != line["sent"]:
            pass


async def test_a_crossed_book_on_the_wire_alone(wire: Wire) -> None:
    async with wire.socket("book") as socket:
        await wire.fault("crossed_book", ticks=500)
        await wire.until(lambda: wire.applied("crossed_book"))
        bid = float(wire.applied("crossed_book")[0]["bid"])
        message = None
        while not message:
            data = decoded(await wire.receive(socket))
            bids = [level for side in found(data, "b") + found(data, "bids") for level in side]
            bids += [data] if found(data, "side") == ["buy"] else []
            prices = [price_of(level) for level in bids]
            message = data if bid in prices else None
    query = f"?venue={wire.venue}&id={market_id(wire.venue)}"
    truth = (await wire.asked("GET", f"/_book{query}"))[1]
    assert float(truth["bids"][0][0]) < float(truth["asks"][0][0]) < bid


def price_of(level: Any) -> float:
    """Of a level as a venue writes it, with what happened to it before or not."""
    if isinstance(level, dict):
        return float(level.get("p") or level["price"])
    return float(level[1] if level[0] in ("new", "change", "delete") else level[0])


async def test_frames_that_are_no_json(wire: Wire) -> None:
    async with wire.socket("trades") as socket:
        for form in ("text", "binary", "html", None):
            await wire.fault("garbage", channel="trades", **({"form": form} if form else {}))
            bad = await first_bad(wire, socket)
            assert len(bad.data) > 40
        await wire.fault("partial_json")
        await first_bad(wire, socket)
    assert wire.applied("garbage")[3]["form"] == ("gzip" if wire.venue == "htx" else "text")
    lost = wire.applied("partial_json")[0]["ids"]
    assert lost not in [line["ids"] for line in wire.lines("sent")]


async def first_bad(wire: Wire, socket: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    while True:
        message = await wire.receive(socket)
        try:
            decoded(message)
        except (orjson.JSONDecodeError, OSError, EOFError, ValueError):
            return message


async def test_a_frame_of_a_market_that_nobody_lists(wire: Wire) -> None:
    async with wire.socket("trades") as socket:
        await wire.fault("unknown_symbol")
        while b"NOSUCH" not in orjson.dumps(decoded(await wire.receive(socket))):
            pass
    assert wire.applied("unknown_symbol")[0]["of"] == wire.btc


async def test_trades_lost_and_doubled_are_in_the_truth(wire: Wire) -> None:
    async with wire.socket("trades"):
        await wire.fault("drop_trades", count=2)
        await wire.until(lambda: len(wire.applied("drop_trades")) == 2)
        await wire.fault("duplicate_trades")
        await wire.until(lambda: wire.applied("duplicate_trades"))
        last = wire.applied("duplicate_trades")[0]["ids"]
        await wire.until(lambda: wire.lines("sent")[-1]["ids"] != last)
    query = f"?venue={wire.venue}&id={market_id(wire.venue)}"
    trades = (await wire.asked("GET", f"/_trades{query}"))[1]["trades"]
    ids = [trade["id"] for trade in trades]
    name = TRADE_ID_FIELDS[wire.venue]
    sent = [str(x) for line in wire.lines("sent") for x in line["ids"][name]]
    for line in wire.applied("drop_trades"):
        assert str(line["ids"][name][0]) in ids
        assert str(line["ids"][name][0]) not in sent
    doubled = str(wire.applied("duplicate_trades")[0]["ids"][name][0])
    assert sent.count(doubled) == 2
    assert set(sent) <= set(ids)
    after = (await wire.asked("GET", f"/_trades{query}&after={doubled}"))[1]["trades"]
    assert after[0]["id"] == ids[ids.index(doubled) + 1]


async def test_the_pushed_book_is_the_true_one(wire: Wire) -> None:
    async with wire.socket("book") as socket:
        last = (await wire.ids(socket, BOOKS[wire.venue], 1))[0]
        wire.server.paused = True
        query = f"?venue={wire.venue}&id={market_id(wire.venue)}&levels=20&push=1"
        truth = (await wire.asked("GET", f"/_book{query}"))[1]
        while last != truth["stream_id"]:
            last = (await wire.ids(socket, BOOKS[wire.venue], 1))[0]
    assert len(truth["bids"]) == len(truth["asks"]) == 20
