"""Symbols that move between workers: who collects what meanwhile, and from where on."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.completeness import Gap
from shared.status import Holdings, TradeMark
from shared.symbolset import Peer, Revision, SymbolSet
from tests.fakes import FakeClock
from tests.recording import BTC
from tests.station import ETH, Station
from workers.collector.catalogue.row import StreamKind
from workers.collector.sharing.inheritance import Inheritance
from workers.collector.sharing.ownership import OVERLAP_S, REPAIR_S, Ownership
from workers.collector.sharing.peers import SILENT_S, Peers

SOL = "SOL/USDT:USDT"
NOW_MS = 1_800_000_000_000


def revision(offset: int) -> Revision:
    return Revision(registry="r", epoch=1, offset=offset)


def told(owners: dict[str, str], offset: int = 5) -> SymbolSet:
    workers = sorted({"me", "other", *owners.values()})
    return SymbolSet(
        exchange="x",
        venue="x",
        revision=revision(offset),
        symbols=list(owners),
        workers=[Peer(worker=worker, egress="e") for worker in workers],
        owners=[workers.index(owner) for owner in owners.values()],
    )


def word(
    live: Sequence[str] = (),
    *,
    collected: Sequence[str] | None = None,
    offset: int = 5,
    marks: dict[str, TradeMark] | None = None,
    whole: Sequence[str] | None = None,
    gaps: Sequence[Gap] = (),
) -> Holdings:
    return Holdings(
        exchange="x",
        worker="other",
        epoch="e",
        state="running",
        revision=revision(offset),
        collected=list(live if collected is None else collected),
        live=list(live),
        whole=None if whole is None else list(whole),
        marks=marks or {},
        gaps=list(gaps),
    )


def gap(symbol: str = BTC) -> Gap:
    return Gap(
        id="g",
        rev=1,
        exchange="x",
        symbol=symbol,
        kind="trades",
        state="open",
        reason="cut",
        worker="other",
        epoch="e",
        opened_at=NOW_MS,
        last_key="1",
        last_time=NOW_MS,
    )


class Pair:
    """This worker's ownership, and what it hears of another."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.peers = Peers("me", "x", directory / "peers.json", self.clock)
        self.ownership = Ownership("me", self.peers, self.clock)

    def wanted(self, desired: SymbolSet | None, *held: str) -> list[str]:
        assigned = [] if desired is None else desired.owned_by("me")
        return self.ownership.wanted(desired, assigned, held)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_what_is_ours_is_collected_and_nothing_of_others_taken_up(pair: Pair) -> None:
    assert pair.wanted(told({BTC: "me", ETH: "other"})) == [BTC]


def test_a_symbol_is_kept_until_its_new_owner_has_it(pair: Pair) -> None:
    moved = told({BTC: "other", ETH: "me"})
    assert pair.wanted(moved, BTC, ETH) == [ETH, BTC]
    pair.peers.hear(word([], collected=[BTC]))
    assert pair.wanted(moved, BTC, ETH) == [ETH, BTC], "collected, and not live"
    pair.peers.hear(word([BTC]))
    assert pair.wanted(moved, BTC, ETH) == [ETH, BTC], "both have it for a moment"
    pair.clock.elapsed_s += OVERLAP_S
    pair.peers.hear(word([BTC]))
    assert pair.wanted(moved, BTC, ETH) == [ETH]
    assert pair.ownership.lent(moved, [BTC, ETH]) == {BTC}


def test_prices_and_trades_alone_are_not_all_of_a_symbol(pair: Pair) -> None:
    """Its book, its candles and its liquidations come last, a minute after."""
    moved = told({BTC: "other"})
    for whole in ([], [], [BTC], [BTC]):
        pair.peers.hear(word([BTC], whole=whole))
        kept = pair.wanted(moved, BTC)
        pair.clock.elapsed_s += OVERLAP_S
    assert kept == []
    pair.peers.hear(word([BTC], whole=[]))
    assert pair.wanted(moved, BTC) == [BTC]


