from pathlib import Path

import pytest

from shared.errands import Errand
from shared.host_exchanges import (
    HostExchanges,
    exchanges_path,
    read_host_exchanges,
    write_host_exchanges,
)


def test_without_a_file_the_config_alone_counts(tmp_path: Path) -> None:
    here = read_host_exchanges(exchanges_path(tmp_path))
    assert here == HostExchanges()
    assert here.collects("gate", named=True) and not here.collects("gate", named=False)


def test_what_was_added_or_left_wins_over_the_config(tmp_path: Path) -> None:
    path = exchanges_path(tmp_path)
    write_host_exchanges(path, HostExchanges().with_added("okx").with_left("gate"))
    here = read_host_exchanges(path)
    assert here.collects("okx", named=False)
    assert not here.collects("gate", named=True)
    assert here.collects("htx", named=True)


def test_adding_and_leaving_undo_each_other() -> None:
    both = HostExchanges().with_added("okx").with_added("okx").with_left("okx")
    assert both == HostExchanges(added=(), left=("okx",))
    assert both.with_added("okx") == HostExchanges(added=("okx",), left=())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"added": "okx"}', b'{"added": [1]}', b"\xff\xfe"],
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    path = exchanges_path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_host_exchanges(path) == HostExchanges()


def test_what_can_not_be_read_counts_as_empty(tmp_path: Path) -> None:
    exchanges_path(tmp_path).mkdir(parents=True)
    assert read_host_exchanges(exchanges_path(tmp_path)) == HostExchanges()


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "restart"},
        {"action": "restart", "exchange": "gate"},
        {"action": "add"},
        {"action": "leave", "worker": "gate-0@a"},
        {"action": "add", "exchange": "gateio"},
        {"action": "add", "exchange": "../../etc"},
        {"action": "explode", "worker": "gate-0@a"},
        {"action": "restart", "worker": ""},
        {"action": "restart", "worker": "gate-0@a", "id": ""},
        {"action": "restart", "worker": "gate-0@a", "id": "x" * 256},
    ],
)
def test_an_errand_that_does_not_say_of_what_is_none(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        Errand.model_validate({"id": "1", "sent_at": 1} | fields)


def test_an_errand_travels_as_json() -> None:
    errand = Errand(id="1", action="restart", worker="gate-0@a", sent_at=5)
    assert Errand.model_validate_json(errand.model_dump_json()) == errand
    assert errand.of == "gate-0@a"
    assert Errand(id="1", action="leave", exchange="gate", sent_at=5).of == "gate"
