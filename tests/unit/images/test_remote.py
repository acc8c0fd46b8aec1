"""What skopeo says, told as the caller's mistake or the network's fault; whose credentials it uses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from coldstart.errors import ColdstartError, RegistryUnreachableError, UsageError
from coldstart.images import processes, remote


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("pinging container registry r: dial tcp: lookup r: no such host", RegistryUnreachableError),
        ("Get https://r/v2/: net/http: TLS handshake timeout", RegistryUnreachableError),
        ("dial tcp 127.0.0.1:1: connect: connection refused", RegistryUnreachableError),
        ("reading manifest 9 in docker.io/library/nginx: manifest unknown", UsageError),
        ("requested access to the resource is denied", UsageError),
        ("unauthorized: authentication required", UsageError),
        ("invalid reference format: repository name must be lowercase", UsageError),
        ("", UsageError),
    ],
)
def test_no_answer_is_the_environments_and_no_image_the_users(said: str, kind: type[ColdstartError]) -> None:
    assert type(remote.refusal("r/x", said)) is kind


def test_a_reason_is_the_last_line_without_the_loggers_frame() -> None:
    said = 'first\ntime="2026" level=fatal msg="Get \\"https://r/\\": refused"\n'
    assert processes.reason(said) == 'Get "https://r/": refused'


class Skopeo:
    """Stands for the tool: fails as told, remembers what it was asked."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.calls: list[Sequence[str]] = []

    def __call__(self, argv: Sequence[str], **_: object) -> str:
        self.calls.append(argv)
        if "inspect" in argv:
            digest = f"sha256:{'a' * 64}"
            platform = '{"os": "linux", "architecture": "s390x"}'
            return f'{{"manifests": [{{"digest": "{digest}", "size": 1, "platform": {platform}}}]}}'
        if self.failures and (failure := self.failures.pop(0)):
            raise processes.ToolFailedError(f"skopeo failed: {failure}", failure)
        return ""


@pytest.fixture
def skopeo(monkeypatch: pytest.MonkeyPatch) -> Skopeo:
    skopeo = Skopeo()
    monkeypatch.setattr(processes, "run", skopeo)
    monkeypatch.delenv("SUDO_USER", raising=False)
    return skopeo


def test_a_tag_beside_a_digest_is_left_out(tmp_path: Path, skopeo: Skopeo) -> None:
    remote.fetch(f"r:5000/app:1@sha256:{'a' * 64}", tmp_path / "d", "linux/amd64", is_asked=False)
    assert f"docker://r:5000/app@sha256:{'a' * 64}" in skopeo.calls[0]


def test_a_registrys_port_is_no_tag(tmp_path: Path, skopeo: Skopeo) -> None:
    remote.fetch("r:5000/app", tmp_path / "d", "linux/amd64", is_asked=False)
    assert "docker://r:5000/app:latest" in skopeo.calls[0]


@pytest.mark.parametrize("is_asked", [True, False])
def test_an_image_not_for_the_platform_is_refused_with_those_it_is_for(
    tmp_path: Path, skopeo: Skopeo, is_asked: bool
) -> None:
    skopeo.failures = ["no image found in manifest list for architecture amd64"]
    with pytest.raises(UsageError, match=r"is for linux/s390x, not for linux/amd64.*--platform linux/s390x"):
        remote.fetch("app", tmp_path / "d", "linux/amd64", is_asked=is_asked)
    assert len(skopeo.calls) == 2


@pytest.mark.parametrize(
    ("reference", "is_insecure"),
    [
        ("127.0.0.1:5056/app:1", True),
        ("127.9.9.9/app", True),
        ("localhost:5000/a/b", True),
        ("LOCALHOST/app", True),
        ("[::1]:5000/app", True),
        ("128.0.0.1:5000/app", False),
        ("registry.example:5000/app", False),
        ("127.0.0.1.example/app", False),
        ("localhost", False),
        ("app:1", False),
    ],
)
def test_a_registry_of_this_machine_may_speak_plain_http_and_no_other(
    tmp_path: Path, skopeo: Skopeo, reference: str, is_insecure: bool
) -> None:
    remote.fetch(reference, tmp_path / "d", "linux/amd64", is_asked=False)
    assert ("--src-tls-verify=false" in skopeo.calls[0]) is is_insecure


def test_a_plain_http_registry_elsewhere_is_told_with_what_to_configure() -> None:
    said = (
        'pinging container registry r:5000: Get "https://r:5000/v2/": http: server gave HTTP response to HTTPS client'
    )
    refused = remote.refusal("r:5000/app:1", said)
    assert type(refused) is UsageError
    assert 'location = "r:5000" insecure = true' in str(refused)


def test_a_registry_that_falls_silent_is_the_networks_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> str:
        raise processes.ToolSilentError("skopeo did nothing for 30 s", "")

    monkeypatch.setattr(processes, "run", silent)
    with pytest.raises(RegistryUnreachableError, match=r"its registry stopped answering.* and so on"):
        remote.fetch("app", tmp_path / "d", "linux/amd64", is_asked=False, hint=" and so on")


def test_an_unknown_image_is_the_users_mistake(tmp_path: Path, skopeo: Skopeo) -> None:
    skopeo.failures = ["manifest unknown"]
    with pytest.raises(UsageError, match="manifest unknown"):
        remote.fetch("app", tmp_path / "d", "linux/amd64", is_asked=False)


def test_under_sudo_the_callers_credentials_are_used(
    tmp_path: Path, skopeo: Skopeo, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ".docker" / "config.json"
    config.parent.mkdir()
    config.touch()
    monkeypatch.setenv("SUDO_USER", "me")
    monkeypatch.setattr(os.path, "expanduser", lambda _: str(tmp_path))
    remote.fetch("app", tmp_path / "d", "linux/amd64", is_asked=False)
    assert f"--src-authfile={config}" in skopeo.calls[0]


def test_a_missing_skopeo_stays_a_missing_skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(processes.ToolFailedError, match="apt-get install skopeo"):
        remote.fetch("app", tmp_path / "d", "linux/amd64", is_asked=False)
