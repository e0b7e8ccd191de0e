"""The registry beyond its symbols: members and owners, venues, tasks, entries, the way back."""

from typing import Any

import pytest

from coordinator.announcer import symbol_set
from coordinator.commands import Command
from coordinator.decisions import Desk
from coordinator.expander import Ranking, meaning
from coordinator.listings import Listings
from coordinator.records import (
    FORMAT,
    Change,
    Claim,
    Listed,
    Members,
    NewerRecordError,
    Op,
    Operation,
    Rollback,
    Seed,
    Snapshot,
    Switch,
    TaskAdded,
    TaskRemoved,
    decode,
    encode,
)
from coordinator.registry import Registry
from shared.collection import CollectionTask
from shared.status import MarketList
from shared.symbolset import Peer
from tests.fakes import FakeClock

BTC, ETH, SOL, XRP = (f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "XRP"))
ALL = "*/USDT:USDT"


class Log:
    """A registry and the offsets of its log."""

    def __init__(self, *symbols: str) -> None:
        self.registry = Registry()
        self._offset = 1
        self.registry.fold(0, Claim(by="c@h/1/x"))
        venues = {"binance": "binance", "gate": "gateio"}
        self.do(Seed(registry="r", symbols=list(symbols), exchanges=venues))

    def do(self, op: Op, user: str | None = None) -> Registry:
        record = Operation(by="c@h/1/x", epoch=1, op=op, at=self._offset, user=user)
        self.registry.fold(self._offset, decode(encode(record)))
        self._offset += 2
        return self.registry

    def join(self, *workers: str, venue: str = "binance") -> Registry:
        peers = [Peer(worker=worker, egress="e") for worker in workers]
        return self.do(Members(exchange=venue, joined=peers))

    @property
    def offset(self) -> int:
        revision = self.registry.revision
        assert revision is not None
        return revision.offset


def task(task_id: str = "t1", **fields: Any) -> CollectionTask:
    given = {"exchange": "binance", "symbol": BTC, "kind": "ticker", "interval": 1}
    return CollectionTask.model_validate({"task_id": task_id, **given, **fields})


def decided(log: Log, command: Command, listings: Listings | None = None) -> dict[str, Any]:
    """Have a command take effect; its answer."""
    decision = Desk(log.registry, listings or Listings(FakeClock()), 7).decide(command)
    log.do(decision.op, "user")
    return decision.answer


def test_the_owners_of_symbols_follow_the_members() -> None:
    log = Log(BTC, ETH, SOL, XRP)
    assert log.registry.owners == {}
    log.join("w1")
    assert set(log.registry.owners["binance"].values()) == {"w1"}
    offset = log.offset
    log.join("w2")
    assert sorted(log.registry.owners["binance"].values()) == ["w1", "w1", "w2", "w2"]
    assert log.offset > offset, "workers are told"
    assert log.registry.state_revision == 1, "which moves no state revision"
    log.do(Members(exchange="binance", left={"w1": "silent"}))
    assert set(log.registry.owners["binance"].values()) == {"w2"}


def test_an_announcement_names_the_owner_of_each_symbol() -> None:
    log = Log(BTC, ETH, SOL, XRP)
    assert symbol_set(log.registry, "binance").workers == []
    log.join("w1", "w2")
    told = symbol_set(log.registry, "binance")
    assert sorted(told.owned_by("w1") + told.owned_by("w2")) == sorted([BTC, ETH, SOL, XRP])
    assert told.owned_by("w3") == []
    assert told.owner_of(BTC) == log.registry.owners["binance"][BTC]
    assert [peer.worker for peer in told.peers_of("w1")] == ["w2"]
    other = symbol_set(log.registry, "gate")
    assert other.owned_by("anybody") == [BTC, ETH, SOL, XRP]


def test_a_venue_that_is_off_has_no_symbols_and_gets_them_back() -> None:
    log = Log(BTC)
    answer = decided(log, Command("disable_exchange", "c", venue="gate", exchange_name="gateio"))
    assert answer["data"] == {
        "exchange": "gateio",
        "enabled": False,
        "exchanges": {"binance": True, "gateio": False},
    }
    told = symbol_set(log.registry, "gate")
    assert (told.enabled, told.symbols) == (False, [])
    assert log.registry.state_revision == 2
    again = decided(log, Command("disable_exchange", "c", venue="gate"))
    assert again["success"] is True
    assert log.registry.state_revision == 2
    decided(log, Command("enable_exchange", "c", venue="gate", exchange_name="gate"))
    assert symbol_set(log.registry, "gate").symbols == [BTC]
    assert log.registry.exchanges["gate"] == "gateio", "its name stays"


def test_a_new_venue_is_taken_up_by_the_name_it_was_called() -> None:
    log = Log(BTC)
    answer = decided(log, Command("enable_exchange", "c", venue="htx", exchange_name="huobi"))
    assert answer["data"]["exchange"] == "huobi"
    assert symbol_set(log.registry, "htx").exchange == "huobi"
    refused = decided(log, Command("disable_exchange", "c", venue="okx"))
    assert refused["error"] == "invalid_command"


