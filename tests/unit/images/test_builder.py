"""What goes into a build, and that nothing but our own comes out of the engine again."""

from __future__ import annotations

import copy
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
import pytest
import requests

from coldstart.errors import ImageBuildError
from coldstart.images import builder as module
from coldstart.images.bases import Base, BaseRecord
from coldstart.images.builder import Builder, building, context, context_files, remove_leftovers
from coldstart.images.catalogue import Variant, Workload
from coldstart.images.host import ImageHost
from coldstart.model.image import Provenance
from coldstart.model.probe import ProbeSpec

OURS = {"coldstart.owner": "coldstart"}


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    folder = tmp_path / "app"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").touch()
    for name in ("Dockerfile.a", "Dockerfile.b", "workload.toml", "main.go"):
        (folder / name).write_text(name)
    variants = {name: Variant(dockerfile=f"Dockerfile.{name}", description="", bases=("slim",)) for name in "ab"}
    return Workload(name="app", description="", ready=ProbeSpec(kind="exit"), variants=variants, folder=folder)


def test_the_context_has_the_sources_and_its_own_dockerfile_alone(workload: Workload) -> None:
    assert [path.name for path in context_files(workload, workload.variant("a"))] == ["Dockerfile.a", "main.go"]


def test_the_context_depends_on_content_and_not_on_times(workload: Workload) -> None:
    before = context(workload, workload.variant("a"))
    os.utime(workload.folder / "main.go", (1, 1))
    assert context(workload, workload.variant("a")) == before


def test_the_context_keeps_what_is_executable(workload: Workload) -> None:
    (workload.folder / "main.go").chmod(0o700)
    with tarfile.open(fileobj=io.BytesIO(context(workload, workload.variant("a")))) as tar:
        assert {member.name: member.mode for member in tar} == {"Dockerfile.a": 0o644, "main.go": 0o755}


def test_the_context_has_no_bytecode(workload: Workload) -> None:
    (workload.folder / "__pycache__").mkdir()
    (workload.folder / "__pycache__" / "app.pyc").touch()
    assert [path.name for path in context_files(workload, workload.variant("a"))] == ["Dockerfile.a", "main.go"]


