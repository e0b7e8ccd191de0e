"""Log lines as users know them: `2026-10-23 12:45:30 [INFO] [binance] Successfully collected …`.

Loggers are named after components: `main`, `rabbitmq`, `control`, and each venue by its wire name.
"""

import logging
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from shared.config import Logging

_FORMAT = "%(asctime)s [%(levelname)s] [%(name)s] %(message)s"
_FILE_BYTES = 20_000_000
_FILES_KEPT = 5
#: Libraries that log what we log ourselves, or far more of it than anyone reads.
_LIBRARIES = ("aio_pika", "aiormq", "asyncio", "ccxt", "aiohttp")


def configure_logging(settings: Logging, program: str) -> None:
    """Send all logs to stdout, and to the file that `settings` names if any. Raises OSError."""
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S")
    formatter.converter = time.gmtime
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if settings.file:
        path = Path(settings.file.replace("{program}", program))
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT))
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=settings.level, handlers=handlers, force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.CRITICAL)
