"""Who collects what: the symbols of a venue shared among its workers. Pure.

Pure rendezvous hashing is even only on average: with 40 symbols and two workers 26 to 14 is nothing
rare. So owners stay what they are, what is new goes to who has least, and symbols move only while
the shares differ by more than a tenth; rendezvous weights say which of them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence


def assign(
    symbols: Sequence[str], workers: Sequence[str], before: Mapping[str, str]
) -> dict[str, str]:
    """The owner of each symbol, in their order; `before` is who owned them. Nobody without
    workers. The same everywhere: it depends on what is given alone."""
    if not workers:
        return {}
    known = frozenset(workers)
    owners = {s: before[s] for s in symbols if before.get(s) in known}
    shares = Counter(dict.fromkeys(workers, 0))
    shares.update(owners.values())
    for symbol in symbols:
        if symbol not in owners:
            owners[symbol] = owner = min(workers, key=lambda w: (shares[w], -weight(w, symbol)))
            shares[owner] += 1
    _level(owners, shares, slack=max(1, len(symbols) // (10 * len(workers))))
    return {symbol: owners[symbol] for symbol in symbols}


def weight(worker: str, symbol: str) -> int:
    """The rendezvous weight: the same in every process and run."""
    digest = hashlib.blake2b(f"{worker}\n{symbol}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def _level(owners: dict[str, str], shares: "Counter[str]", slack: int) -> None:
    """Move symbols from who has most to who has least, until they differ by `slack` at most."""
    wishes: dict[str, list[str]] = {}
    while True:
        most = max(sorted(shares), key=shares.__getitem__)
        least = min(sorted(shares), key=shares.__getitem__)
        if shares[most] - shares[least] <= slack:
            return
        if least not in wishes:
            wishes[least] = sorted(owners, key=lambda s: (weight(least, s), s))
        symbol = next(_popped(wishes[least], owners, most))
        owners[symbol] = least
        shares[most] -= 1
        shares[least] += 1


def _popped(wishes: list[str], owners: Mapping[str, str], owner: str) -> Iterator[str]:
    """From the end: the symbols of an owner, in the order in which they are wished for."""
    for place in range(len(wishes) - 1, -1, -1):
        if owners[wishes[place]] == owner:
            yield wishes.pop(place)
