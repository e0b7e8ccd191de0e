"""The way out, with publishers that a test settles by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared import outbox as outbox_module
from shared.batch import decoded
from shared.broker import Broker
from shared.clock import Clock
from shared.fact import Fact
from shared.files import read_json, write_json
from shared.kinds import (
    FUTURES,
    KINDS,
    LATEST_TASK,
    OPEN_CANDLE,
    OPEN_INTEREST,
    TASK,
    TICKER,
    TRADES,
    Kind,
)
from shared.outbox import Origin, Outbox
from shared.publisher import Bounds, Outcome, Publication, Settled
from shared.sequence import Sequences
from shared.status import MAX_HEARTBEAT_BYTES
from shared.topology import BATCHES, topology
from tests.fakes import FakeClock

BTC = "BTC/USDT:USDT"


class HandPublisher:
    """Takes what is offered while it has room; the test settles it."""

    def __init__(self, settled: Settled) -> None:
        self.connected = True
        self.full = False
        self.stalled = False
        self.republished = 0
        self.offered: list[Publication] = []
        self._settled = settled

    def offer(self, message: Publication) -> bool:
        if not self.full:
            self.offered.append(message)
        return not self.full

    def offer_behind(self, message: Publication) -> bool:
        message.behind = True
        self.offered.append(message)
        return True

    @property
    def room_behind(self) -> int:
        return 1000 - len(self.offered)

    def withdraw(self) -> list[Publication]:
        withdrawn = [message for message in self.offered if not message.behind]
        self.offered = [message for message in self.offered if message.behind]
        return withdrawn

    def messages(self) -> Iterator[Publication]:
        yield from self.offered

    @property
    def pending(self) -> int:
        return len(self.offered)

    @property
    def room(self) -> bool:
        return self.connected and not self.full

    async def run(self) -> None: ...

    async def drain(self, deadline_s: float) -> bool:
        self.settle()
        return True

    def settle(self, outcome: Outcome = Outcome.CONFIRMED) -> None:
        for message in self.offered:
            self._settled(message, outcome)
        self.offered = []


class Bench:
    """An outbox between two publishers of the above kind."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: bool) -> None:
        made: dict[str, HandPublisher] = {}

        def make(
            broker: Broker, purpose: str, bounds: Bounds, settled: Settled, clock: Clock
        ) -> HandPublisher:
            made[purpose] = HandPublisher(settled)
            return made[purpose]

        monkeypatch.setattr(outbox_module, "_make_publisher", make)
        broker = Broker("amqp://x/", "test", topology("futures_data"), declares=True)
        origin = Origin("gateio", "gate-0@h", "gate-0@h/1")
        self.clock = FakeClock()
        sequences = Sequences(tmp_path / "sequences.json", origin.epoch)
        self.outbox = Outbox(broker, origin, sequences, self.clock, batches=batches)
        self.lossless, self.latest = made["lossless"], made["latest"]

    def put(self, kind: Kind, body: dict[str, Any], key: str | None = None) -> None:
        self.outbox.put(Fact(kind, BTC, orjson.dumps(body), 1_800_000_000_123, key))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch, batches=False)


async def test_lossless_facts_go_out_one_by_one_with_their_sequence(bench: Bench) -> None:
    for n in range(3):
        bench.put(TRADES, {"id": n}, key=str(n))
    messages = bench.lossless.offered
    assert [m.headers["seq"] for m in messages] == [1, 2, 3]
    assert [m.message_id for m in messages] == [f"gateio:{BTC}:trades:{n}" for n in range(3)]
    assert {m.routing_key for m in messages} == {"trades.gateio.BTCUSDT"}
    assert messages[0].headers["worker"] == "gate-0@h"
    assert messages[0].headers["received_at"] == 1_800_000_000_123


async def test_latest_facts_are_replaced_before_they_get_a_sequence_number(bench: Bench) -> None:
    bench.latest.full = True
    bench.put(TICKER, {"n": 1})
    bench.put(TICKER, {"n": 2})
    bench.latest.full = False
    await bench.outbox.drain(1)
    counts = bench.outbox.ledger["ticker"]
    assert (counts.received, counts.conflated, counts.confirmed, counts.open) == (2, 1, 1, 0)


