# Copied from shared/errors.py by scripts/wire.py: change that one.
"""Every error of the fleet, named by how we react to it.

CryptoCollectorException
├── ConfigurationError            stop: exit code 78, one line, no traceback
├── ExchangeError                 reject: the venue said no, asking again changes nothing
│   ├── NetworkError              retry with back-off
│   ├── BlockedError              wait for minutes: our address or place is not welcome
│   ├── RateLimitedError          wait until `retry_after_s` has passed
│   ├── NotSupportedError         reject: the venue has no such thing
│   ├── SymbolNotListedError      skip the symbol on this venue
│   ├── BookDesyncError           resync that book
│   └── CircuitBreakerOpenError   wait: the breaker of the venue is open
├── BrokerError                   retry: RabbitMQ is away or refuses
├── StoreError                    retry: Redis or a database is away or refuses
├── DataProcessingError           reject: quarantine the message, go on
├── CommandError                  reject: answered to the client, nothing changed
├── ErrandError                   reject: told in the agent's heartbeat, the next errand follows
└── RetryExhaustedError           give up this cycle, the next one starts afresh
"""


class CryptoCollectorException(Exception):
    """Base of every error that the fleet raises on purpose."""


class ConfigurationError(CryptoCollectorException):
    """Raised when the configuration, the environment or the credentials can not work."""


class ExchangeError(CryptoCollectorException):
    """Raised when a venue answered with an error that a repetition does not mend."""


class NetworkError(ExchangeError):
    """Raised when a venue could not be reached, timed out or answered garbage."""


class NotSentError(NetworkError):
    """A frame that was never sent: the venue knows nothing of it."""


class BlockedError(ExchangeError):
    """Raised when a venue, or what stands before it, turns our address or place away (403, 451)."""


class RateLimitedError(ExchangeError):
    """Raised when a venue refused a request for its rate; wait `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotSupportedError(ExchangeError):
    """Raised when a venue, or ccxt for it, does not have what is asked for."""


class SymbolNotListedError(ExchangeError):
    """Raised when a venue does not list a symbol."""


class BookDesyncError(ExchangeError):
    """Raised when an order book can not be trusted any more: sequence gap, wrong checksum."""


class CircuitBreakerOpenError(ExchangeError):
    """Raised when a call is not made because its circuit breaker is open."""


class BrokerError(CryptoCollectorException):
    """Raised when RabbitMQ can not be reached or refused an operation."""


class StoreError(CryptoCollectorException):
    """Raised when Redis or a database can not be reached or refused an operation."""


class DataProcessingError(CryptoCollectorException):
    """Raised when a frame, body or message does not validate."""


class CommandError(CryptoCollectorException):
    """Raised when a control command is refused; `code` is one of the wire's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ErrandError(CryptoCollectorException):
    """Raised when a host's agent can not do what it was asked to."""


class RetryExhaustedError(CryptoCollectorException):
    """Raised when a call failed as often as its retry policy allows."""
