"""Faults of whole connections."""

import asyncio
from typing import TYPE_CHECKING, Literal

from aiohttp import web
from pydantic import Field

from simulator.faults.fault import Counted, Fault, Refused, Wish

if TYPE_CHECKING:
    from simulator.session import Session


class OneOrAll(Wish):
    connection: int | None = None
    """Its number in the truth log (`conn`); all, where it is left out."""


class ConnectionFault(Fault):
    wishes = OneOrAll

    def chosen(self) -> list["Session"]:
        """Raises Refused where there is no such connection."""
        assert isinstance(self.wish, OneOrAll)
        number = self.wish.connection
        if number is not None and number not in self.venue.sessions:
            raise Refused(f"{self.venue.name} has no connection {number}")
        return [s for s in self.venue.sessions.values() if number in (None, s.number)]

    def strike(self, session: "Session") -> None:
        raise NotImplementedError

    def start(self) -> None:
        sessions = self.chosen()
        self.hit = [{"conn": session.number, "path": session.path} for session in sessions]
        for session in sessions:
            self.strike(session)


class Cut(ConnectionFault):
    name = "cut"
    summary = "ends connections with a TCP reset"

    def strike(self, session: "Session") -> None:
        session.reset()
        self.apply(conn=session.number)

    def start(self) -> None:
        super().start()
        self.over = True


class CloseWish(OneOrAll):
    code: Literal[1000, 1001, 1006, 1008, 1012] = 1001


class Close(ConnectionFault):
    name = "close"
    summary = "closes websockets with a code"
    wishes = CloseWish

    def strike(self, session: "Session") -> None:
        assert isinstance(self.wish, CloseWish)
        session.say_close(self.wish.code)
        self.apply(conn=session.number, code=self.wish.code)

    def start(self) -> None:
        super().start()
        self.over = True


class HalfOpenWish(OneOrAll):
    all: bool = False
    """Connections opened later as well."""


class HalfOpen(ConnectionFault):
    """Frames of that time are lost; afterwards the connection goes on where the market is."""

    name = "half_open"
    summary = "keeps connections open, but neither reads nor writes on them"
    wishes = HalfOpenWish

    def start(self) -> None:
        self._frozen: list[Session] = []
        super().start()

    def strike(self, session: "Session") -> None:
        session.freeze()
        self._frozen.append(session)
        self.apply(conn=session.number)

    def opened(self, session: "Session") -> None:
        if getattr(self.wish, "all", False):
            self.strike(session)

    def finish(self) -> None:
        for session in self._frozen:
            session.thaw()


class RefuseWish(Counted):
    mode: Literal["status", "hang"] = "status"
    status: int = Field(503, ge=400, le=599)


class Refuse(Fault):
    name = "refuse"
    summary = "refuses websocket upgrades with a status, or leaves them without an answer"
    wishes = RefuseWish

    def start(self) -> None:
        self._healed = asyncio.Event()

    def finish(self) -> None:
        self._healed.set()

    async def answer(self, path: str) -> web.Response:
        assert isinstance(self.wish, RefuseWish)
        self.apply(path=path, mode=self.wish.mode)
        if self.wish.mode == "hang":
            await self._healed.wait()
        return web.Response(status=self.wish.status)