def test_an_owner_that_does_not_know_it_yet_may_be_letting_go(pair: Pair) -> None:
    moved = told({BTC: "other"}, offset=9)
    for offset in (5, 5):
        pair.peers.hear(word([BTC], offset=offset))
        assert pair.wanted(moved, BTC) == [BTC]
        pair.clock.elapsed_s += OVERLAP_S
    pair.peers.hear(word([BTC], offset=9))
    pair.wanted(moved, BTC)
    pair.clock.elapsed_s += OVERLAP_S
    assert pair.wanted(moved, BTC) == []


def test_an_owner_that_falls_silent_has_nothing(pair: Pair) -> None:
    moved = told({BTC: "other"})
    pair.peers.hear(word([BTC]))
    pair.wanted(moved, BTC)
    pair.clock.elapsed_s += SILENT_S
    assert pair.wanted(moved, BTC) == [BTC]


def test_a_gap_is_repaired_first_but_not_for_ever(pair: Pair) -> None:
    moved, repairing = told({BTC: "other"}), True
    pair.ownership.is_repairing = lambda _symbol: repairing
    waited_s = 0.0
    while pair.wanted(moved, BTC) == [BTC]:
        pair.clock.elapsed_s += 1
        waited_s += 1
        pair.peers.hear(word([BTC]))
    assert REPAIR_S <= waited_s <= REPAIR_S + 2


def test_what_nobody_wants_any_more_is_let_go_at_once(pair: Pair) -> None:
    assert pair.wanted(told({ETH: "other"}), BTC) == []
    assert pair.wanted(None, BTC) == []


def test_marks_are_the_newest_and_survive_a_restart(pair: Pair) -> None:
    pair.peers.hear(word([BTC], marks={BTC: ("7", NOW_MS), ETH: ("1", NOW_MS)}))
    pair.peers.hear(word([BTC], marks={BTC: ("5", NOW_MS - 5), SOL: ("9", NOW_MS + 10**9)}))
    assert pair.peers.mark(BTC) == ("7", NOW_MS)
    assert pair.peers.mark(SOL) is None, "a time that is far ahead would never be passed"
    pair.peers.keep([BTC])
    assert pair.peers.mark(ETH) is None


def test_where_we_ended_ourselves_is_known_whatever_was_said_before(pair: Pair) -> None:
    pair.peers.hear(word([BTC], marks={BTC: ("7", NOW_MS)}))
    pair.peers.remember(BTC, ("6", NOW_MS - 5))
    assert pair.peers.mark(BTC) == ("6", NOW_MS - 5)
    pair.peers.hear(word([BTC], marks={BTC: ("8", NOW_MS + 5)}))
    assert pair.peers.mark(BTC) == ("8", NOW_MS + 5), "the other went on"


async def test_marks_are_read_again_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    first = Peers("me", "x", path, FakeClock())
    first.hear(word([BTC], marks={BTC: ("7", NOW_MS)}))
    await first.save()
    assert Peers("me", "x", path, FakeClock()).mark(BTC) == ("7", NOW_MS)
    for damage in (b"[]", b"{", b'{"BTC/USDT:USDT": [1, "x"]}', b'{"BTC/USDT:USDT": ["7", -5]}'):
        path.write_bytes(damage)
        assert Peers("me", "x", path, FakeClock()).mark(BTC) is None


def test_words_of_our_own_and_of_other_venues_are_none(pair: Pair) -> None:
    pair.peers.hear(word([BTC]).model_copy(update={"worker": "me"}))
    pair.peers.hear(word([BTC]).model_copy(update={"exchange": "y"}))
    assert list(pair.peers.speaking()) == []


