"""Venues give up clients that have fallen silent."""

from functools import cached_property

import pytest
from aiohttp import web

from simulator.happening import Rates
from simulator.session import Session
from simulator.truth import Truth
from simulator.universe import instruments
from simulator.venue import open_venue
from simulator.venues import DIALECTS


class Counted(Session):
    ended: str | None = None

    @cached_property
    def closed(self) -> list[int]:
        return []

    def abort(self, reason: str) -> None:
        self.ended = reason

    def say_close(self, code: int) -> None:
        self.closed.append(code)


def session(venue: str) -> Counted:
    opened = open_venue(DIALECTS[venue], instruments(venue, 1), 7, Rates(), Truth())
    return Counted(opened, 1, "/", web.WebSocketResponse())


def beat(client: Counted, seconds: int) -> None:
    start = int(client.opened_ms) // 5000 * 5
    for second in range(start, start + seconds):
        client.venue.dialect.heartbeat(client, second * 1000)


async def test_htx_closes_after_two_missed_pongs() -> None:
    client = session("htx")
    beat(client, 10)
    assert client.ended is None
    beat(client, 1)
    assert client.ended == "no pong"


async def test_htx_keeps_a_client_that_answers() -> None:
    client = session("htx")
    for _ in range(10):
        beat(client, 5)
        client.venue.dialect.receive(client, '{"pong": 1}')
    assert client.ended is None


async def test_coinbaseinternational_closes_on_who_is_silent_and_then_ends_it() -> None:
    client = session("coinbaseinternational")
    beat(client, 29)
    assert client.closed == []
    beat(client, 40)
    assert (client.closed, client.ended) == ([1011], "silent")


@pytest.mark.parametrize(("seconds", "ended"), [(100, None), (140, "no ping")])
async def test_bitget_wants_a_ping_in_two_minutes(seconds: int, ended: str | None) -> None:
    client = session("bitget")
    beat(client, seconds)
    assert client.ended == ended
