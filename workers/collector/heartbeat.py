"""What a collector says of itself, put together from its parts."""

from typing import TYPE_CHECKING

from shared.kinds import FUTURES
from shared.status import Heartbeat, MarketList, Statistics
from workers.collector.score import health_of

if TYPE_CHECKING:
    from workers.collector.collector import Collector

#: Names of symbols that the venue does not list, in a heartbeat at most.
_UNLISTED_TOLD = 10


def heartbeat(of: "Collector") -> Heartbeat:
    """How the collector is just now."""
    counts = of.outbox.ledger[FUTURES.name]
    return Heartbeat(
        role="collector",
        exchange=of.exchange,
        worker=of.worker,
        epoch=of.epoch,
        state=of.state,
        sent_at=of.clock.now_ms(),
        revision=of.desired.revision,
        mailbox=of.desired.mailbox,
        egress=of.egress,
        statistics=Statistics(
            success=of.cycle.success,
            errors=of.cycle.errors,
            published=counts.confirmed,
            failed=counts.dropped.total(),
        ),
        details={
            "process": of.vitals.read().as_dict(),
            "symbols": len(of.intake.parts),
            "unlisted": of.listings.unlisted[:_UNLISTED_TOLD],
            "kinds": of.outbox.ledger.as_dict(),
            "republished": of.outbox.republished,
            "continuity": of.continuity.counts(),
            **({"requests": told} if (told := of.requests.as_dict()) else {}),
            "health": health_of(of),
            **({"unwell": told} if (told := of.monitor.as_dict()) else {}),
            "set_aside": of.quarantine.total,
            "unwanted": of.intake.unwanted,
            "dataless": of.intake.dataless,
            "book_resyncs": of.books.resyncs,
            "rest": of.client.breakers.state,
            **({"breakers": states} if (states := of.client.breakers.as_dict()) else {}),
            "rest_failures": of.bulk.failures,
            "connections": {
                "reused": of.client.rest_trace.reused,
                "made": of.client.rest_trace.connected,
            },
            "candles": of.candles.counts,
            "clock": of.client.venue_clock.as_dict(),
            **({"tasks": tasks} if (tasks := of.tasks.counts()) else {}),
            **({"recording": of.recorder.counts()} if of.recorder else {}),
        },
    )


def market_list(of: "Collector") -> MarketList:
    """What its venue lists."""
    return MarketList(
        exchange=of.exchange,
        worker=of.worker,
        symbols=list(of.client.markets),
        methods=of.client.methods(),
        volumes=of.bulk.turnover(),
    )