async def test_latest_facts_wait_for_room_and_the_newest_goes_out(bench: Bench) -> None:
    bench.latest.connected = False
    for n in range(10):
        bench.put(TICKER, {"n": n})
        bench.outbox._flush_slots()
    assert bench.latest.offered == []
    bench.latest.connected = True
    bench.outbox._flush_slots()
    assert [(m.body, m.headers["seq"]) for m in bench.latest.offered] == [(b'{"n":9}', 1)]


async def test_futures_data_met_by_an_absent_broker_is_dropped_and_counted(bench: Bench) -> None:
    bench.latest.connected = False
    bench.put(FUTURES, {"n": 1}, key="1")
    assert bench.outbox.ledger["futures"].dropped == {"no_broker": 1}
    assert bench.outbox.pending == 0


async def test_futures_data_that_waited_when_the_broker_went_is_failed_and_never_late(
    bench: Bench,
) -> None:
    bench.latest.full = True
    bench.put(FUTURES, {"n": 1}, key="1")
    bench.put(TICKER, {"n": 1})
    bench.latest.connected = False
    bench.outbox._flush_slots()
    bench.latest.connected, bench.latest.full = True, False
    bench.outbox._flush_slots()
    assert [m.kind for m in bench.latest.offered] == [TICKER]
    assert bench.outbox.ledger["futures"].dropped == {"no_broker": 1}
    assert not bench.outbox.ledger.unbalanced()


async def test_a_latest_fact_goes_out_at_once_where_there_is_room(bench: Bench) -> None:
    bench.put(TICKER, {"n": 1})
    bench.put(TICKER, {"n": 2})
    assert [m.headers["seq"] for m in bench.latest.offered] == [1, 2]


async def test_a_kind_with_a_pace_sends_its_newest_value_at_that_pace(bench: Bench) -> None:
    for n in range(8):
        bench.put(OPEN_CANDLE, {"n": n})
        bench.outbox._flush_slots()
    in_advance = [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert [m.body for m in bench.latest.offered] == in_advance
    bench.clock.elapsed_s = 1.0
    bench.outbox._flush_slots()
    assert [m.body for m in bench.latest.offered] == [*in_advance, b'{"n":7}']
    assert bench.outbox.ledger["ohlcv.open"].conflated == 4
    assert not bench.outbox.ledger.unbalanced()


async def test_last_values_of_slow_kinds_are_repeated_until_they_are_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)

    def rows() -> list[Any]:
        bench.outbox._repeat()
        bench.outbox._flush_batches()
        batches = [m for m in bench.latest.offered if m.exchange == BATCHES]
        bench.latest.settle()
        return [row for m in batches for row in orjson.loads(m.body)["rows"]]

    bench.put(OPEN_INTEREST, {"n": 1})
    bench.put(TICKER, {"n": 1})
    first = rows()
    assert [row.get("repeat") for row in first] == [None, None]
    assert rows() == []
    bench.clock.elapsed_s = 30
    assert rows() == [{"repeat": True, "key": None, "seq": 1, "n": 1}]
    bench.put(OPEN_INTEREST, {"n": 2})
    bench.clock.elapsed_s = 45
    assert [row["n"] for row in rows()] == [2]
    bench.clock.elapsed_s = 1000
    assert rows() == []


async def test_a_message_that_vanishes_unbalances_the_books(bench: Bench) -> None:
    for n in range(3):
        bench.put(TRADES, {"id": n}, key=str(n))
    assert not bench.outbox.ledger.unbalanced()
    del bench.lossless.offered[1]
    assert bench.outbox.ledger.unbalanced() == {"trades": 1}
    assert bench.outbox.ledger.as_dict()["trades"]["unbalanced"] == 1


async def test_a_mark_is_passed_when_facts_and_their_rows_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)
    assert bench.outbox.settled_up_to(bench.outbox.mark())
    bench.put(TRADES, {"id": 1}, key="1")
    mark = bench.outbox.mark()
    bench.lossless.settle()
    assert not bench.outbox.settled_up_to(mark)  # its row waits in a batch
    bench.outbox._flush_batches()
    bench.put(TRADES, {"id": 2}, key="2")
    later = bench.outbox.mark()
    assert not bench.outbox.settled_up_to(mark)
    bench.lossless.settle()
    assert bench.outbox.settled_up_to(mark)
    assert not bench.outbox.settled_up_to(later)


async def test_counts_of_all_kinds_fit_into_a_heartbeat(bench: Bench) -> None:
    for label, kind in KINDS.items():
        for name in (label, f"{label}.batch") if kind.batched else (label,):
            counts = bench.outbox.ledger[name]
            counts.received = counts.confirmed = 10**8
            counts.conflated, counts.dropped["no_broker"] = 10**7, 10**4
    assert len(orjson.dumps(bench.outbox.ledger.as_dict())) < MAX_HEARTBEAT_BYTES - 600