class Heir(Station):
    """A station that takes up what another worker had."""

    def __init__(self, directory: Path, *, dense: bool = True) -> None:
        super().__init__(directory, dense=dense, collects=False)
        self.peers = Peers("me", "x", directory / "peers.json", self.clock)
        self.inheritance = Inheritance(self.peers, self.continuity, self.trades, timeframes=["1m"])
        self.resumed: list[tuple[str, str, int]] = []
        self.continuity.feeds.candles.resume = lambda *of: self.resumed.append(of)  # type: ignore[method-assign]

    def hear(self, trades: int, *gaps: Gap) -> None:
        """The other worker has the venue's next trades."""
        for _ in range(trades):
            last = self.venue.trade()
        self.peers.hear(word([BTC], marks={BTC: (last.id, last.timestamp)}, gaps=gaps))

    def all_up(self) -> None:
        for kind in set(StreamKind) - {StreamKind.CANDLES}:
            self.up(kind)

    def take_up(self) -> None:
        self.collect(BTC)
        self.inheritance.take_up([BTC])

    def overlap(self, *gaps: Gap) -> None:
        """The other has one more trade, then no more is heard of it."""
        self.inheritance.look()
        self.let(1)
        self.hear(1, *gaps)
        self.inheritance.look()
        self.let(2 * SILENT_S)
        self.inheritance.look()

    def let(self, seconds: float) -> None:
        self.clock.elapsed_s += seconds

    def open_gaps(self) -> list[Gap]:
        return [gap for gap in self.continuity.gaps.all() if gap.kind == "trades"]


def test_where_the_other_is_gone_its_end_is_where_we_begin(tmp_path: Path) -> None:
    heir = Heir(tmp_path)
    heir.hear(3)
    heir.let(SILENT_S + 1)
    heir.venue.trade()
    heir.take_up()
    (opened,) = heir.open_gaps()
    assert (opened.reason, opened.last_key) == ("moved", heir.venue.happened[2].id)
    assert heir.resumed[0][:2] == (BTC, "1m")


def test_where_the_other_goes_on_until_we_have_it_nothing_is_missing(tmp_path: Path) -> None:
    heir = Heir(tmp_path)
    heir.hear(3)
    heir.take_up()
    heir.inheritance.look()
    heir.all_up()
    heir.overlap()
    assert heir.open_gaps() == []
    assert heir.peers.mark(BTC) is None, "where to go on is known by ourselves now"


def test_where_only_our_trades_came_in_time_the_rest_is_told_as_missing(tmp_path: Path) -> None:
    heir = Heir(tmp_path)
    heir.hear(3)
    heir.take_up()
    heir.up()
    heir.overlap()
    assert heir.open_gaps() == []
    assert [one.kind for one in heir.continuity.gaps.all()] == ["liquidation"]


def test_another_with_a_gap_of_its_own_proves_nothing(tmp_path: Path) -> None:
    heir = Heir(tmp_path)
    heir.hear(3)
    heir.take_up()
    heir.all_up()
    heir.overlap(gap())
    (opened,) = heir.open_gaps()
    assert opened.last_key == heir.venue.happened[3].id


def test_another_that_ends_before_it_told_its_last_trade_leaves_a_gap(tmp_path: Path) -> None:
    """It was alone until now, and told nobody."""
    heir = Heir(tmp_path)
    heir.peers.hear(word([BTC]))
    heir.take_up()
    heir.let(SILENT_S + 1)
    heir.inheritance.look()
    (opened,) = heir.open_gaps()
    assert opened.last_key is None
    assert opened.last_time == NOW_MS - 10_000


@pytest.mark.parametrize("dense", [True, False])
def test_where_the_other_goes_before_we_have_it_a_gap_says_so(tmp_path: Path, dense: bool) -> None:
    heir = Heir(tmp_path, dense=dense)
    heir.hear(3)
    heir.take_up()
    heir.let(2)
    heir.up()
    heir.live(2)
    heir.inheritance.look()
    assert heir.open_gaps() == []
    heir.let(SILENT_S)
    heir.inheritance.look()
    (opened,) = heir.open_gaps()
    assert opened.last_key == heir.venue.happened[2].id
    assert BTC in heir.continuity.refill._queued


def test_a_symbol_of_which_nobody_spoke_is_new(tmp_path: Path) -> None:
    heir = Heir(tmp_path)
    heir.take_up()
    heir.up()
    heir.let(60)
    heir.inheritance.look()
    assert heir.open_gaps() == []
