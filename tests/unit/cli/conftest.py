"""The command line as users meet it, on a machine without a testbed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from coldstart.cli import main

Run = Callable[..., int]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What a test does to the handling of signals ends with it."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever runs on this machine, no test here finds it; details of errors go nowhere that stays."""
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent/coldstart")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")


@pytest.fixture
def coldstart(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line: its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["coldstart", *arguments])
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:  # a command that is ending ignores them
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return int(ended.value.code or 0)

    return run
