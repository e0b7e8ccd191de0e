"""State files that are replaced all the time."""

import sys
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.files import read_json, write_json
from shared.vitals import Vitals


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    for value in ({"a": 1}, {"b": [2]}):
        write_json(path, value, durable=False)
        assert read_json(path) == value
    assert [found.name for found in path.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_what_is_no_json_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "state.json").write_bytes(content)
    assert read_json(tmp_path / "state.json") is None


async def test_what_is_done_again_and_again_makes_no_new_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter's table of interned strings keeps a place for each that ever was."""
    path, vitals, intern = tmp_path / "state.json", Vitals(SystemClock()), sys.intern
    kept: list[str] = []

    def work() -> None:
        write_json(path, {})
        vitals.read()

    def spy(name: str) -> str:
        kept.append(name)
        return intern(name)

    monkeypatch.setattr(sys, "intern", spy)
    work()
    kept.clear()
    work()
    assert set(kept) <= set(path.parts)