def test_tasks_come_and_go_and_are_told_to_their_venue() -> None:
    log = Log(BTC)
    answer = decided(log, Command("add_task", "c", venue="binance", task=task()))
    assert answer["data"]["task"]["exchange"] == "binance"
    assert [t.task_id for t in symbol_set(log.registry, "binance").tasks] == ["t1"]
    assert symbol_set(log.registry, "gate").tasks == []
    again = decided(log, Command("add_task", "c", venue="binance", task=task()))
    assert again["error"] == "duplicate_task"
    gone = decided(log, Command("remove_task", "c", task_id="t1"))
    assert gone["data"] == {"task_id": "t1", "tasks": 0}
    assert decided(log, Command("remove_task", "c", task_id="t1"))["error"] == "task_not_found"
    warned = decided(log, Command("add_task", "c", venue="binance", task=task(symbol=XRP)))
    assert XRP in warned["data"]["warning"]


def test_the_way_back_leads_through_every_change() -> None:
    log = Log(BTC, ETH)
    states = {1: log.registry.wishes()}
    for op in (
        Change(op="add", symbols=[SOL]),
        Change(op="remove", symbols=[BTC], exchange="gate"),
        TaskAdded(task=task()),
        Switch(exchange="gate", name="gateio", enabled=False),
        Change(op="set", symbols=[XRP]),
        Switch(exchange="gate", name="gateio", enabled=True),
        TaskRemoved(task_id="t1"),
        Change(op="add", symbols=[BTC], exchange="binance"),
    ):
        log.do(op)
        states[log.registry.state_revision] = log.registry.wishes()
    log.join("w1")
    assert log.registry.state_revision == len(states) == 9
    for revision in (5, 1, 9, 3):
        answer = decided(log, Command("rollback", "c", to=revision))
        assert answer["success"] is True
        assert log.registry.wishes() == states[revision], revision
    assert decided(log, Command("rollback", "c", to=999))["error"] == "invalid_command"


def test_the_way_back_from_a_venue_that_was_taken_up_is_to_switch_it_off() -> None:
    log = Log(BTC)
    log.do(Switch(exchange="htx", name="htx", enabled=True))
    decided(log, Command("rollback", "c", to=1))
    assert symbol_set(log.registry, "htx").enabled is False


def test_history_tells_who_did_what_and_forgets_the_oldest() -> None:
    log = Log(BTC)
    log.do(Change(op="add", symbols=[ETH]), user="alice")
    notes = list(log.registry.history)
    assert [(note.what, note.by, note.state_revision) for note in notes] == [
        ("seed", "config", 1),
        ("add_symbol", "alice", 2),
    ]
    assert notes[1].text == ETH
    assert notes[1].coordinator == "c@h"
    for number in range(300):
        log.do(Change(op="add", symbols=[f"T{number}/USDT:USDT"]))
    history = log.registry.history
    assert len(history) <= 200
    now = log.registry.state_revision
    earliest = history.earliest(now)
    assert now - earliest == len(history)
    assert history.reaches(earliest, now)
    assert not history.reaches(earliest - 1, now)


def test_what_happens_by_itself_pushes_no_command_out_of_the_history() -> None:
    log = Log("top:1")
    log.do(Change(op="add", symbols=[ETH]), user="alice")
    for number in range(300):
        symbols = [BTC if number % 2 else ETH]
        log.do(Listed(exchange="binance", expansions={"top:1": symbols}, unlisted=[]))
    notes = list(log.registry.history)
    assert [note.what for note in notes[:2]] == ["seed", "add_symbol"]
    assert len(notes) == 2 + 50
    assert log.registry.history.reaches(1, log.registry.state_revision)


def test_an_entry_means_what_the_market_list_says() -> None:
    log = Log(BTC)
    log.do(Change(op="set", symbols=[ALL]))
    assert log.registry.collected("binance") == ()
    log.do(Listed(exchange="binance", expansions={ALL: [BTC, ETH]}, unlisted=[]))
    assert log.registry.collected("binance") == (BTC, ETH)
    assert log.registry.state_revision == 2
    log.do(Change(op="remove", symbols=[ETH], exchange="binance"))
    assert log.registry.collected("binance") == (BTC,)
    log.do(Change(op="add", symbols=[ETH], exchange="binance"))
    assert log.registry.collected("binance") == (BTC, ETH)
    log.do(Change(op="set", symbols=[XRP], exchange="binance"))
    assert log.registry.collected("binance") == (XRP,)


def test_an_entry_that_replaces_another_goes_on_with_its_symbols() -> None:
    log = Log("top:50")
    log.do(Listed(exchange="binance", expansions={"top:50": [BTC, ETH]}, unlisted=[]))
    log.do(Change(op="set", symbols=["top:60"]))
    assert log.registry.collected("binance") == (BTC, ETH)
    log.do(Listed(exchange="binance", expansions={"top:60": [BTC, SOL]}, unlisted=[]))
    assert log.registry.collected("binance") == (BTC, SOL)
    log.do(Rollback(to=1))
    assert log.registry.desired.symbols == ("top:50",)
    assert log.registry.collected("binance") == (BTC, SOL), "until it is ranked again"


