"""The long-lived part of the heap, kept out of the cyclic garbage collector's way."""

import gc


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
