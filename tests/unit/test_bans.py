"""Bans are known to all processes of a host, and the longest wins."""

from pathlib import Path

import pytest

from shared.bans import MAX_BAN_S, Bans
from shared.files import write_json
from tests.fakes import FakeClock


def test_a_ban_is_known_to_all_of_a_host_and_the_longer_one_stays(tmp_path: Path) -> None:
    clock = FakeClock()
    one, other = (Bans(tmp_path / "bans.json", clock) for _ in range(2))
    one.ban(60)
    other.ban(5)
    assert one.left_s() == other.left_s() == pytest.approx(60)
    clock.elapsed_s += 61
    assert one.left_s() == other.left_s() == 0


def test_who_writes_over_a_longer_ban_hears_of_it(tmp_path: Path) -> None:
    """Two processes met a ban at once, and the one with the shorter wrote last."""
    clock, path = FakeClock(), tmp_path / "bans.json"
    longer = Bans(path, clock)
    longer.ban(60)
    write_json(path, {"until_ms": clock.now_ms() + 5_000})
    shorter = Bans(path, clock)
    assert shorter.left_s() == pytest.approx(5)
    assert longer.left_s() == pytest.approx(60)
    assert shorter.left_s() == pytest.approx(60)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"until_ms": "x"}', b"\xff"])
def test_a_file_that_says_nothing_bans_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bans.json"
    path.write_bytes(content)
    bans = Bans(path, FakeClock())
    assert bans.left_s() == 0
    bans.ban(3)
    assert Bans(path, FakeClock()).left_s() == pytest.approx(3)


def test_a_disk_that_refuses_costs_the_others_the_news_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    bans = Bans(tmp_path / "file" / "bans.json", FakeClock())
    bans.ban(3)
    assert bans.left_s() == pytest.approx(3)


def test_no_ban_is_for_ever(tmp_path: Path) -> None:
    bans = Bans(tmp_path / "bans.json", FakeClock())
    bans.ban(1e12)
    assert bans.left_s() == MAX_BAN_S
