"""What a process does not load: the lean import of ccxt against the plain one, and drivers."""

import subprocess
import sys

import pytest

from workers.collector.catalogue import CATALOGUE

DESCRIBE = """
import sys
if sys.argv[2] == "lean":
    from workers.collector.lean_ccxt import install
    install()
import importlib, orjson
import ccxt
from workers.collector.edge import venue_errors
module = importlib.import_module("workers.collector.venues." + sys.argv[1])
made = getattr(module, sys.argv[3])({})
mro = [base.__module__ + "." + base.__qualname__ for base in type(made).__mro__]
venues = [name for name in sys.modules if name.startswith("ccxt.pro.")]
errors = [ccxt.NetworkError.__name__, ccxt.ChecksumError.__name__, ccxt.__version__]
print(len(venues))
print(orjson.dumps([made.describe(), mro, errors, sorted(made.has)], default=str,
                   option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode())
"""


def described(venue: str, how: str) -> tuple[int, str]:
    row = CATALOGUE[venue]
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, row.module, how, row.class_name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, description = done.stdout.splitlines()
    return int(count), description


@pytest.mark.parametrize("venue", CATALOGUE)
def test_a_lean_class_is_the_plain_one(venue: str) -> None:
    few, lean = described(venue, "lean")
    many, plain = described(venue, "plain")
    assert lean == plain
    assert few < 5
    assert many > 50


def test_a_name_that_ccxt_does_not_have_is_no_attribute() -> None:
    code = (
        "from workers.collector.lean_ccxt import install; install(); import ccxt.pro;"
        "assert not hasattr(ccxt.pro, 'nosuchvenue'); assert hasattr(ccxt.pro, 'gate')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_names_no_redis_does_not_load_its_driver() -> None:
    code = "import sys, workers.collector.collector; assert 'redis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
