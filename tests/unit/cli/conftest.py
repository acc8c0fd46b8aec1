"""The command line as users meet it, on a machine without a testbed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from coldstart.cli import main

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs on this machine, no test here finds it."""
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent/coldstart")
    monkeypatch.delenv("DOCKER_HOST", raising=False)


@pytest.fixture
def coldstart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line: its exit code."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["coldstart", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
