"""Log lines as users know them: `2026-10-23 12:45:30 [INFO] [binance] Successfully collected …`.

Loggers are named after components: `main`, `rabbitmq`, `control`, and each venue by its wire name.
"""

import logging
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from shared.config import AppConfig

_FORMAT = "%(asctime)s [%(levelname)s] [%(name)s] %(message)s"
_FILE_BYTES = 20_000_000
_FILES_KEPT = 5
#: Libraries that log what we log ourselves, or far more of it than anyone reads.
_LIBRARIES = ("aio_pika", "aiormq", "asyncio", "ccxt", "aiohttp", "watchfiles")


class _Traced(logging.Filter):
    """Adds where it came from to a warning or an error that is told while it is handled."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING and not record.exc_info and sys.exc_info()[0]:
            record.exc_info = sys.exc_info()
        return True


def configure_logging(config: AppConfig, program: str) -> None:
    """Send all logs to stdout and to a file, as `logging` says. Raises OSError."""
    settings = config.logging
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    handlers: list[logging.Handler] = []
    if settings.console:
        handlers.append(logging.StreamHandler(sys.stdout))
    if settings.file_path:
        path = Path(settings.file_path.replace("{program}", program))
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT))
    if not handlers:
        handlers.append(logging.NullHandler())
    for handler in handlers:
        handler.setFormatter(formatter)
        if config.debug:
            handler.addFilter(_Traced())
    logging.basicConfig(level=config.level, handlers=handlers, force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
