"""How a command of `fleet` ends: its exit codes, and errors that are one line, not a trace."""

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    DEGRADED = 3  # it answers, but something of it is missing or broken
    UNREACHABLE = 4  # no broker, no fleet
    CONFIG = 78  # as the fleet's processes: EX_CONFIG of sysexits.h


class CommandFailed(Exception):
    """Ends a command with one line on stderr."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code
