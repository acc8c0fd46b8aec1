"""Upstream's bases: pinned by digest, asked for only where a registry answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError
from coldstart.images import processes, upstream
from coldstart.images.bases import NAMES


@pytest.fixture(autouse=True)
def nothing_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_reachable", {})
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def greeting() -> Iterator[str]:
    """A registry that greets with 401, as registries do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v2/"
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_base_has_a_pinned_upstream() -> None:
    assert set(upstream.UPSTREAM) == NAMES
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", base.digest) for base in upstream.UPSTREAM.values())


def test_a_registry_that_wants_credentials_is_reachable(greeting: str) -> None:
    assert upstream.is_reachable(greeting)


def test_a_closed_port_is_not_reachable() -> None:
    assert not upstream.is_reachable("http://127.0.0.1:9/v2/")


def test_a_registry_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answers(registry: str) -> bool:
        asked.append(registry)
        return True

    monkeypatch.setattr(upstream, "_answers", answers)
    assert [upstream.is_reachable("http://r/"), upstream.is_reachable("http://r/")] == [True, True]
    assert asked == ["http://r/"]


def test_a_base_is_fetched_by_digest_for_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[str]] = []

    def skopeo(argv: Sequence[str], **_: object) -> str:
        seen.append(argv)
        (tmp_path / "a.tar").touch()
        return ""

    monkeypatch.setattr(processes, "run", skopeo)
    base = upstream.UPSTREAM["slim"]
    provenance = upstream.fetch(base, tmp_path / "a.tar", tag="t:1", platform="linux/arm/v7")
    assert f"docker://docker.io/library/debian@{base.digest}" in seen[0]
    assert {"--override-arch=arm", "--override-variant=v7"} <= set(seen[0])
    assert (provenance.what, provenance.source) == ("debian:bookworm-slim", base.reference)


@pytest.mark.parametrize("reachable", [True, False])
def test_where_no_registry_answers_packages_are_named_as_the_way_out(
    reachable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Sequence[str]) -> str:
        raise processes.ToolFailedError("skopeo failed", "")

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(upstream, "is_reachable", lambda _: reachable)
    with pytest.raises(ImageBuildError, match="skopeo failed") as told:
        upstream.fetch(upstream.UPSTREAM["slim"], tmp_path / "slim.tar", tag="t", platform="linux/amd64")
    assert ("--bases packages" in str(told.value)) is not reachable


def test_a_fetch_that_brings_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "run", lambda *_, **__: "")
    with pytest.raises(ImageBuildError, match="no archive"):
        upstream.fetch(upstream.UPSTREAM["slim"], tmp_path / "a.tar", tag="t:1", platform="linux/amd64")


def test_a_base_pinned_without_a_tag_is_named_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tar").touch()
    monkeypatch.setattr(processes, "run", lambda *_, **__: "")
    base = upstream.UPSTREAM["distroless"]
    provenance = upstream.fetch(base, tmp_path / "a.tar", tag="t:1", platform="linux/amd64")
    assert provenance.what == "gcr.io/distroless/static-debian12"
