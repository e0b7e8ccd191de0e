"""The circuit breakers of a venue's REST: of the whole venue, and of each sort of endpoint, since a
venue may fail in its history and serve prices all the while."""

from collections.abc import Callable
from contextvars import ContextVar
from math import inf

from shared.breaker import BreakerPolicy, CircuitBreaker, CircuitBreakerManager, CircuitBreakerState
from shared.clock import Clock
from shared.endpoints import Endpoint
from shared.orders import BreakerOrder

#: Who is not welcome is not so for long: 403 and 451 are about our address or place.
BLOCKED_S = 300.0
MAINTENANCE_S = 60.0


#: More than one endpoint has to fail, or hardly anything succeed.
_OF_ALL = BreakerPolicy(failure_rate=0.7)


#: What this task's request is about.
ENDPOINT = ContextVar("endpoint", default=Endpoint.PRICES)


class VenueBreakers:
    """A request has to pass that of the venue and that of its endpoint, and counts for both.

    A venue that is left alone is tried by one request, whatever that is about: its failures say
    nothing of single endpoints, whose breakers begin anew.
    """

    def __init__(self, venue: str, clock: Clock) -> None:
        #: Told of each change: of what (an endpoint's sort, or ""), the state, and why.
        self.on_change: Callable[[str, CircuitBreakerState, str], None] = lambda *_: None
        self.manager = CircuitBreakerManager(clock)
        self.whole = self._make(f"exchange_{venue}", "")
        self._each = {
            endpoint: self._make(f"exchange_{venue}.{endpoint.value}", endpoint.value)
            for endpoint in Endpoint
        }

    @property
    def state(self) -> CircuitBreakerState:
        """Of the venue as a whole."""
        return self.whole.state

    def of(self, endpoint: Endpoint) -> CircuitBreaker:
        return self._each[endpoint]

    def check(self) -> None:
        """Raises CircuitBreakerOpenError where this task's request has no business now."""
        self.whole.check()
        self._each[ENDPOINT.get()].check()

    def admit(self) -> None:
        """The same, right before the request, which then has to end as one of the next three."""
        self.check()
        self.whole.admit()
        self._each[ENDPOINT.get()].admit()

    def succeeded(self) -> None:
        self.whole.succeeded()
        self._each[ENDPOINT.get()].succeeded()

    def failed(self) -> None:
        self._each[ENDPOINT.get()].failed()
        self.whole.failed()

    def dropped(self) -> None:
        """The request was given up by who wanted it."""
        self._each[ENDPOINT.get()].dropped()
        self.whole.dropped()

    def ended_by(self, error: Exception) -> None:
        self._each[ENDPOINT.get()].ended_by(error)
        self.whole.ended_by(error)

    def open_for(self, seconds: float, reason: str) -> None:
        """No request to the venue for so long."""
        self.whole.open_for(seconds, reason)

    def obey(self, order: BreakerOrder) -> None:
        """Open or close one by hand."""
        breaker = self.whole if order.endpoint is None else self._each[order.endpoint]
        if order.action == "trip":
            breaker.trip(order.seconds or inf)
        else:
            breaker.reset()

    def as_dict(self) -> dict[str, str]:
        """For heartbeats: the endpoints that are left alone while the venue is not."""
        return {e.value: b.state for e, b in self._each.items() if b.state != "CLOSED"}

    def _make(self, name: str, what: str) -> CircuitBreaker:
        policy = BreakerPolicy() if what else _OF_ALL
        breaker = self.manager.create_circuit_breaker(name, policy)
        breaker.on_change = lambda state, reason: self._changed(what, state, reason)
        return breaker

    def _changed(self, what: str, state: CircuitBreakerState, reason: str) -> None:
        if not what and state == "OPEN":
            for breaker in self._each.values():
                breaker.forget()
        self.on_change(what, state, reason)
