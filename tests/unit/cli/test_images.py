"""The images command: what it chooses, what it shows, what it says when there is no testbed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from coldstart.cli import images as module
from coldstart.errors import InputFileError, TestbedError, UnknownNameError
from coldstart.images import build, host
from coldstart.images.catalogue import catalogue
from coldstart.model.image import Image, Layer, Provenance

ALPINE = Image(
    workload="hello",
    variant="alpine",
    reference="r/hello@sha256:1",
    image_id="sha256:2",
    platform="linux/amd64",
    digest="sha256:1",
    config_bytes=1,
    layers=(Layer(digest="d", diff_id="e", compressed_bytes=5_900_000, unpacked_bytes=13_100_000, files=879),),
    provenance=(Provenance(what="Alpine 3.23 userland", source="s", packages=("musl=1",)),),
)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A place where hello/alpine is built and hello/scratch is not."""
    place = host.ImageHost(docker_socket="unix:///x", registry_address="r", registry_netns=None, cache=tmp_path)

    class Client:
        def __init__(self, _: str) -> None:
            """Needs nothing."""

        def __enter__(self) -> None:
            """Nobody is asked."""

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

    monkeypatch.setattr(module, "_present_host", lambda: place)
    monkeypatch.setattr(host, "engine_client", Client)
    monkeypatch.setattr(host, "platform_of", lambda _: "linux/amd64")
    monkeypatch.setattr(
        build, "recorded_images", lambda *_, **__: {("hello", "alpine"): ALPINE, ("hello", "scratch"): None}
    )


@pytest.mark.usefixtures("listed")
def test_the_list_shows_sizes_and_provenance_and_what_is_not_built() -> None:
    lines = CliRunner().invoke(module.command, ["list"]).stdout.splitlines()
    assert "hello/alpine" in lines[1]
    assert "5.90 MB" in lines[1]
    assert "Alpine 3.23 userland" in lines[1]
    assert "not built: coldstart images build" in lines[2]


@pytest.mark.usefixtures("listed")
def test_the_json_list_has_every_fact_and_null_for_the_unknown() -> None:
    built, missing = json.loads(CliRunner().invoke(module.command, ["list", "--json"]).stdout)
    assert (built["digest"], built["unpacked_bytes"], built["files"], built["layers"]) == ("sha256:1", 13100000, 879, 1)
    assert built["provenance"][0]["packages"] == ["musl=1"]
    assert missing["built"] is False
    assert {missing[key] for key in missing if key not in {"built", "workload", "variant"}} == {None}


def test_nothing_named_means_the_whole_catalogue() -> None:
    assert ("hello", "distroless") in module.choose(catalogue(), (), ())


def test_variants_narrow_the_choice() -> None:
    assert module.choose(catalogue(), ("hello",), ("scratch", "alpine")) == [("hello", "alpine"), ("hello", "scratch")]


@pytest.mark.parametrize(("workloads", "variants"), [(("helo",), ()), ((), ("alpin",))])
def test_an_unknown_name_is_told_with_the_nearest(workloads: tuple[str, ...], variants: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        module.choose(catalogue(), workloads, variants)


def test_without_a_testbed_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(TestbedError, match="coldstart testbed up"):
        module._present_host()


def test_a_users_own_engine_is_looked_at_where_there_is_no_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    assert module._present_host().docker_socket == "unix:///theirs"


def test_a_folder_without_a_workload_is_told_before_any_engine_is_asked(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"app/workload\.toml: cannot be read"):
        CliRunner().invoke(module.command, ["build", "--workload", f"{tmp_path}/app"], catch_exceptions=False)
