"""What clients send, in every wrong form, and what becomes of what is sound."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.commands import MAX_BODY_BYTES, Command, Refusal, parse
from coordinator.decisions import Desk
from coordinator.desired import Desired
from coordinator.listings import Listings
from coordinator.records import Change, Claim, NoChange, Operation, Seed
from coordinator.registry import Registry
from shared.config import MAX_SYMBOLS
from shared.status import MarketList
from tests.fakes import FakeClock

BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"


def command(**fields: Any) -> bytes:
    return orjson.dumps({"correlation_id": "c1", "timestamp": 1730107603} | fields)


def refused(body: bytes, property_id: str | None = None) -> Refusal:
    parsed = parse(body, property_id)
    assert isinstance(parsed, Refusal), parsed
    return parsed


def accepted(body: bytes, property_id: str | None = None) -> Command:
    parsed = parse(body, property_id)
    assert isinstance(parsed, Command), parsed
    return parsed


def test_the_five_commands_are_accepted() -> None:
    assert accepted(command(command="add_symbol", symbol=SOL)) == Command(
        "add_symbol", "c1", symbols=(SOL,)
    )
    assert accepted(command(command="remove_symbol", symbol=SOL)).symbol == SOL
    assert accepted(command(command="set_symbols", symbols=[SOL, BTC])).symbols == (SOL, BTC)
    assert accepted(command(command="set_symbols", symbols=[])).symbols == ()
    assert accepted(command(command="get_symbols")).name == "get_symbols"
    assert accepted(command(command="get_statistics")).name == "get_statistics"


def test_fields_that_nobody_knows_are_left_to_the_client() -> None:
    assert accepted(command(command="get_symbols", note={"deep": [1]})).name == "get_symbols"


def test_exchanges_go_by_any_of_their_names() -> None:
    assert accepted(command(command="get_symbols", exchange="gateio")).venue == "gate"
    assert accepted(command(command="get_symbols", exchange="gate")).venue == "gate"


@pytest.mark.parametrize(
    ("body", "property_id", "expected"),
    [
        (b'{"command":"get_symbols","correlation_id":"body"}', "property", "body"),
        (b'{"command":"get_symbols"}', "property", "property"),
        (b'{"command":"get_symbols","correlation_id":null}', "property", "property"),
        (b'{"command":"get_symbols"}', None, None),
        (b'{"command":"get_symbols"}', "", None),
    ],
)
def test_the_correlation_id_is_the_bodys_else_the_messages(
    body: bytes, property_id: str | None, expected: str | None
) -> None:
    assert accepted(body, property_id).correlation_id == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"command": NaN}',
        b'{"command": "get_symbols", "timestamp": 1e999}',
        b"[" * 3000 + b"]" * 3000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"command":"get_symbols","correlation_id":"\\ud800"}',
    ],
)
def test_what_is_no_json_is_answered_without_a_command(body: bytes) -> None:
    refusal = refused(body, "p1")
    assert (refusal.code, refusal.correlation_id, refusal.known) == ("invalid_json", "p1", False)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "object"),
        (b"null", "object"),
        (b"1" * 40, "object"),
        (b"{}", "command"),
        (b'{"command":5}', "command"),
        (b'{"command":["add_symbol"]}', "command"),
        (b" " * (MAX_BODY_BYTES + 1), str(MAX_BODY_BYTES)),
    ],
)
def test_what_names_no_command_is_invalid(body: bytes, words: str) -> None:
    refusal = refused(body)
    assert (refusal.code, refusal.known, refusal.name) == ("invalid_command", False, None)
    assert words in refusal.message


def test_a_body_of_the_full_size_is_read() -> None:
    body = command(command="get_symbols")
    assert accepted(body.ljust(MAX_BODY_BYTES)).name == "get_symbols"


@pytest.mark.parametrize("name", ["", "drop_table", "ADD_SYMBOL", "x" * 5000, "a\nb.#.*"])
def test_unknown_commands_are_shown_short_and_on_one_line(name: str) -> None:
    refusal = refused(command(command=name))
    assert (refusal.code, refusal.known) == ("unknown_command", False)
    assert refusal.name is not None
    assert len(refusal.name) < 100
    assert refusal.name.isprintable()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"command": "add_symbol"}, ["symbol: is missing"]),
        ({"command": "add_symbol", "symbol": None}, ["symbol: is missing"]),
        ({"command": "add_symbol", "symbol": 5}, ["symbol: int"]),
        ({"command": "add_symbol", "symbol": ["BTC"]}, ["symbol: list"]),
        ({"command": "add_symbol", "symbol": ""}, ["symbol:"]),
        ({"command": "add_symbol", "symbol": "x" * 9000}, ["symbol:"]),
        ({"command": "add_symbol", "symbol": "BTC/USDT"}, ["did you mean BTC/USDT:USDT"]),
        ({"command": "add_symbol", "symbol": "BTCUSDT"}, ["did you mean BTC/USDT:USDT"]),
        ({"command": "add_symbol", "symbol": "btc-usdt"}, ["did you mean BTC/USDT:USDT"]),
        ({"command": "add_symbol", "symbol": SOL, "timestamp": True}, ["timestamp"]),
        ({"command": "add_symbol", "symbol": SOL, "timestamp": "1"}, ["timestamp"]),
        ({"command": "add_symbol", "symbol": SOL, "timestamp": 1.5}, ["timestamp"]),
        ({"command": "add_symbol", "symbol": SOL, "timestamp": -1}, ["timestamp"]),
        ({"command": "add_symbol", "symbol": SOL, "exchange": "nyse"}, ["exchange", "nyse"]),
        ({"command": "add_symbol", "symbol": SOL, "exchange": 1}, ["exchange"]),
        ({"command": "get_symbols", "exchange": ""}, ["exchange"]),
        ({"command": "add_symbol", "symbol": SOL, "expected_revision": False}, ["expected"]),
        ({"command": "add_symbol", "symbol": SOL, "expected_revision": "7"}, ["expected"]),
        ({"command": "add_symbol", "symbol": SOL, "correlation_id": 7}, ["correlation_id"]),
        ({"command": "add_symbol", "symbol": SOL, "correlation_id": "x" * 256}, ["255"]),
        ({"command": "set_symbols"}, ["symbols: is missing"]),
        ({"command": "set_symbols", "symbols": SOL}, ["symbols: is not a list"]),
        ({"command": "set_symbols", "symbols": {SOL: 1}}, ["symbols: is not a list"]),
        ({"command": "set_symbols", "symbols": [SOL, 1, None]}, ["int", "NoneType"]),
        ({"command": "set_symbols", "symbols": [SOL, BTC, SOL]}, ["more than once", SOL]),
        ({"command": "set_symbols", "symbols": ["a"] * (MAX_SYMBOLS + 1)}, [str(MAX_SYMBOLS)]),
        (
            {"command": "add_symbol", "timestamp": [], "exchange": 0, "expected_revision": {}},
            ["symbol:", "timestamp:", "exchange:", "expected_revision:"],
        ),
    ],
)
def test_wrong_fields_of_a_known_command_are_all_named(
    fields: dict[str, Any], words: list[str]
) -> None:
    refusal = refused(command(**fields), "property")
    assert (refusal.code, refusal.known, refusal.name) == (
        "invalid_command",
        True,
        fields["command"],
    )
    for word in words:
        assert word in refusal.message
    assert refusal.correlation_id == ("property" if "correlation_id" in fields else "c1")
    assert len(refusal.message) < 2000


@pytest.mark.parametrize("number", ["1" * 400, "-" + "9" * 40, "18446744073709551616"])
def test_huge_numbers_are_answered(number: str) -> None:
    body = b'{"command":"get_symbols","timestamp":%s}' % number.encode()
    assert refused(body).code in {"invalid_command", "invalid_json"}


@given(st.binary(max_size=200))
def test_no_bytes_bring_it_down(body: bytes) -> None:
    assert isinstance(parse(body), Command | Refusal)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_names = st.sampled_from(["add_symbol", "remove_symbol", "set_symbols", "get_symbols"])


@given(
    st.fixed_dictionaries(
        {"command": _names},
        optional=dict.fromkeys(
            ("symbol", "symbols", "timestamp", "exchange", "expected_revision", "correlation_id"),
            _json,
        ),
    )
)
def test_no_field_brings_it_down(content: dict[str, Any]) -> None:
    try:
        body = orjson.dumps(content)
    except TypeError:
        return  # an integer beyond JSON's, which orjson does not write
    assert isinstance(parse(body), Command | Refusal)


def test_what_is_read_and_can_not_be_written_is_refused() -> None:
    deep = b"[" * 400 + b"]" * 400
    task = b'{"command":"add_task","exchange":"gate","symbol":"BTC/USDT:USDT",'
    task += b'"kind":"ticker","interval":1,'
    refused = parse(task + b'"parameters":' + deep + b"}")
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.message) == ("invalid_command", "task: is nested too deeply")


def test_tasks_that_differ_are_named_apart() -> None:
    def named(symbol: str) -> str | None:
        content = {"command": "add_task", "exchange": "gate", "symbol": symbol, "interval": 1}
        command = parse(orjson.dumps(content | {"kind": "ticker"}))
        assert isinstance(command, Command) and command.task is not None
        return command.task.task_id

    symbols = [BTC, "BTC/USDT:USDT-261225", "BTC/USD:BTC", "龙/USDT:USDT", "虎/USDT:USDT"]
    symbols += [f"{'X' * 37}{end}/USDT:USDT" for end in "AB"]
    names = [named(symbol) for symbol in symbols]
    assert names[0] == "gate-BTCUSDT-ticker-1s"
    assert len(set(names)) == len(symbols)
    assert all(name and len(name) <= 64 for name in names)


def test_a_correlation_id_can_be_printed() -> None:
    refused = parse(b'{"command":"get_symbols","correlation_id":"a\\u0001"}')
    assert isinstance(refused, Refusal) and refused.correlation_id is None


def registry(symbols: list[str], exchanges: dict[str, str] | None = None) -> Registry:
    state = Registry()
    state.fold(0, Claim(by="a"))
    venues = exchanges or {"binance": "binance", "gate": "gateio"}
    seed = Seed(registry="r", symbols=symbols, exchanges=venues)
    state.fold(1, Operation(by="a", epoch=1, op=seed))
    return state


def desk(symbols: list[str], listings: Listings | None = None) -> Desk:
    return Desk(registry(symbols), listings or Listings(FakeClock()), now_s=7)


def test_an_added_symbol_is_answered_as_the_seed_has_it() -> None:
    decision = desk([BTC, ETH]).decide(Command("add_symbol", "c", symbols=(SOL,)))
    assert decision.op == Change(op="add", symbols=[SOL])
    assert decision.answer == {
        "correlation_id": "c",
        "success": True,
        "command": "add_symbol",
        "message": "Symbol SOL/USDT:USDT added successfully",
        "data": {
            "symbol": SOL,
            "current_symbols": [BTC, ETH, SOL],
            "listed_on": [],
            "not_listed_on": [],
        },
        "timestamp": 7,
    }


def test_a_duplicate_is_answered_as_the_seed_has_it_and_changes_nothing() -> None:
    decision = desk([SOL]).decide(Command("add_symbol", "c", symbols=(SOL,)))
    assert decision.op == NoChange()
    assert decision.answer == {
        "correlation_id": "c",
        "success": False,
        "command": "add_symbol",
        "message": "Symbol SOL/USDT:USDT already exists",
        "error": "duplicate_symbol",
        "timestamp": 7,
    }


def test_what_is_not_there_can_not_be_removed() -> None:
    decision = desk([BTC]).decide(Command("remove_symbol", "c", symbols=(SOL,)))
    assert decision.op == NoChange()
    assert decision.answer["error"] == "symbol_not_found"


def test_another_state_than_expected_is_a_conflict() -> None:
    decision = desk([BTC]).decide(Command("add_symbol", "c", symbols=(SOL,), expected_revision=99))
    assert decision.op == NoChange()
    assert decision.answer["error"] == "revision_conflict"
    matching = Command("add_symbol", "c", symbols=(SOL,), expected_revision=1)
    assert desk([BTC]).decide(matching).answer["success"] is True


def test_a_venue_that_the_fleet_does_not_collect_is_refused() -> None:
    decision = desk([BTC]).decide(Command("add_symbol", "c", symbols=(SOL,), venue="htx"))
    assert decision.answer["error"] == "invalid_command"
    assert desk([BTC]).symbols(Command("get_symbols", "c", venue="htx"))["success"] is False


def test_no_venue_gets_more_symbols_than_the_registry_takes() -> None:
    full = [f"T{i}/USDT:USDT" for i in range(MAX_SYMBOLS)]
    for venue in (None, "gate"):
        decision = desk(full).decide(Command("add_symbol", "c", symbols=(SOL,), venue=venue))
        assert (decision.op, decision.answer["error"]) == (NoChange(), "invalid_command")


@pytest.mark.parametrize(
    ("known", "on", "absent", "warned"),
    [
        ({}, [], [], False),
        ({"binance": [SOL]}, ["binance"], [], False),
        ({"binance": [BTC]}, [], ["binance"], False),
        ({"binance": [BTC], "gateio": [SOL]}, ["gateio"], ["binance"], False),
        ({"binance": [BTC], "gateio": [ETH]}, [], ["binance", "gateio"], True),
    ],
)
def test_an_added_symbol_is_looked_up_in_the_market_lists(
    known: dict[str, list[str]], on: list[str], absent: list[str], warned: bool
) -> None:
    listings = Listings(FakeClock())
    for exchange, symbols in known.items():
        listings.update(MarketList(exchange=exchange, worker="w", symbols=symbols))
    data = desk([BTC], listings).decide(Command("add_symbol", "c", symbols=(SOL,))).answer["data"]
    assert (data["listed_on"], data["not_listed_on"]) == (on, absent)
    assert ("warning" in data) is warned


def test_a_venues_own_view_is_the_global_one_with_its_exceptions() -> None:
    desired = Desired((BTC, ETH))
    desired = desired.add((SOL,), "gate").remove((BTC,), "gate")
    assert desired.effective("gate") == (ETH, SOL)
    assert desired.effective("binance") == (BTC, ETH)
    assert desired.add((BTC,), "gate").effective("gate") == (BTC, ETH, SOL)
    assert desired.remove((SOL,), "gate").effective("gate") == (ETH,)


def test_a_command_without_exchange_touches_only_the_global_list() -> None:
    desired = Desired((BTC, ETH)).remove((BTC,), "gate").add((SOL,), "gate")
    assert desired.remove((BTC, ETH), None).add((BTC,), None).effective("gate") == (SOL,)
    assert desired.put((SOL, BTC), None).effective("gate") == (SOL,)


symbols = st.lists(st.sampled_from([BTC, ETH, SOL, "XRP/USDT:USDT"]), unique=True)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "put"]), symbols, st.booleans())), symbols
)
def test_a_venue_has_what_was_asked_for_last(
    history: list[tuple[str, list[str], bool]], wanted: list[str]
) -> None:
    desired = Desired()
    for action, changed, globally in history:
        desired = getattr(desired, action)(changed, None if globally else "gate")
    others = desired.effective("binance")
    assert set(desired.put(wanted, "gate").effective("gate")) == set(wanted)
    assert set(wanted) <= set(desired.add(wanted, "gate").effective("gate"))
    assert not set(wanted) & set(desired.remove(wanted, "gate").effective("gate"))
    assert desired.put(wanted, "gate").effective("binance") == others
    assert desired.put(wanted, None).symbols == tuple(wanted)
