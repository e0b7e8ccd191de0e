"""The fold of the registry's log, against a model that is too simple to be wrong."""

from dataclasses import dataclass, field
from typing import Literal

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.records import (
    Change,
    Claim,
    ConfigChange,
    Fence,
    Given,
    NoChange,
    Operation,
    Record,
    Seed,
    Snapshot,
    decode,
    encode,
)
from coordinator.registry import Registry, Verdict
from shared.errors import DataProcessingError

VENUES = {"binance": "binance", "gate": "gateio"}
SYMBOLS = [f"{base}/USDT:USDT" for base in ("BTC", "ETH", "SOL", "XRP")]


def seeded(by: str = "a") -> Registry:
    registry = Registry()
    registry.fold(0, Claim(by=by))
    seed = Seed(registry="r1", symbols=SYMBOLS[:2], exchanges=VENUES)
    assert registry.fold(1, Operation(by=by, epoch=1, op=seed)) is Verdict.APPLIED
    return registry


def add(by: str, epoch: int, symbol: str, id_: str | None = None) -> Operation:
    given_ = None
    if id_ is not None:
        given_ = Given(user=None, id=id_, digest="d", answer={"success": True, "data": {"n": id_}})
    return Operation(by=by, epoch=epoch, op=Change(op="add", symbols=[symbol]), given=given_)


def test_a_seed_is_the_first_state() -> None:
    registry = seeded()
    assert registry.desired.symbols == ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert registry.revision is not None
    assert registry.revision.model_dump() == {"registry": "r1", "epoch": 1, "offset": 1}
    assert registry.state_revision == 1


def test_a_second_seed_changes_nothing() -> None:
    registry = seeded()
    registry.fold(2, Claim(by="b"))
    seed = Seed(registry="r2", symbols=[], exchanges={})
    assert registry.fold(3, Operation(by="b", epoch=2, op=seed)) is Verdict.REPEATED
    assert registry.id == "r1"


def test_the_late_write_of_a_deposed_leader_has_no_effect() -> None:
    registry = seeded("a")
    registry.fold(2, Claim(by="b"))
    assert registry.fold(3, add("a", 1, SYMBOLS[2], "late")) is Verdict.REJECTED
    assert SYMBOLS[2] not in registry.desired.symbols
    assert registry.applied.get((None, "late")) is None
    assert registry.rejected == 1


def test_a_write_of_an_earlier_epoch_of_the_same_leader_has_no_effect() -> None:
    registry = seeded("a")
    registry.fold(2, Claim(by="b"))
    registry.fold(3, Claim(by="a"))
    assert registry.fold(4, add("a", 1, SYMBOLS[2])) is Verdict.REJECTED
    assert registry.fold(5, add("a", 3, SYMBOLS[2])) is Verdict.APPLIED


def test_a_repeated_command_takes_effect_once_and_keeps_its_first_answer() -> None:
    registry = seeded()
    registry.fold(2, add("a", 1, SYMBOLS[2], "one"))
    first = registry.applied.get((None, "one"))
    assert first is not None
    registry.fold(3, Operation(by="a", epoch=1, op=Change(op="remove", symbols=[SYMBOLS[2]])))
    assert registry.fold(4, add("a", 1, SYMBOLS[2], "one")) is Verdict.REPEATED
    assert SYMBOLS[2] not in registry.desired.symbols
    assert registry.applied.get((None, "one")) == first
    assert orjson.loads(first.answer)["data"] == {
        "n": "one",
        "revision": {"registry": "r1", "epoch": 1, "offset": 2},
        "state_revision": 2,
    }


def test_offsets_seen_before_are_not_folded_again() -> None:
    registry = seeded()
    assert registry.fold(1, add("a", 1, SYMBOLS[2])) is Verdict.SEEN
    assert registry.fold(0, Claim(by="z")) is Verdict.SEEN
    assert registry.leader == "a"


def test_only_changes_move_the_state_revision_and_claims_move_the_revision() -> None:
    registry = seeded()
    registry.fold(2, Operation(by="a", epoch=1, op=NoChange()))
    registry.fold(3, add("a", 1, SYMBOLS[0]))
    registry.fold(4, Fence(by="a"))
    assert registry.revision is not None
    assert (registry.state_revision, registry.revision.offset) == (1, 1)
    registry.fold(5, Claim(by="b"))
    assert registry.revision is not None
    assert (registry.state_revision, registry.revision.offset) == (1, 5)


def test_a_configuration_keeps_names_that_are_fixed() -> None:
    registry = seeded()
    change = ConfigChange(
        added=[SYMBOLS[2]],
        removed=[SYMBOLS[0]],
        exchanges={"gate": "gate", "htx": "htx"},
        seen=SYMBOLS[1:3],
    )
    registry.fold(2, Operation(by="a", epoch=1, op=change))
    assert registry.desired.symbols == (SYMBOLS[1], SYMBOLS[2])
    assert registry.exchanges == {"binance": "binance", "gate": "gateio", "htx": "htx"}


def test_operations_before_the_first_seed_wait_for_a_snapshot() -> None:
    registry = Registry()
    assert registry.fold(7, add("a", 3, SYMBOLS[2])) is Verdict.UNREADY
    snapshot = Snapshot(by="a", epoch=3, state=seeded().state())
    assert registry.fold(8, snapshot) is Verdict.APPLIED
    assert registry.fold(9, add("a", 3, SYMBOLS[2])) is Verdict.APPLIED
    assert SYMBOLS[2] in registry.desired.symbols


