"""Free TCP ports on loopback."""

import random
import socket

LOOPBACK = "127.0.0.1"
#: Below what kernels hand out to outgoing connections, so that none of those takes one of ours
#: between the choice and the bind; with room above for the ports that rabbitmqctl derives.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Distinct ports which nothing listens on. Chosen at random: two fleets that start at the same
    moment do not choose the same. Raises OSError where no port can be bound at all."""
    candidates = random.SystemRandom().sample(_RANGE, len(_RANGE))
    found: list[int] = []
    for port in candidates:
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free port on 127.0.0.1")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose old connections still linger counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def listens(host: str, port: int, timeout_s: float = 1.0) -> bool:
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False
