"""`pytest --report PATH`: the run as JSON, with every figure that a test recorded."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pytest

PACKAGES = ("ccxt", "aio-pika", "aiormq", "pydantic", "orjson", "uvloop")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, help="write the outcome and all figures as JSON")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--report")
    if path is not None and not hasattr(config, "workerinput"):  # one that collects, of many
        config.pluginmanager.register(Report(path))


class Report:
    """Collects; written when the run ends, red or green."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[dict[str, Any]] = []
        self._began = datetime.now(UTC)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        error = report.when != "call" and report.failed  # of a fixture
        outcome = "error" if error else report.outcome
        test = {"test": report.nodeid, "outcome": outcome, "seconds": report.duration}
        figures = dict(report.user_properties)
        self._tests.append(test | ({"figures": figures} if figures else {}))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        outcomes = [test["outcome"] for test in self._tests]
        body = {
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._began).total_seconds(), 1),
            "exit_status": int(exitstatus),
            "counts": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
            "machine": _machine(),
            "tests": [
                test
                for test in self._tests
                if "figures" in test or test["outcome"] != "passed" or test["seconds"] >= 5
            ],
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def _machine() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "commit": commit.stdout.strip(),
        **{package: version(package) for package in PACKAGES},
    }
