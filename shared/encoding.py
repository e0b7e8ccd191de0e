"""JSON as bytes that are kept: messages that wait for a confirm, answers that are remembered."""

import orjson


def encoded(content: object) -> bytes:
    """As `orjson.dumps`, in a block of its own size.

    orjson leaves its result in the buffer that it was written to, 4 KiB at least since 3.12: a
    trade of 220 bytes holds 4,104 for as long as it is in flight, and ten thousand trades that are
    brought back at once hold 41 MB, between which what lives long then lies. Joining copies, in
    about 50 ns.
    """
    return b"".join((orjson.dumps(content), b""))
