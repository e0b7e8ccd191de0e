"""Configurations of tests: a file of a directory, and variables instead of the machine's."""

from pathlib import Path

from shared.config.app import AppConfig
from shared.config.loading import load

MINIMAL = '{"exchanges": ["binance"]}'


def loaded(directory: Path, text: str, name: str = "config.json", **variables: str) -> AppConfig:
    path = directory / name
    path.write_text(text)
    return load(path, variables=variables).config