def test_a_deposed_leaders_snapshot_has_no_effect() -> None:
    registry = seeded("a")
    old = Snapshot(by="a", epoch=1, state=registry.state())
    registry.fold(2, Claim(by="b"))
    registry.fold(3, add("b", 2, SYMBOLS[2]))
    assert registry.fold(4, old) is Verdict.REJECTED
    assert SYMBOLS[2] in registry.desired.symbols


def test_a_restored_registry_counts_from_its_own_snapshot() -> None:
    state = seeded().state().model_copy(update={"registry": "r9", "revision_offset": None})
    registry = Registry()
    registry.fold(0, Claim(by="tool"))
    registry.fold(5, Snapshot(by="tool", epoch=1, state=state))
    assert registry.revision is not None
    assert registry.revision.model_dump() == {"registry": "r9", "epoch": 1, "offset": 5}


@pytest.mark.parametrize(
    "record",
    [
        Claim(by="a"),
        Fence(by="a"),
        add("a", 1, SYMBOLS[0], "x"),
        Operation(by="a", epoch=2, op=Seed(registry="r", symbols=[], exchanges=VENUES)),
        Snapshot(by="a", epoch=1, state=seeded().state()),
    ],
)
def test_records_survive_the_wire(record: Record) -> None:
    assert decode(encode(record)) == record


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"type":"claim"}', b"\xff"])
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(DataProcessingError):
        decode(body)


Step = tuple[Literal["claim", "add", "remove", "snapshot"], str, int, int, int | None]
steps = st.tuples(
    st.sampled_from(["claim", "add", "remove", "snapshot"]),
    st.sampled_from("abc"),  # who writes
    st.integers(0, len(SYMBOLS) - 1),
    st.integers(0, 2),  # from which of its claims the writer still believes to lead
    st.none() | st.integers(0, 5),  # the command's id
)


@dataclass
class Model:
    """What the log means, in the fewest words."""

    leader: str = "a"
    epoch: int = 1
    symbols: list[str] = field(default_factory=lambda: SYMBOLS[:2])
    done: set[int] = field(default_factory=set)

    def take(self, step: Step, epoch: int) -> None:
        action, by, symbol, _, id_ = step
        if action == "claim":
            self.leader, self.epoch = by, self.epoch + 1
        elif action != "snapshot" and (by, epoch) == (self.leader, self.epoch):
            if id_ in self.done:
                return
            if id_ is not None:
                self.done.add(id_)
            self._change(action, SYMBOLS[symbol])

    def _change(self, action: str, symbol: str) -> None:
        if action == "add" and symbol not in self.symbols:
            self.symbols.append(symbol)
        elif action == "remove" and symbol in self.symbols:
            self.symbols.remove(symbol)


def written(script: list[Step]) -> tuple[list[tuple[int, Record]], Model]:
    """The log that a script gives, offsets with holes, and what its model comes to.

    Snapshots are the leader's own, or a copy of an old one by who was deposed. An epoch belongs to
    who claimed it: no writer has another's.
    """
    model, reader = Model(), seeded("a")
    records: list[tuple[int, Record]] = [
        (0, Claim(by="a")),
        (1, Operation(by="a", epoch=1, op=Seed(registry="r1", symbols=SYMBOLS[:2], exchanges={}))),
    ]
    old, claims = reader.state(), {"a": [1], "b": [0], "c": [0]}
    for number, step in enumerate(script):
        action, by, symbol, behind, id_ = step
        epoch, offset = claims[by][-1 - behind :][0], 10 + 3 * number
        record: Record
        if action == "claim":
            record = Claim(by=by)
            claims[by].append(model.epoch + 1)
        elif action == "snapshot":
            leads = (by, epoch) == (model.leader, model.epoch)
            record = Snapshot(by=by, epoch=epoch, state=reader.state() if leads else old)
        else:
            given_ = (
                Given(user=None, id=str(id_), digest="d", answer={}) if id_ is not None else None
            )
            op = Change(op=action, symbols=[SYMBOLS[symbol]])
            record = Operation(by=by, epoch=epoch, op=op, given=given_)
        records.append((offset, record))
        reader.fold(offset, record)
        model.take(step, epoch)
    return records, model


@settings(max_examples=300, deadline=None)
@given(script=st.lists(steps, max_size=40), data=st.data())
def test_the_fold_is_the_models_whatever_is_replayed(
    script: list[Step], data: st.DataObject
) -> None:
    records, model = written(script)
    registry = Registry()
    for index, (offset, record) in enumerate(records):
        registry.fold(offset, record)
        for again in range(data.draw(st.integers(0, index)) if index % 5 == 4 else 0, index):
            registry.fold(*records[again])
    assert list(registry.desired.symbols) == model.symbols
    assert (registry.leader, registry.epoch) == (model.leader, model.epoch)
    assert {id_ for (_, id_), _ in registry.applied} == {str(id_) for id_ in model.done}


@settings(max_examples=300, deadline=None)
@given(script=st.lists(steps, max_size=40), cut=st.integers(0, 40))
def test_a_reader_whose_beginning_was_taken_agrees_after_a_snapshot(
    script: list[Step], cut: int
) -> None:
    records, model = written(script)
    full = Registry()
    for entry in records:
        full.fold(*entry)
    last = max(offset for offset, _ in records)
    records.append((last + 1, Snapshot(by=model.leader, epoch=model.epoch, state=full.state())))
    late = Registry()
    for entry in records[min(cut, len(records) - 1) :]:
        late.fold(*entry)
    full.fold(*records[-1])
    assert late.state() == full.state()
    assert (late.leader, late.epoch) == (full.leader, full.epoch)
