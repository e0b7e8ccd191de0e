"""What can go wrong for a user of the library, named by what to do about it.

FleetError
├── CommandError       the fleet refused a command; `code` says why, nothing was changed
├── NoAnswerError      nobody answered in time; the command may still be done
├── CredentialsError   the broker refuses user and password, and never took them
└── BodyError          a message's body is not what its kind has
"""

from typing import Any


class FleetError(Exception):
    """Base of every error that the library raises on purpose."""


class CommandError(FleetError):
    """Raised when the fleet refuses a command. `code` is one of the wire's error codes, `data` what
    the answer held beside it."""

    def __init__(self, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.data = data or {}

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NoAnswerError(FleetError, TimeoutError):
    """Raised when no answer came in time. A command that writes may still be done."""


class CredentialsError(FleetError):
    """Raised when the broker refuses user and password. Once they worked, it is retried."""


class BodyError(FleetError, ValueError):
    """Raised by `Message.body` where the bytes are not what the kind has."""
