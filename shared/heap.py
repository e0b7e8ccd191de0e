"""The heap of a process that lives for months: what it gives back, what nobody looks through."""

import asyncio
import ctypes
import gc

#: Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 128 * 1024
_TRIM_S = 60.0


def give_back() -> None:
    """Have freed memory go back to the system. Before the first thread is started.

    glibc raises the size from which a block is mapped on its own with each such block that is
    freed: then answers of a megabyte, of which several are read at once now and then, leave holes
    among what lives long. And each thread gets a heap of its own, which nobody trims. After thirty
    cuts a collector of htx had 93 MB, and 88 MB with this. Other allocators are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, _LARGE_BYTES)


async def trimmed() -> None:
    """Give back what is free in between, once a minute, for ever, in a thread: 0.1-2.4 ms, and
    beside `give_back` another 0.6 MB (binance) to 1.8 MB (htx) of a collector after thirty cuts.
    Elsewhere than with glibc nothing is done."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(_TRIM_S)
        await asyncio.to_thread(trim, 0)


def settle() -> None:
    """Leave what exists now to its reference counts; cycles made later are found as before.

    Else each full collection walks through all that was imported and everything ccxt knows of a
    venue: 50-90 ms every dozen seconds in which a collector reads nothing, measured with ten
    symbols; 2 ms afterwards.

    Once at the start: whatever is alive then and dies as a cycle stays for ever, and later on that
    would be connections, a megabyte in some minutes of cuts.
    """
    gc.collect()
    gc.freeze()
