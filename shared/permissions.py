"""Who may do what on the broker: roles, as expressions over names and routing keys.

RabbitMQ asks for *configure* to declare and delete, for *write* to publish and on the queue of a
binding, for *read* to consume and on the exchange of a binding. On topic exchanges it also asks
whether a routing key may be published or bound; a binding key is compared as the text that it is,
so `#` and `*` have to match as well. Declaring passively is free to all.

All expressions derive from the topology, the table of kinds and the venues' names on the wire.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.kinds import KINDS
from shared.symbols import encode_word
from shared.topology import (
    BATCHES,
    COMMANDS,
    CONTROL_QUEUE,
    MAILBOX,
    REGISTRY_EXCHANGE,
    REGISTRY_STREAM,
    REPLIES,
    REQUESTS,
    RESPONSES,
    STATUS,
    SYMBOLS,
    Topology,
    batch_key,
    bulk_key,
    fact_key,
    heartbeat_key,
    holdings_key,
    markets_key,
    request_queue,
    response_key,
)

#: As expressions: no name and no key but the empty one, and any.
NOTHING, ANY = "^$", ".*"
#: What `shared.broker.own_queue` makes names of, after `futures_{role}.`.
_OWN = "[a-zA-Z0-9_.:@-]+"
_WORD = "[^.]+"


@dataclass(frozen=True, slots=True)
class Topic:
    """Which keys a role may publish (`write`) and bind (`read`) on a topic exchange."""

    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Role:
    """What a user may do; the expressions are anchored, as RabbitMQ searches anywhere else."""

    name: str  # `coordinator`, `collector-{exchange}`, …
    purpose: str  # one line for people
    service: bool  # a process of the fleet itself
    configure: str
    write: str
    read: str
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True)
class _Grant:
    """A role in our own words: what it does on which exchange, with which keys."""

    purpose: str
    own: tuple[str, ...]  # its queues are named `futures_{one of these}.…`
    publishes: Mapping[str, Sequence[str]] = field(default_factory=dict)  # keys by exchange
    binds: Mapping[str, Sequence[str]] = field(default_factory=dict)  # likewise
    consumes: tuple[str, ...] = ()  # shared queues
    service: bool = False


def roles(topology: Topology, exchanges: Sequence[str]) -> tuple[Role, ...]:
    """The roles of a fleet: one collector's for each of `exchanges` (wire names), and the others.

    A process that is new gets a grant here, and a role of its own by that.
    """
    data = topology.exchanges[0].name
    grants = {
        "coordinator": _coordinator(),
        **{f"collector-{exchange}": _collector(data, exchange) for exchange in exchanges},
        "agent": _agent(),
        "operator": _operator(data),
        "reader": _reader(data),
        "monitor": _monitor(),
    }
    return tuple(_role(name, grant, topology) for name, grant in grants.items())


def _coordinator() -> _Grant:
    return _Grant(
        purpose="decides what is collected, answers commands, writes the registry",
        own=("coordinator",),
        publishes={
            RESPONSES: [re.escape(response_key("")) + "[a-z_]+"],
            SYMBOLS: [ANY],
            REGISTRY_EXCHANGE: [ANY],
            STATUS: [re.escape(heartbeat_key("coordinator", None, "")) + _WORD],
            MAILBOX: [ANY],  # whoever is asked, told or pinged
            COMMANDS: [ANY],  # the tick that makes the active one claim
        },
        binds={STATUS: [ANY], MAILBOX: [ANY]},
        consumes=(CONTROL_QUEUE, REGISTRY_STREAM),
        service=True,
    )


def _collector(data: str, exchange: str) -> _Grant:
    """May speak for no venue but its own."""
    word = re.escape(encode_word(exchange))
    facts = sorted({re.escape(fact_key(kind, exchange, "")) for kind in KINDS.values()})
    requests = request_queue(exchange).name
    batches = sorted({re.escape(batch_key(kind, exchange)) for kind in KINDS.values()})
    told = (
        heartbeat_key("collector", exchange, ""),
        markets_key(exchange, ""),
        holdings_key(exchange, ""),
    )
    bulk = re.escape(bulk_key(exchange, "")) + _WORD
    return _Grant(
        purpose=f"collects {exchange}: publishes its data, tells of itself",
        own=("collector",),
        publishes={
            # A symbol, a timeframe after it, a name of another sort in its place.
            data: [
                rf"({'|'.join(facts)})(\.{_WORD}){{1,2}}",
                rf"task\.{word}\.{_WORD}\.{_WORD}",
            ],
            BATCHES: [*batches, bulk],
            STATUS: [re.escape(key) + _WORD for key in told],
            REPLIES: [ANY],  # who asks for something of the venue
        },
        binds={
            SYMBOLS: [ANY],
            MAILBOX: [ANY],
            STATUS: [re.escape(holdings_key(exchange, "")) + _WORD],
            BATCHES: [bulk],
        },
        consumes=(requests,),
        service=True,
    )


def _agent() -> _Grant:
    return _Grant(
        purpose="starts and stops programs of its host, as coordinators ask it to",
        own=("agent",),
        publishes={STATUS: [re.escape(heartbeat_key("agent", None, "")) + _WORD]},
        binds={MAILBOX: [ANY]},
        service=True,
    )


def _operator(data: str) -> _Grant:
    return _Grant(
        purpose="sends commands, reads their answers, status and data",
        own=("client",),
        publishes={COMMANDS: [ANY], REQUESTS: [ANY]},
        binds={RESPONSES: [ANY], STATUS: [ANY], data: [ANY], MAILBOX: [ANY], REPLIES: [ANY]},
    )


def _reader(data: str) -> _Grant:
    return _Grant(
        purpose="reads market data, nothing else",
        own=("reader",),
        binds={data: [ANY], BATCHES: [ANY]},
    )


def _monitor() -> _Grant:
    # Reads as `fleet tail` does, whose queues are a client's.
    return _Grant(purpose="reads status", own=("monitor", "client"), binds={STATUS: [ANY]})


def _role(name: str, grant: _Grant, topology: Topology) -> Role:
    own = rf"futures_{_one_of(grant.own)}\.{_OWN}"
    topics = tuple(
        Topic(
            exchange.name,
            _anchored(grant.publishes.get(exchange.name, ())),
            _anchored(grant.binds.get(exchange.name, ())),
        )
        for exchange in topology.exchanges
        if exchange.type == "topic" and exchange.name in {*grant.publishes, *grant.binds}
    )
    return Role(
        name=name,
        purpose=grant.purpose,
        service=grant.service,
        configure=_anchored([own]),
        write=_anchored([*map(re.escape, grant.publishes), own]),
        read=_anchored([*map(re.escape, (*grant.binds, *grant.consumes)), own]),
        topics=topics,
    )


def _anchored(alternatives: Sequence[str]) -> str:
    if not alternatives:
        return NOTHING
    return ANY if ANY in alternatives else f"^{_one_of(alternatives)}$"


def _one_of(alternatives: Sequence[str]) -> str:
    return alternatives[0] if len(alternatives) == 1 else f"({'|'.join(alternatives)})"
