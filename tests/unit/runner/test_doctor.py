"""What a machine can do is asked of what measuring asks, without starting anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coldstart.engines import own_docker
from coldstart.errors import EngineUnreachableError, TestbedError
from coldstart.runner import doctor
from coldstart.testbed import executables
from coldstart.trace import tracefs
from coldstart.trace.base import WatchingUnavailableError


class Here:
    """A machine on which everything can be had, until a test says otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runc: Path) -> None:
        self.root = True
        self.missing: str | None = None
        self.refusals: dict[str, str] = {}
        self.docker = False
        self.asked: list[str] = []
        monkeypatch.setattr(os, "geteuid", lambda: 0 if self.root else 1000)
        monkeypatch.setattr(executables, "require", self._require)
        monkeypatch.setattr(executables, "runtimes", lambda _added, _path: {"runc": runc})
        monkeypatch.setattr(tracefs, "Instance", self._source("trace"))
        monkeypatch.setattr(doctor, "ConnectorWatcher", self._source("proc"))
        monkeypatch.setattr(doctor, "Connection", self._connect)
        monkeypatch.setattr(doctor, "wait_until_quiet", self._quiet)

    def _require(self, _registry: str | None, _path: str) -> None:
        if self.missing is not None:
            raise TestbedError(self.missing)

    def _source(self, name: str) -> Callable[[], Here]:
        def opened() -> Here:
            if name in self.refusals:
                raise WatchingUnavailableError(self.refusals[name])
            return self

        return opened

    def _connect(self, host: str, timeout_s: float) -> Here:
        assert timeout_s > 0
        self.asked.append(host)
        if not self.docker:
            raise EngineUnreachableError("nobody")
        return self

    def _quiet(self, timeout_ns: int) -> Here:
        assert timeout_ns == 0  # one look, no wait
        return self

    busy_fraction = 0.25

    def request(self, _method: str, _path: str) -> None:
        """It answers."""

    def close(self) -> None:
        """Nothing is left."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Here:
    runc = tmp_path / "runc"
    runc.write_text("#!/bin/sh\necho runc version 9\necho commit: x\n")
    runc.chmod(0o755)
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    return Here(monkeypatch, runc)


def test_where_everything_is_to_be_had_nothing_is_in_the_way(here: Here) -> None:
    found = doctor.abilities("known")
    assert (found.testbed, found.own_engine, found.calibration, found.busy) == (None, None, "known", 0.25)
    assert found.sources == {"trace": None, "proc": None}
    assert found.tiers == {"absent": None, "cached": None, "warm": None}
    assert here.asked == []


def test_a_runtime_is_told_with_its_version_and_hash(here: Here) -> None:
    (runc,) = doctor.abilities(None).runtimes
    assert (here.root, runc.version, len(runc.sha256 or "")) == (True, "runc version 9", 64)


def test_without_root_there_is_no_testbed_and_only_warm_starts_are_proved(here: Here) -> None:
    here.root = False
    found = doctor.abilities(None)
    assert found.testbed == "it needs root"
    assert [tier for tier, why in found.tiers.items() if why is not None] == ["absent", "cached"]


def test_missing_executables_are_named(here: Here) -> None:
    here.missing = "dockerd is missing"
    assert doctor.abilities(None).testbed == "dockerd is missing"


def test_ones_own_engine_is_asked_where_there_is_no_testbed(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.root, here.docker = False, True
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine.sock")
    assert (doctor.abilities(None).own_engine, here.asked) == (
        "Docker at unix:///mine.sock (DOCKER_HOST)",
        ["unix:///mine.sock"],
    )


def test_the_engine_that_is_asked_is_the_one_of_the_context_in_use(
    here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here.root, here.docker = False, True
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Endpoints": {"docker": {"Host": "unix:///mine.sock"}}}')
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert "context 'mine'" in (doctor.abilities(None).own_engine or "")
    assert here.asked == ["unix:///mine.sock"]


def test_an_engine_that_does_not_answer_is_none(here: Here) -> None:
    here.root = False
    assert (doctor.abilities(None).own_engine, here.asked) == (None, [own_docker.DEFAULT_SOCKET])


def test_a_source_that_is_refused_is_told_with_the_reason(here: Here) -> None:
    here.refusals = {"trace": "no tracefs"}
    assert doctor.abilities(None).sources == {"trace": "no tracefs", "proc": None}
