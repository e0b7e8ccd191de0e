"""supervisord's XML-RPC over its unix socket, with a deadline."""

import http.client
import socket
from typing import Any
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, ServerProxy

#: For each read and write. supervisord answers all that we ask in milliseconds, or not at all.
_SOCKET_S = 4.0
#: The code of the fault with which it answers everything while it shuts down.
SHUTTING_DOWN = 6
#: What `call` raises where it does not answer, or nothing that makes sense; a Fault is one too,
#: where it says no.
UNANSWERED = (OSError, http.client.HTTPException, Error, ExpatError)


def call(path: str, method: str, *arguments: object) -> Any:
    """Ask the supervisord at a socket. Blocks; raises Fault and UNANSWERED."""
    from supervisor.xmlrpc import SupervisorTransport  # imports a tenth of a second

    transport = SupervisorTransport(None, None, f"unix://{path}")
    # Its own connection knows no deadline.
    transport._get_connection = lambda: _Connection(path)
    try:
        api = ServerProxy("http://127.0.0.1", transport=transport)
        return getattr(api.supervisor, method)(*arguments)
    finally:
        transport.close()


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SOCKET_S)
        self.sock.connect(self._path)
