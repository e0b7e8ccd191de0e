"""Where a recording takes from: ccxt's websocket connections, and the requests of its session."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp import WSMessage, WSMsgType
from yarl import URL

from workers.collector.recording.tape import Tape, Wire
from workers.collector.rest_trace import Passage

#: Headers of an answer that say something of the data: its time, its form, what the budget is.
_HEADERS = (
    "content-type",
    "date",
    "ratelimit",
    "retry-after",
    "x-bapi-limit",
    "x-gate-ratelimit",
    "x-in-time",
    "x-mbx-used-weight",
    "x-out-time",
    "x-ratelimit",
)
#: Parameters that name or prove an account.
_PRIVATE = ("accesskeyid", "apikey", "api_key", "listenkey", "passphrase", "sign", "signature")
_HIDDEN = "***"


class Tap:
    """Puts what passes on the tape, and changes nothing of it."""

    def __init__(self, tape: Tape, secrets: Iterable[str]) -> None:
        self._tape = tape
        self._secrets = tuple(secret for secret in secrets if secret)
        self._numbers = itertools.count(1)

    def attach(self, client: Any) -> None:
        """Listen to a ccxt websocket client, outermost: before it decodes anything."""
        wire = Wire(next(self._numbers), self._clean(URL(client.url)))
        client.handle_message = self._receiving(client.handle_message, wire)
        self._follow_life(client, wire)

    def on_body(self, passage: Passage, method: str, url: URL, body: bytes) -> None:
        """See `workers.collector.rest_trace.OnBody`."""
        facts = {
            "url": self._clean(url),
            "method": method,
            "status": passage.status,
            "asked": passage.sent_ns,
            "headers": _telling(passage.headers),
        }
        self._tape.body(body, facts)

    def _receiving(self, handle: Callable[[Any], None], wire: Wire) -> Callable[[WSMessage], None]:
        frame, text, binary = self._tape.frame, WSMsgType.TEXT, WSMsgType.BINARY

        def receive(message: WSMessage) -> None:
            kind = message.type
            if kind is text or kind is binary:
                frame(wire, "recv", message.data)
            handle(message)

        return receive

    def _follow_life(self, client: Any, wire: Wire) -> None:
        """Of one connection: ccxt makes a new client for each."""
        tape, open_ = self._tape, [False]
        on_connected, on_close = client.on_connected_callback, client.on_close_callback
        on_error, aiohttp_close = client.on_error_callback, client.aiohttp_close

        def connected(*arguments: Any) -> Any:
            open_[0] = True
            tape.event(wire, "open")
            connection = client.connection
            connection.send_str = self._sending(connection.send_str, wire)
            return on_connected(*arguments)

        def closed(**facts: Any) -> None:
            if open_[0]:
                open_[0] = False
                tape.event(wire, "close", **facts)

        def closed_by_venue(client: Any, code: Any) -> Any:
            closed(code=code, by="venue")
            return on_close(client, code)

        def failed(client: Any, error: Any) -> Any:
            closed(by="error", reason=str(error)[:200])
            return on_error(client, error)

        async def closed_by_us() -> None:
            closed(by="us")
            await aiohttp_close()

        client.on_connected_callback, client.on_close_callback = connected, closed_by_venue
        client.on_error_callback, client.aiohttp_close = failed, closed_by_us

    def _sending(self, send: Callable[..., Any], wire: Wire) -> Callable[..., Any]:
        async def send_str(data: str, *more: Any) -> Any:
            self._tape.frame(wire, "send", self._hidden(data))
            return await send(data, *more)

        return send_str

    def _clean(self, url: URL) -> str:
        """The address without what is private in it."""
        if url.user or url.password:
            url = url.with_user(None)
        private = {name for name in url.query if name.lower() in _PRIVATE}
        if private:
            url = url.update_query(dict.fromkeys(private, _HIDDEN))
        return self._hidden(str(url))

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text


def _telling(headers: Mapping[str, str]) -> dict[str, str]:
    # aiohttp's names are of a type of its own, which JSON does not take.
    return {
        str(name): value for name, value in headers.items() if name.lower().startswith(_HEADERS)
    }