def test_wheels_have_a_folder_of_their_own_in_the_context(workload: Workload, tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    with tarfile.open(fileobj=io.BytesIO(context(workload, workload.variant("a"), [wheel]))) as tar:
        assert tar.getnames() == ["Dockerfile.a", "main.go", "wheels/a-1-py3-none-any.whl"]


def _error(status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    kind = docker.errors.NotFound if status == 404 else docker.errors.APIError
    return kind("refused", response=response, explanation="refused")


class FakeDocker:
    """An engine's images and containers, with the API's refusals: a parent cannot be removed before its children."""

    def __init__(self) -> None:
        self.timeout = 120
        self.listed: dict[str, dict[str, Any]] = {}
        self.parents: dict[str, str] = {}
        self.in_use: set[str] = set()
        self.containers: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.pushed: list[dict[str, Any]] = []
        self.arguments: dict[str, Any] = {}
        self.loaded: list[str] = []

    def add(self, image_id: str, *tags: str, parent: str = "", **facts: object) -> None:
        self.listed[image_id] = {"Id": image_id, "RepoTags": list(tags), "RepoDigests": [], "Labels": {}, **facts}
        self.parents[image_id] = parent

    def images(self, *, all: bool) -> list[dict[str, Any]]:  # noqa: A002  docker-py's name
        assert all
        return copy.deepcopy(list(self.listed.values()))

    def remove_image(self, name: str) -> None:
        found = [each for each in self.listed.values() if name == each["Id"] or name in each["RepoTags"]]
        if not found:
            raise _error(404)
        image = found[0]
        if image["Id"] in self.parents.values() or image["Id"] in self.in_use:
            if name not in image["RepoTags"]:
                raise _error(409)
            image["RepoTags"].remove(name)
            return
        image["RepoTags"] = [tag for tag in image["RepoTags"] if tag not in {name, "<none>:<none>"}]
        if not image["RepoTags"]:
            del self.listed[image["Id"]]
            del self.parents[image["Id"]]

    def remove_container(self, container: str, *, force: bool) -> None:
        assert force
        if container not in self.containers:
            raise _error(404)
        self.containers.remove(container)

    def load_image(self, archive: Any) -> list[dict[str, Any]]:
        tag = archive.read().decode()
        self.loaded.append(tag)
        self.add("sha256:" + "ba" * 32, tag)
        return []

    def build(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.arguments = arguments
        self.add("sha256:" + "cc" * 32, parent="sha256:" + "ba" * 32)
        self.add("sha256:" + "dd" * 32, arguments["tag"], parent="sha256:" + "cc" * 32, Labels=OURS)
        return iter(self.events)

    def inspect_image(self, tag: str) -> dict[str, Any]:
        return next(image for image in self.listed.values() if tag in image["RepoTags"])

    def push(self, repository: str, **_: Any) -> list[dict[str, Any]]:
        del repository
        return self.pushed


@pytest.fixture
def engine() -> FakeDocker:
    fake = FakeDocker()
    short = "d" * 12
    fake.events = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": f" ---> {'c' * 12}\n"},
        {"stream": " ---> Running in abcdefabcdef\n"},
        {"stream": f" ---> {short}\n"},
    ]
    return fake


@pytest.fixture
def base(tmp_path: Path) -> Base:
    archive = tmp_path / "slim.tar"
    archive.write_text("coldstart-base/slim:packages")
    record = BaseRecord(
        name="slim",
        tag="coldstart-base/slim:packages",
        image_id="sha256:x",
        platform="linux/amd64",
        provenance=Provenance(what="slim", source="s"),
    )
    return Base(record=record, archive=archive)


def _builder(engine: FakeDocker) -> Builder:
    return Builder(cast("docker.APIClient", engine), lambda _: None)


def _place(engine: FakeDocker, monkeypatch: pytest.MonkeyPatch, registry: str | None) -> ImageHost:
    @contextmanager
    def client(_: str) -> Iterator[FakeDocker]:
        yield engine

    monkeypatch.setattr(module, "engine_client", client)
    return ImageHost(docker_socket="unix:///x", registry_address=registry, registry_netns=None, cache=Path("/nowhere"))


def test_a_build_names_its_bases_as_arguments_and_carries_our_label(
    engine: FakeDocker, workload: Workload, base: Base
) -> None:
    _builder(engine).build(workload, "a", [base], "app:a")
    assert engine.arguments["buildargs"]["SLIM"] == base.record.tag
    assert engine.arguments["labels"] == OURS
    assert engine.arguments["dockerfile"] == "Dockerfile.a"


@pytest.mark.parametrize("foreign", [None, "linux/arm64"])
def test_a_platform_is_asked_of_the_engine_where_it_is_not_its_own(
    foreign: str | None, engine: FakeDocker, workload: Workload, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    with building(_place(engine, monkeypatch, "r:5000"), lambda _: None, foreign) as builder:
        builder.build(workload, "a", [base], "app:a")
    assert (builder.foreign, engine.arguments["platform"]) == (foreign, foreign)


def test_a_base_is_loaded_once_for_all_variants(engine: FakeDocker, workload: Workload, base: Base) -> None:
    builder = _builder(engine)
    for variant in "ab":
        builder.build(workload, variant, [base], f"app:{variant}")
    assert engine.loaded == [base.record.tag]


def test_a_failed_build_tells_the_end_of_its_log(engine: FakeDocker, workload: Workload, base: Base) -> None:
    engine.events = [{"stream": f"line {number}\n"} for number in range(40)] + [{"error": "exit code: 1"}]
    with pytest.raises(ImageBuildError, match="app/a could not be built") as caught:
        _builder(engine).build(workload, "a", [base], "app:a")
    assert "exit code: 1" in str(caught.value)
    assert "line 39" in str(caught.value)
    assert "line 20\n" not in str(caught.value)


def test_a_refused_push_is_told(engine: FakeDocker) -> None:
    engine.pushed = [{"status": "Preparing"}, {"error": "no space left on device"}]
    with pytest.raises(ImageBuildError, match="r:5000/app:a could not be pushed: no space left"):
        _builder(engine).push("r:5000/app:a")


def test_a_base_that_cannot_be_loaded_is_told(engine: FakeDocker, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load_image", lambda _: [{"error": "no space"}])
    with pytest.raises(ImageBuildError, match="base slim could not be loaded: no space"):
        _builder(engine).load(base)


def test_a_testbeds_engine_has_nothing_left_after_a_build(
    engine: FakeDocker, workload: Workload, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.containers = {"abcdefabcdef"}
    with building(_place(engine, monkeypatch, "r:5000"), lambda _: None) as builder:
        builder.build(workload, "a", [base], "r:5000/app:a")
    assert (engine.listed, engine.containers) == ({}, set())


def test_a_testbeds_engine_has_nothing_left_after_an_interrupt(
    engine: FakeDocker, workload: Workload, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        with building(_place(engine, monkeypatch, "r:5000"), lambda _: None) as builder:
            builder.build(workload, "a", [base], "r:5000/app:a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert engine.listed == {}


def test_an_image_pulled_for_measuring_stays_in_the_testbeds_engine(
    engine: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.add("sha256:" + "ee" * 32, RepoDigests=["r:5000/app@sha256:1"], Labels=OURS)
    with building(_place(engine, monkeypatch, "r:5000"), lambda _: None):
        pass
    assert list(engine.listed) == ["sha256:" + "ee" * 32]


def test_what_a_killed_build_left_is_gone_before_the_next(engine: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.add("sha256:1", "coldstart-base/slim:packages")
    engine.add("sha256:2", "<none>:<none>", parent="sha256:1")
    with building(_place(engine, monkeypatch, "r:5000"), lambda _: None):
        assert engine.listed == {}


def test_a_leftover_that_cannot_be_removed_is_an_error(engine: FakeDocker) -> None:
    engine.add("sha256:1")
    engine.in_use = {"sha256:1"}
    with pytest.raises(ImageBuildError, match=r"the engine keeps images.*sha256:1"):
        remove_leftovers(cast("docker.APIClient", engine))


def test_a_users_engine_keeps_the_product_and_every_image_of_theirs(
    engine: FakeDocker, workload: Workload, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.add("sha256:" + "11" * 32, "theirs:1")
    engine.add("sha256:" + "22" * 32)
    with building(_place(engine, monkeypatch, None), lambda _: None) as builder:
        builder.build(workload, "a", [base], "app:a")
        engine.add("sha256:" + "33" * 32)  # somebody else's build, meanwhile
    tags = [tag for image in engine.listed.values() for tag in image["RepoTags"]]
    assert tags == ["theirs:1", "app:a"]
    assert {"sha256:" + "22" * 32, "sha256:" + "33" * 32} <= set(engine.listed)


def test_a_users_engine_loses_our_older_build_of_the_same_name(
    engine: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.add("sha256:" + "44" * 32, "<none>:<none>", Labels=OURS)
    with building(_place(engine, monkeypatch, None), lambda _: None):
        pass
    assert engine.listed == {}


def test_a_refusal_that_is_no_conflict_is_not_hidden(engine: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.add("sha256:1")

    def refuse(_: str) -> None:
        raise _error(500)

    monkeypatch.setattr(engine, "remove_image", refuse)
    with pytest.raises(docker.errors.APIError):
        remove_leftovers(cast("docker.APIClient", engine))
