"""The configuration of the fleet: what users decide, from files and variables, checked whole."""

from shared.config.app import AppConfig, Environment, Settings
from shared.config.keys import VenueKeys
from shared.config.loading import load_config, load_keys, load_settings, read_environment
from shared.config.rabbitmq import RabbitMQ
from shared.config.sections import (
    Collection,
    Control,
    Logging,
    MaxAge,
    Performance,
    Recording,
    VenueConfig,
    VenueUrls,
)
from shared.config.values import MAX_SYMBOLS

__all__ = [
    "MAX_SYMBOLS",
    "AppConfig",
    "Collection",
    "Control",
    "Environment",
    "Logging",
    "MaxAge",
    "Performance",
    "RabbitMQ",
    "Recording",
    "Settings",
    "VenueConfig",
    "VenueKeys",
    "VenueUrls",
    "load_config",
    "load_keys",
    "load_settings",
    "read_environment",
]