async def test_what_a_full_queue_refuses_is_counted_and_leaves_a_hole_in_seq(bench: Bench) -> None:
    bench.put(TRADES, {"id": 1}, key="1")
    bench.lossless.full = True
    bench.put(TRADES, {"id": 2}, key="2")
    bench.lossless.full = False
    bench.put(TRADES, {"id": 3}, key="3")
    assert [m.headers["seq"] for m in bench.lossless.offered] == [1, 3]
    assert bench.outbox.ledger["trades"].dropped == {"overflow": 1}


async def test_refused_messages_are_counted_as_dropped(bench: Bench) -> None:
    bench.put(TRADES, {"id": 1}, key="1")
    bench.lossless.settle(Outcome.REFUSED)
    counts = bench.outbox.ledger["trades"]
    assert counts.dropped == {"refused": 1}
    assert counts.open == 0


async def test_rows_of_a_batch_are_the_single_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)
    bodies = [{"symbol": BTC, "id": str(n), "received_at": 5} for n in range(3)]
    for body in bodies:
        bench.put(TRADES, body, key=str(body["id"]))
    bench.put(FUTURES, {"symbol": BTC, "timestamp": 6}, key="6")
    bench.outbox._flush_slots()
    bench.outbox._flush_batches()
    batch = next(m for m in bench.lossless.offered if m.exchange == BATCHES)
    assert batch.routing_key == "lossless.trades.gateio"
    content = orjson.loads(batch.body)
    assert {k: content[k] for k in ("schema", "kind", "exchange")} == {
        "schema": 1,
        "kind": "trades",
        "exchange": "gateio",
    }
    assert content["rows"] == [
        {"key": str(n), "seq": n + 1} | body for n, body in enumerate(bodies)
    ]
    latest = next(m for m in bench.latest.offered if m.exchange == BATCHES)
    assert orjson.loads(latest.body)["rows"] == [
        {"key": "6", "seq": 1, "received_at": 1_800_000_000_123, "symbol": BTC, "timestamp": 6}
    ]
    bench.lossless.settle()
    bench.latest.settle()
    assert bench.outbox.ledger["trades"].confirmed == 3
    assert bench.outbox.ledger["trades.batch"].confirmed == 3


async def test_results_of_tasks_are_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)
    bench.put(TASK, {"task_id": "t"})
    bench.put(LATEST_TASK, {"task_id": "t"})
    bench.outbox._flush_batches()
    assert [m.routing_key for m in bench.lossless.offered] == ["task.gateio.BTCUSDT"]
    assert [m.routing_key for m in bench.latest.offered] == ["task.gateio.BTCUSDT"]


async def test_a_batch_is_sent_before_it_grows_over_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)
    for n in range(300):
        bench.put(TRADES, {"id": n, "pad": "x" * 1000}, key=str(n))
    batches = [m for m in bench.lossless.offered if m.exchange == BATCHES]
    assert len(batches) == 1
    assert batches[0].content_encoding == "zstd"
    assert 256 * 1024 <= len(decoded(batches[0].body, "zstd")) < 260 * 1024


async def test_the_first_message_of_a_run_names_the_last_of_the_run_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "sequences.json"
    first = Sequences(path, "w/1")
    for _ in range(3):
        first.next_headers("k")
    await first.save()
    silent = Sequences(path, "w/1b")
    silent.next_headers("other")
    await silent.save()
    second = Sequences(path, "w/2")
    assert second.next_headers("k") == {"seq": 1, "prev_epoch": "w/1", "prev_seq": 3}
    assert second.next_headers("k") == {"seq": 2}
    assert second.next_headers("new") == {"seq": 1}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"k": 1}', b'{"k": ["e", "1"]}', b'{"k": ["e"]}']
)
def test_a_broken_sequence_file_is_no_former_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sequences.json"
    path.write_bytes(content)
    assert Sequences(path, "w/2").next_headers("k") == {"seq": 1}


def test_a_state_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert list(path.parent.iterdir()) == [path]
    assert read_json(tmp_path / "absent") is None


def test_bounds_have_defaults_that_hold_a_minute_of_trades() -> None:
    assert Bounds().queued_bytes >= 60 * 1000 * 812
