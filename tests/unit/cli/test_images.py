"""The images command: what it chooses, what it shows, what it says when there is no testbed."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from click.testing import CliRunner, Result

from coldstart.cli import _saving
from coldstart.cli import images as module
from coldstart.engines import own_docker
from coldstart.errors import (
    ImageBuildError,
    InputFileError,
    InvalidEnvironmentError,
    NotPublishedError,
    UnknownNameError,
    UsageError,
)
from coldstart.images import build, host, platforms
from coldstart.images.bases import BaseRecord, BaseSource, adopt, cached
from coldstart.images.catalogue import catalogue
from coldstart.kit import debs, wheels
from coldstart.kit import images as kit_images
from coldstart.kit.bundle import Target, read_manifest
from coldstart.kit.images import Records, SavedImage
from coldstart.model.image import Image, Layer, Provenance
from coldstart.runner import place
from coldstart.testbed.registry import blob_path

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
    there = host.ImageHost(docker_socket="unix:///x", registry_address="r", registry_netns=None, cache=tmp_path)

    class Client:
        def __init__(self, _: str) -> None:
            """Needs nothing."""

        def __enter__(self) -> None:
            """Nobody is asked."""

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

    monkeypatch.setattr(module, "_present_host", lambda: there)
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


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("docker_host", [None, "unix:///nonexistent/docker.sock"])
def test_the_list_needs_nothing_to_be_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, docker_host: str | None
) -> None:
    """What was built is known by its record, and is there as long as the registry's storage has its manifest."""
    platform = platforms.of_machine()
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent")
    monkeypatch.setenv("COLDSTART_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(own_docker, "DEFAULT_SOCKET", "unix:///nonexistent/docker.sock")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if docker_host is not None:
        monkeypatch.setenv("DOCKER_HOST", docker_host)
    for name, digest in (("hello", f"sha256:{'a' * 64}"), ("api", f"sha256:{'b' * 64}")):
        workload = catalogue()[name]
        name_of_variant, variant = next(iter(workload.variants.items()))
        for base in variant.bases:
            record = BaseRecord(
                name=base,
                tag=f"coldstart-base/{base}:packages",
                image_id="sha256:1",
                platform=platform,
                provenance=Provenance(what="w", source="s"),
            )
            adopt(tmp_path, record)
        found = [cached(tmp_path, base, platform, BaseSource.AUTO) for base in variant.bases]
        made_of = [base for base in found if base is not None]
        key = build.content_key(workload, variant, made_of, platform)
        image = msgspec.structs.replace(ALPINE, workload=name, variant=name_of_variant, digest=digest)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"registry-{key}.json").write_bytes(msgspec.json.encode(image))
    stored = blob_path(tmp_path / "registry", f"sha256:{'a' * 64}")
    stored.parent.mkdir(parents=True)
    stored.touch()
    done = CliRunner().invoke(module.command, ["list", "--json"])
    assert done.exit_code == 0
    assert f"stored in {tmp_path}" in done.stderr
    assert [row["workload"] for row in json.loads(done.stdout) if row["built"]] == ["hello"]


def test_a_users_own_engine_is_looked_at_where_there_is_no_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_STATE_DIR", "/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", "unix:///theirs")
    there = module._present_host()
    assert there is not None
    assert there.docker_socket == "unix:///theirs"


@pytest.mark.parametrize(
    ("user", "named", "asked"), [(1000, "", "/mine.sock"), (0, "", None), (0, "mine", "/mine.sock")]
)
def test_a_users_own_engine_is_the_one_of_their_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, named: str, asked: str | None
) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Endpoints": {"docker": {"Host": "unix:///mine.sock"}}}')
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", named)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    there = module._present_host()
    assert (there and there.docker_socket) == (asked and f"unix://{asked}")


def test_a_folder_without_a_workload_is_told_before_any_engine_is_asked(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"app/workload\.toml: cannot be read"):
        CliRunner().invoke(module.command, ["build", "--workload", f"{tmp_path}/app"], catch_exceptions=False)