def test_no_more_entries_than_there_may_be() -> None:
    log = Log(*(f"top:{count}" for count in range(1, 21)))
    refused = decided(log, Command("add_symbol", "c", symbols=("top:99",)))
    assert refused["error"] == "invalid_command"
    assert decided(log, Command("add_symbol", "c", symbols=(BTC,)))["success"]


def listed(
    log: Log, markets: dict[str, float | None], ranking: Ranking = Ranking.ALL
) -> Listed | None:
    op = meaning(log.registry, "binance", markets, ranking)
    if op is not None:
        log.do(op)
    return op


def test_market_lists_are_followed() -> None:
    log = Log(BTC, "top:1", "E*/USDT:USDT")
    log.do(Change(op="add", symbols=[XRP], exchange="binance"))
    markets: dict[str, float | None] = {BTC: 5.0, ETH: 3.0, SOL: 9.0}
    op = listed(log, markets, Ranking.NONE)
    assert op is not None
    assert op.expansions == {"E*/USDT:USDT": [ETH]}, "a ranking waits until turnover is known"
    assert op.unlisted == [XRP]
    op = listed(log, markets, Ranking.NEW)
    assert op is not None
    assert op.expansions["top:1"] == [SOL], "one that was never made is made at once"
    assert listed(log, markets) is None, "nothing is new"
    assert listed(log, {**markets, SOL: 1.0}, Ranking.NEW) is None, "not yet ranked anew"
    op = listed(log, {BTC: 5.0, ETH: 3.0, XRP: 1.0}, Ranking.NEW)
    assert op is not None
    assert op.expansions["top:1"] == []
    assert op.unlisted == []


def test_a_task_that_is_not_fit_is_refused_by_its_model() -> None:
    for wrong in (
        {"kind": "ohlcv"},
        {"kind": "ticker", "parameters": {"depth": 5}},
        {"delivery": "sampled"},
        {"sample_ms": 500},
        {"task_id": "a b"},
        {"interval": 0},
    ):
        with pytest.raises(ValueError, match=r"."):
            task(**wrong)


def test_all_of_it_survives_a_snapshot_and_the_wire() -> None:
    log = Log(BTC, ETH, "top:2")
    log.join("w2", "w1")
    log.do(TaskAdded(task=task(delivery="sampled", sample_ms=500)))
    log.do(Listed(exchange="binance", expansions={"top:2": [SOL, XRP]}, unlisted=[ETH]))
    log.do(Switch(exchange="gate", name="gateio", enabled=False))
    state = log.registry.state()
    late = Registry()
    snapshot = decode(encode(Snapshot(by="c@h/1/x", epoch=1, state=state)))
    late.fold(99, snapshot)
    assert late.state() == state
    assert late.owners == log.registry.owners
    op = Members(exchange="binance", left={"w1": "silent"})
    for registry in (late, log.registry):
        registry.fold(101, Operation(by="c@h/1/x", epoch=1, op=op))
    assert late.owners == log.registry.owners


def test_a_record_of_a_later_version_is_known_as_such() -> None:
    newer = Claim(by="x", format=FORMAT + 1)
    with pytest.raises(NewerRecordError):
        decode(encode(newer))
    with pytest.raises(NewerRecordError):
        decode(b'{"type":"prophecy","format":%d}' % (FORMAT + 1))
    older = encode(Claim(by="x", nonce="n")).replace(b',"format":2', b"")
    assert decode(older) == Claim(by="x", nonce="n")


def test_places_in_a_ranking_are_no_news() -> None:
    log = Log("top:2")
    assert listed(log, {BTC: 5.0, ETH: 3.0})
    assert listed(log, {BTC: 3.0, ETH: 5.0}) is None


def test_a_list_that_is_older_takes_nothing_back_while_its_worker_lives() -> None:
    clock = FakeClock()
    listings = Listings(clock)
    listings.update(MarketList(exchange="gate", worker="v", symbols=[BTC, ETH]))
    listings.update(MarketList(exchange="gate", worker="w", symbols=[BTC, SOL]))
    assert set(listings.known("gate") or ()) == {BTC, ETH, SOL}
    listings.update(MarketList(exchange="gate", worker="v", symbols=[BTC]))
    assert set(listings.known("gate") or ()) == {BTC, SOL}
    clock.elapsed_s = 31.0
    listings.update(MarketList(exchange="gate", worker="v", symbols=[BTC]))
    assert set(listings.known("gate") or ()) == {BTC}, "the other has long been gone"


def test_a_market_list_without_turnover_keeps_what_is_known() -> None:
    listings = Listings(FakeClock())
    listings.update(MarketList(exchange="gate", worker="w", symbols=[BTC, ETH], volumes={BTC: 3.0}))
    assert not listings.ranked("gate")
    listings.update(MarketList(exchange="gate", worker="w", symbols=[BTC, ETH], volumes={ETH: 1.0}))
    assert listings.ranked("gate")
    listings.update(MarketList(exchange="gate", worker="v", symbols=[BTC, ETH]))
    assert listings.known("gate") == {BTC: 3.0, ETH: 1.0}
