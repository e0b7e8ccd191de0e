"""Faults of REST."""

import asyncio
from email.utils import formatdate
from time import time
from typing import ClassVar, Literal

from aiohttp import web
from pydantic import Field

from simulator.dialect import Reply
from simulator.faults.fault import Counted, Fault

DRIPS = 20
"""Pieces that a slow body is sent in."""


class RequestWish(Counted):
    path: str | None = None
    """Only requests whose path (below the venue's name) holds this."""


class RequestFault(Fault):
    wishes = RequestWish

    def matches(self, path: str) -> bool:
        assert isinstance(self.wish, RequestWish)
        return not self.over and (self.wish.path or "") in path

    def reply(self, usual: Reply) -> Reply:
        return usual

    async def send(self, _request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        return web.Response(
            status=reply.status,
            body=reply.body,
            headers=reply.headers,
            content_type=reply.content_type,
        )


class RateLimitedWish(RequestWish):
    retry_after: float = Field(5, gt=0, le=86_400)
    form: Literal["seconds", "date", "none"] = "seconds"
    status: int | None = Field(None, ge=200, le=599)
    """Instead of the one that the venue uses (429, but bybit 200)."""


class RateLimited(RequestFault):
    name = "rate_limited"
    summary = "answers REST as if too much had been asked, with Retry-After"
    wishes = RateLimitedWish

    def reply(self, _usual: Reply) -> Reply:
        assert isinstance(self.wish, RateLimitedWish)
        wait_s = max(1, round(self.wish.retry_after))
        said = self.venue.dialect.too_many(wait_s).reply()
        headers = retry_after(self.wish.form, wait_s)
        return Reply(self.wish.status or said.status, said.body, headers, said.content_type)


def retry_after(form: str, wait_s: int) -> dict[str, str]:
    if form == "none":
        return {}
    text = formatdate(time() + wait_s, usegmt=True) if form == "date" else str(wait_s)
    return {"Retry-After": text}


class BannedWish(RequestWish):
    seconds: float = Field(60, gt=0, le=86_400)
    """How long the address is banned; the ban's end is said in the answer."""
    form: Literal["seconds", "date", "none"] = "seconds"


class Banned(RequestFault):
    name = "banned"
    summary = "answers REST as to an address that is banned for some time"
    wishes = BannedWish

    def reply(self, _usual: Reply) -> Reply:
        assert isinstance(self.wish, BannedWish)
        until_s = self.started_s + self.wish.seconds
        said = self.venue.dialect.banned(int(until_s * 1000 + self.venue.skew_ms)).reply()
        headers = retry_after(self.wish.form, max(1, round(until_s - time())))
        return Reply(said.status, said.body, headers, said.content_type)


class ServerErrorsWish(RequestWish):
    status: int = Field(502, ge=500, le=599)


class ServerErrors(RequestFault):
    name = "server_errors"
    summary = "answers REST with a 5xx of the servers in front of the venue"
    wishes = ServerErrorsWish

    def reply(self, _usual: Reply) -> Reply:
        assert isinstance(self.wish, ServerErrorsWish)
        status = self.wish.status
        body = f"<html><body><center><h1>{status}</h1></center></body></html>"
        return Reply(status, body.encode(), content_type="text/html")


class Maintenance(RequestFault):
    name = "maintenance"
    summary = "answers REST as the venue does during maintenance"

    def reply(self, _usual: Reply) -> Reply:
        return self.venue.dialect.maintenance().reply()


class SlowBodyWish(RequestWish):
    over: float = Field(10, gt=0, le=3600)
    """Seconds that one body takes."""


class SlowBody(RequestFault):
    name = "slow_body"
    summary = "sends the head of a REST answer at once and drips its body"
    wishes = SlowBodyWish

    async def send(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        assert isinstance(self.wish, SlowBodyWish)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.content_type, response.content_length = reply.content_type, len(reply.body)
        await response.prepare(request)
        size = max(1, -(-len(reply.body) // DRIPS))
        for start in range(0, len(reply.body), size):
            await asyncio.sleep(self.wish.over / DRIPS)
            try:
                await response.write(reply.body[start : start + size])
            except ConnectionResetError:  # the client has given up
                break
        return response


class InvalidBodyWish(RequestWish):
    form: Literal["html", "truncated"] = "html"


class InvalidBody(RequestFault):
    name = "invalid_body"
    summary = "answers REST with status 200 and no JSON: HTML, or half of the answer"
    wishes = InvalidBodyWish
    PAGE: ClassVar[bytes] = b"<!DOCTYPE html><html><body>Checking your browser</body></html>"

    def reply(self, usual: Reply) -> Reply:
        assert isinstance(self.wish, InvalidBodyWish)
        if self.wish.form == "html":
            return Reply(200, self.PAGE, content_type="text/html")
        cut = self.rng.randint(1, max(1, len(usual.body) - 1))
        return Reply(200, usual.body[:cut], usual.headers, usual.content_type)
