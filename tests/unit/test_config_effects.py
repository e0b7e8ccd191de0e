"""What fields of the configuration do, where nothing else tests them."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from coordinator.ranking import RankingTimes
from shared.broker import Broker
from shared.budget import Budget
from shared.config import (
    AppConfig,
    Collection,
    Performance,
    Settings,
    VenueConfig,
    VenueKeys,
    VenueUrls,
    read_environment,
)
from shared.config.changes import is_live
from shared.config.live import Live
from shared.config.loading import settings_of
from shared.config.sections import Control, Logging
from shared.custody import SpoolPlace
from shared.errors import ConfigurationError
from shared.logs import configure_logging
from shared.monitoring import monitor_of
from shared.vitals import Vitals
from tests.fakes import FakeClock
from workers.collector.access import Access
from workers.collector.catalogue import CATALOGUE
from workers.collector.client import VenueClient
from workers.collector.recording.recorder import Recorder
from workers.collector.unified import Market

HOUR_S = 3600.0


def config_of(**fields: object) -> AppConfig:
    return AppConfig.model_validate({"exchanges": ["gate"]} | fields)


def settings_with(**fields: object) -> Settings:
    return settings_of(config_of(**fields), read_environment({"FLEET_CONFIG": "/nowhere/c.json"}))


def client_of(venue: str, access: Access) -> VenueClient:
    row, clock = CATALOGUE[venue], FakeClock()
    return VenueClient(row, access, Budget(row.limits, clock), clock)


WITHOUT_TEST_NETWORK = ("htx", "coinbaseinternational")


@pytest.mark.parametrize("venue", [one for one in CATALOGUE if one not in WITHOUT_TEST_NETWORK])
def test_sandbox_is_the_venues_test_network(venue: str) -> None:
    live = client_of(venue, Access())._ccxt
    test = client_of(venue, Access(VenueConfig(sandbox=True)))._ccxt
    assert test.urls["api"] != live.urls["api"] or test.options["sandboxMode"] is True


@pytest.mark.parametrize("venue", WITHOUT_TEST_NETWORK)
def test_a_venue_without_a_test_network_refuses_sandbox(venue: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"exchange_configs\.{venue}\.sandbox"):
        client_of(venue, Access(VenueConfig(sandbox=True)))


def test_sandbox_and_other_addresses_exclude_each_other() -> None:
    urls = VenueUrls(rest="http://proxy", ws="ws://proxy")
    with pytest.raises(ValueError, match="sandbox"):
        VenueConfig(sandbox=True, urls=urls)


def test_timeouts_of_a_venue_and_of_all() -> None:
    performance = Performance(request_timeout_s=7)
    assert client_of("gate", Access(performance=performance))._ccxt.timeout == 7000
    own = Access(VenueConfig(timeout_s=9), performance=performance)
    assert client_of("gate", own)._ccxt.timeout == 9000


async def test_connections_are_bounded_and_kept() -> None:
    performance = Performance(connection_pool_size=17, connection_idle_s=99)
    exchange = client_of("gate", Access(performance=performance))._ccxt
    exchange.open()
    try:
        assert exchange.session.connector.limit == 17
        assert exchange.session.connector._keepalive_timeout == 99
    finally:
        await exchange.close()


@pytest.mark.parametrize(("venue", "page"), [("binance", 100), ("htx", 2000)])
async def test_trades_of_one_request(venue: str, page: int) -> None:
    """htx lists its newest trades alone: fewer of them would be a shorter reach."""
    client = client_of(venue, Access(trade_limit=100))
    asked: list[int] = []

    async def fetch_trades(_symbol: str, _since: None, limit: int) -> list[object]:
        asked.append(limit)
        return []

    client._ccxt.fetch_trades = fetch_trades
    client.markets["X"] = Market("X", "x", 1.0)
    await client.fetch_trades("X")
    assert asked == [page]


def test_keys_of_the_configuration_win_over_the_key_file(tmp_path: Path) -> None:
    (tmp_path / ".env.keys").write_text('{"gateio": {"apiKey": "a", "secret": "b"}}')
    environment = read_environment({"FLEET_CONFIG": str(tmp_path / "config.json")})
    config = config_of(exchange_configs={"gate": {"api_key": "mine", "passphrase": "p"}})
    keys = settings_of(config, environment).keys["gate"]
    assert keys == VenueKeys(
        apiKey=SecretStr("mine"), secret=SecretStr("b"), password=SecretStr("p")
    )


def test_the_fleets_name_and_version_stand_on_its_connections() -> None:
    broker = Broker.of(settings_with(app_name="Mine", version="5.0.0"), "worker")
    said = broker._properties("data")
    assert said == {"connection_name": "worker data", "product": "Mine", "version": "5.0.0"}


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level


def test_where_the_log_goes(
    root_logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "{program}.log"
    said = Logging(level="WARNING", console=False, file_path=str(path))
    configure_logging(config_of(logging=said), "gate")
    logging.getLogger("gate").info("too quiet")
    logging.getLogger("gate").warning("told")
    [line] = (tmp_path / "deep" / "gate.log").read_text().splitlines()
    assert line.endswith("[WARNING] [gate] told")
    configure_logging(config_of(logging=Logging(console=False)), "gate")
    logging.getLogger("gate").warning("to nobody")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("debug", [False, True])
def test_debug_logs_everything_and_where_errors_came_from(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    configure_logging(config_of(debug=debug), "gate")
    logging.getLogger("gate").debug("a detail")
    try:
        raise ConfigurationError("because")
    except ConfigurationError as error:
        logging.getLogger("gate").error("Failed: %s", error)
    out = capsys.readouterr().out
    assert ("a detail" in out) == debug
    assert ("Traceback" in out) == debug
    assert "Failed: because" in out


def test_rankings_by_interval_and_by_schedule() -> None:
    clock = FakeClock()
    config = Live(config_of(control=Control(ranking_interval_s=HOUR_S)))
    rankings = RankingTimes(config, clock)
    assert rankings.due("gate")
    rankings.ranked("gate")
    assert (rankings.due("gate"), rankings.due("htx")) == (False, True)
    clock.elapsed_s += HOUR_S
    assert rankings.due("gate")
    config.value = config_of(collection=Collection(schedule="0 */6 * * *"))
    rankings.ranked("gate")
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    until_s = 6 * HOUR_S - (now.hour % 6 * HOUR_S + now.minute * 60 + now.second)
    clock.elapsed_s += until_s - 2
    assert not rankings.due("gate")
    clock.elapsed_s += 3
    assert rankings.due("gate")
    rankings.forget()
    assert rankings.due("gate")


async def test_so_many_requests_are_on_their_way_at_a_time() -> None:
    exchange = client_of("gate", Access(performance=Performance(max_concurrent_requests=3)))._ccxt
    going, most = 0, 0

    async def fetched(*_: object, **__: object) -> str:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(0)
        going -= 1
        return "answer"

    exchange._fetched = fetched
    assert await asyncio.gather(*(exchange.fetch("url") for _ in range(10))) == ["answer"] * 10
    assert most == 3


def test_disk_for_what_the_broker_does_not_take_and_for_recordings() -> None:
    settings = settings_with(rabbitmq={"spool_mb": 7}, recording={"max_gb": 0.5})
    assert SpoolPlace.of(settings, "gate", "w").limit_mb == 7
    recorder = Recorder.of(settings, "gate", FakeClock())
    assert recorder.shelf._max_bytes == 500_000_000


def test_how_a_cycle_tries_again() -> None:
    listed = Collection(retry_attempts=2, retry_delays=(0.5, 3)).retry_policy()
    assert (listed.max_attempts, listed.delays_s) == (3, (0.5, 3))
    grown = Collection(retry_delays=(2,), retry_strategy="linear").retry_policy()
    assert (grown.strategy, grown.base_delay_s, grown.delays_s) == ("linear", 2, ())


def test_when_a_request_and_a_check_count_as_slow_and_how_often_one_is_made() -> None:
    settings = settings_with(
        health={"check_interval_s": 3, "slow_request_s": 1.5, "slow_query_s": 0.25}
    )
    client = client_of("gate", Access.of(settings, "gate"))
    assert client.rest_trace.slow_s == 1.5
    clock = FakeClock()
    check = monitor_of(settings, Vitals(clock), clock).get_health_check("process")
    assert check is not None
    assert (check.policy.interval_s, check.policy.slow_s) == (3, 0.25)


@pytest.mark.parametrize(
    "field",
    ["cache.enabled", "cache.types.ticker", "rate_limiting.priority_multiplier.low"],
)
def test_what_requests_take_up_at_once_needs_no_restart(field: str) -> None:
    assert is_live(field)
