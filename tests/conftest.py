"""Settings for every test, and the testbed that engine tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from coldstart.errors import TestbedError
from coldstart.testbed import executables, lifecycle
from coldstart.testbed.config import Testbed, TestbedConfig

# Tests started in the background, or by nohup, ignore these, and so would all they start; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)

# No test may fail because the machine was busy: neither an example's time nor that of making one is judged.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

TESTBED_ROOT = Path("/var/lib/coldstart-test")
"""Not the user's own testbed, which may be up; its images are shared, since they are addressed by content."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the engine is required (CI), an engine or browser test that is skipped has failed."""
    report = yield
    needs = item.get_closest_marker("engine") or item.get_closest_marker("browser")
    if report.skipped and os.environ.get("COLDSTART_REQUIRE_ENGINE") and needs:
        report.outcome = "failed"
        report.longrepr = f"skipped, but COLDSTART_REQUIRE_ENGINE is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def testbed_config() -> TestbedConfig:
    """The configuration of the tests' testbed; skips where this machine cannot have one."""
    if os.geteuid() != 0:
        pytest.skip("the testbed needs root")
    try:
        executables.require(None, executables.search_path())
    except TestbedError as error:
        pytest.skip(str(error))
    return TestbedConfig(root=TESTBED_ROOT, cache=TestbedConfig.from_environment().cache)


@pytest.fixture(scope="session")
def testbed(testbed_config: TestbedConfig) -> Iterator[Testbed]:
    """A testbed that is up, for all tests of a session, and gone afterwards."""
    yield lifecycle.up(testbed_config, lambda _: None)
    lifecycle.down(testbed_config.root, lambda _: None)
