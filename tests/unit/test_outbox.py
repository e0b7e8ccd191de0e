"""The way out, with publishers that a test settles by hand."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shared import outbox as outbox_module
from shared.broker import Broker
from shared.fact import Fact
from shared.files import read_json, write_json
from shared.kinds import FUTURES, TICKER, TRADES, Kind
from shared.outbox import Origin, Outbox
from shared.publisher import Bounds, Outcome, Publication, Settled
from shared.sequence import Sequences
from shared.topology import BATCHES, topology
from tests.fakes import FakeClock

BTC = "BTC/USDT:USDT"


class HandPublisher:
    """Takes what is offered while it has room; the test settles it."""

    def __init__(self, settled: Settled) -> None:
        self.connected = True
        self.full = False
        self.offered: list[Publication] = []
        self._settled = settled

    def offer(self, message: Publication) -> bool:
        if not self.full:
            self.offered.append(message)
        return not self.full

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

        def make(broker: Broker, purpose: str, settled: Settled) -> HandPublisher:
            made[purpose] = HandPublisher(settled)
            return made[purpose]

        monkeypatch.setattr(outbox_module, "_make_publisher", make)
        broker = Broker("amqp://x/", "test", topology("futures_data"), declares=True)
        origin = Origin("gateio", "gate-0@h", "gate-0@h/1")
        sequences = Sequences(tmp_path / "sequences.json", origin.epoch)
        self.outbox = Outbox(broker, origin, sequences, FakeClock(), batches=batches)
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
    bench.put(TICKER, {"n": 1})
    bench.put(TICKER, {"n": 2})
    await bench.outbox.drain(1)
    counts = bench.outbox.ledger["ticker"]
    assert (counts.received, counts.conflated, counts.confirmed, counts.in_flight) == (2, 1, 1, 0)


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
    assert counts.in_flight == 0


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


async def test_a_batch_is_sent_before_it_grows_over_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch, batches=True)
    for n in range(300):
        bench.put(TRADES, {"id": n, "pad": "x" * 1000}, key=str(n))
    batches = [m for m in bench.lossless.offered if m.exchange == BATCHES]
    assert len(batches) == 1
    assert 256 * 1024 <= len(batches[0].body) < 260 * 1024


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