class Downloads:
    """A board of the host's kind, and downloads that write a file each."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, str]] = []
        self.run_here = ["linux/amd64"]
        self.platforms: list[str | None] = []

    def built(self, _choice: object, platform: str | None, *_: object) -> Records:
        self.platforms.append(platform)
        return Records((SavedImage(key="k", image=ALPINE),), ())

    def wheels(self, folder: Path, platform: str, release: str, _: object) -> None:
        self.wanted.append((platform, release))
        folder.mkdir()
        (folder / "a.whl").touch()

    def debs(self, folder: Path, _work: Path, target: Target, _: object) -> None:
        self.wanted.append((target.architecture, target.release))
        folder.mkdir()
        for name in ("a.deb", "Packages"):
            (folder / name).touch()


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Downloads:
    downloads = Downloads()
    monkeypatch.setenv("COLDSTART_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_saving, "this_board", lambda: Target(architecture="amd64", release="bookworm", python="3.11"))
    monkeypatch.setattr(wheels, "download", downloads.wheels)
    monkeypatch.setattr(debs, "download", downloads.debs)
    monkeypatch.setattr(_saving, "_built", downloads.built)
    monkeypatch.setattr(_saving, "runs_here", lambda platform, _: platform in downloads.run_here)
    return downloads


def _save(*words: object) -> Result:
    return CliRunner().invoke(module.command, ["save", *map(str, words)])


@pytest.mark.usefixtures("downloads")
def test_saved_images_are_a_bundle_for_the_platform_they_were_built_for(tmp_path: Path) -> None:
    done = _save(tmp_path / "images.tar")
    assert read_manifest(tmp_path / "images.tar").platform == "linux/amd64"
    assert done.stderr.splitlines()[-1] == f"{tmp_path}/images.tar: 1 images for linux/amd64; 0 B"


def test_a_kit_is_for_this_machines_kind_unless_another_is_named(tmp_path: Path, downloads: Downloads) -> None:
    done = _save("--kit", tmp_path / "kit.tar")
    assert downloads.wanted == [("linux/amd64", "bookworm"), ("amd64", "bookworm")]
    assert "1 images, 1 wheels, 1 Debian packages for linux/amd64, Debian bookworm" in done.stderr


def test_a_kit_for_a_platform_that_does_not_run_here_has_no_images_and_says_what_helps(
    tmp_path: Path, downloads: Downloads
) -> None:
    done = _save("--kit", tmp_path / "kit.tar", "--platform", "linux/arm64", "--release", "trixie")
    manifest = read_manifest(tmp_path / "kit.tar")
    assert downloads.wanted == [("linux/arm64", "trixie"), ("arm64", "trixie")]
    assert (manifest.images, manifest.target) == ((), Target(architecture="arm64", release="trixie", python="3.13"))
    assert "a kit without images: programs of linux/arm64 do not run here" in done.stderr
    assert "apt-get install qemu-user-static binfmt-support" in done.stderr
    assert downloads.platforms == []


def test_a_kit_for_a_platform_that_is_emulated_has_its_images(tmp_path: Path, downloads: Downloads) -> None:
    downloads.run_here.append("linux/arm64")
    done = _save("--kit", tmp_path / "kit.tar", "--platform", "linux/arm64")
    assert "1 images, 1 wheels, 1 Debian packages for linux/arm64, Debian bookworm" in done.stderr
    assert downloads.platforms == ["linux/arm64"]


def test_images_alone_can_be_for_another_platform(tmp_path: Path, downloads: Downloads) -> None:
    downloads.run_here.append("linux/arm64")
    _save(tmp_path / "i.tar", "--platform", "linux/arm64")
    assert (downloads.platforms, downloads.wanted) == (["linux/arm64"], [])
    assert read_manifest(tmp_path / "i.tar").platform == "linux/arm64"


@pytest.mark.usefixtures("downloads")
def test_images_alone_that_cannot_be_built_are_an_error_with_the_remedy(tmp_path: Path) -> None:
    done = _save(tmp_path / "i.tar", "--platform", "linux/arm64")
    assert isinstance(done.exception, InvalidEnvironmentError)
    assert "apt-get install qemu-user-static binfmt-support" in str(done.exception)
    assert not (tmp_path / "i.tar").exists()


class Builds:
    """Stands for the testbed and its builder."""

    def __init__(self, there: host.ImageHost) -> None:
        self.place = SimpleNamespace(image_host=there, egress=nullcontext)
        self.images: tuple[Image, ...] = (ALPINE,)
        self.may_leave_out = False

    def ensure(self, *_: object, left_out: object, **__: object) -> tuple[Image, ...]:
        self.may_leave_out = left_out is not None
        if callable(left_out):
            left_out(("hello", "scratch"), NotPublishedError("no Go there"))
        return self.images


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Builds:
    there = host.ImageHost(docker_socket="unix:///x", registry_address="r", registry_netns=None, cache=tmp_path)
    builds = Builds(there)
    monkeypatch.setenv("COLDSTART_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_saving, "open_place", lambda *_, **__: nullcontext(builds.place))
    monkeypatch.setattr(_saving, "ensure_images", builds.ensure)
    monkeypatch.setattr(
        _saving, "save_images", lambda _, images, *__, **___: Records((SavedImage(key="k", image=images[0]),), ())
    )
    return builds


def test_of_the_whole_catalogue_what_cannot_be_had_is_left_out_by_name(tmp_path: Path, builds: Builds) -> None:
    done = _save(tmp_path / "i.tar")
    assert (done.exit_code, builds.may_leave_out) == (0, True)
    assert "left out hello/scratch: no Go there" in done.stderr


@pytest.mark.parametrize("words", [("--workload", "hello"), ("--variant", "scratch")])
def test_what_was_named_is_not_left_out(words: tuple[str, str], tmp_path: Path, builds: Builds) -> None:
    assert _save(tmp_path / "i.tar", *words).exit_code == 0
    assert not builds.may_leave_out


def test_where_nothing_of_the_catalogue_can_be_had_nothing_is_written(tmp_path: Path, builds: Builds) -> None:
    builds.images = ()
    done = _save(tmp_path / "i.tar")
    assert isinstance(done.exception, ImageBuildError)
    assert not (tmp_path / "i.tar").exists()


def test_a_users_own_engine_is_refused_before_anything_is_built(tmp_path: Path, builds: Builds) -> None:
    builds.place.image_host = msgspec.structs.replace(builds.place.image_host, registry_address=None)
    done = _save(tmp_path / "i.tar")
    assert isinstance(done.exception, InvalidEnvironmentError)
    assert "run as root" in str(done.exception)


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "name one file"),
        (("i.tar", "--kit", "k.tar"), "name one file"),
        (("i.tar", "--release", "trixie"), "--release belongs to --kit"),
        (("i.tar", "--platform", "arm64"), "unknown platform 'arm64'"),
        (("nowhere/i.tar",), "there is no folder nowhere"),
        (("--kit", "k.tar", "--release", "buster"), "unknown release 'buster'"),
        (("--kit", "k.tar", "--platform", "arm64"), "unknown platform 'arm64'"),
    ],
)
def test_what_cannot_be_saved_is_told_before_anything_is_made(
    words: tuple[str, ...], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = _save(*words)
    assert isinstance(done.exception, UsageError)
    assert what in str(done.exception)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tar"] == []


def test_a_damaged_file_is_refused_before_a_testbed_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLDSTART_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(place, "open_place", lambda *_, **__: pytest.fail("started"))
    (tmp_path / "i.tar").write_bytes(b"images")
    done = CliRunner().invoke(module.command, ["load", str(tmp_path / "i.tar")])
    assert isinstance(done.exception, InputFileError)


def test_loaded_images_are_shown_with_their_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = host.ImageHost(docker_socket="unix:///x", registry_address="r", registry_netns=None, cache=tmp_path)
    monkeypatch.setenv("COLDSTART_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(place, "open_place", lambda *_, **__: nullcontext(SimpleNamespace(image_host=there)))
    monkeypatch.setattr(kit_images, "read_images", lambda *_: Records((), ()))
    monkeypatch.setattr(kit_images, "load_images", lambda *_: (ALPINE,))
    done = CliRunner().invoke(module.command, ["load", str(tmp_path / "i.tar")])
    assert "hello/alpine" in done.stdout
    assert "13.1 MB" in done.stdout
