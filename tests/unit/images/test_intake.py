"""Where a reference is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import RegistryUnreachableError, UsageError
from coldstart.images import intake
from coldstart.images.archive import write_archive
from coldstart.images.host import ImageHost
from coldstart.images.intake import Origin, names_of, resolve
from coldstart.images.layers import new_layer
from coldstart.model.image import Image, Layer
from tests.unit.engines.fake_daemon import FakeDaemon, inspected

REGISTRY = "198.18.0.2:5000"


def _never(reference: str) -> bool:
    raise AssertionError(f"the local Docker was asked for {reference}")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with new_layer(tmp_path / "layer") as writer:
        writer.add_file("f", b"x")
    path = tmp_path / "app.tar"
    write_archive(path, tag="t:1", platform="linux/amd64", layers=[(tmp_path / "layer", "m")], config={})
    return path


def test_the_testbeds_own_registry_comes_first() -> None:
    assert resolve(f"{REGISTRY}/coldstart/hello:alpine", REGISTRY, _never) is Origin.TESTBED


def test_a_path_is_never_looked_for_elsewhere(archive: Path) -> None:
    assert resolve(str(archive), REGISTRY, _never) is Origin.ARCHIVE


@pytest.mark.parametrize("reference", ["./none", "/none", "~/none-here", "app.tar", "app.tar.gz", "app.tgz"])
def test_a_path_that_is_not_there_is_named(reference: str) -> None:
    with pytest.raises(UsageError, match=f"{reference}: there is no such file"):
        resolve(reference, REGISTRY, _never)


def test_a_folder_with_an_oci_layout_is_an_archive_under_a_plain_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "oci-layout").touch()
    monkeypatch.chdir(tmp_path)
    assert resolve("app", REGISTRY, _never) is Origin.ARCHIVE


def test_a_plain_folder_does_not_hide_an_image_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nginx").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("nginx", REGISTRY, lambda _: False) is Origin.REGISTRY


@pytest.mark.parametrize(("has", "origin"), [(True, Origin.LOCAL_DOCKER), (False, Origin.REGISTRY)])
def test_a_local_image_comes_before_a_registrys(has: bool, origin: Origin) -> None:
    assert resolve("nginx:1.27", REGISTRY, lambda _: has) is origin


@pytest.mark.parametrize("reference", ["a b", "-x", "a@sha256:short", "a:", "ä"])
def test_what_is_no_reference_is_told(reference: str) -> None:
    with pytest.raises(UsageError, match="is no image reference"):
        resolve(reference, REGISTRY, _never)


@pytest.mark.parametrize("reference", ["", "  "])
def test_an_empty_reference_is_told_before_anything_is_asked(reference: str, tmp_path: Path) -> None:
    host = ImageHost(
        docker_socket="unix:///nonexistent", registry_address=None, registry_netns=None, cache=tmp_path / "c"
    )
    with pytest.raises(UsageError, match="--image is empty"):
        intake.take_in(host, reference, None, lambda _: None)


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("nginx", ("nginx", "image")),
        ("r:5000/Team/My_App:V1", ("my_app", "v1")),
        (f"r/app@sha256:{'a' * 64}", ("app", "image")),
        (f"r/app:2@sha256:{'a' * 64}", ("app", "2")),
        ("/tmp/My App.tar.gz", ("my-app", "image")),
        ("./app.tgz", ("app", "image")),
        ("./---.tar", ("image", "image")),
    ],
)
def test_workload_and_variant_are_named_after_the_reference(reference: str, names: tuple[str, str]) -> None:
    assert names_of(reference) == names


def test_an_archive_is_known_by_its_content_where_it_has_another_name(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.rename(tmp_path / "run.oci")
    monkeypatch.chdir(tmp_path)
    assert resolve("run.oci", REGISTRY, _never) is Origin.ARCHIVE


def test_a_file_that_is_no_archive_does_not_hide_an_image_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app").write_text("#!/bin/sh\n")
    monkeypatch.chdir(tmp_path)
    assert resolve("app", REGISTRY, lambda _: False) is Origin.REGISTRY
    assert "write ./app" in intake._hint_of_a_file("app")
    assert intake._hint_of_a_file("nginx") == ""


@pytest.mark.parametrize("reference", ["~nobody-of-that-name/app.tar"])
def test_a_user_that_is_not_there_is_a_file_that_is_not_there(reference: str) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        resolve(reference, REGISTRY, _never)


def test_no_docker_of_ones_own_has_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert not intake.has_local_image("nginx")


def test_a_file_is_named_in_results_without_its_folders() -> None:
    assert intake._shown("/home/me/app.tar", Origin.ARCHIVE) == "app.tar"


# --- an engine of somebody's own ---

DIGEST = f"sha256:{'d' * 64}"


def taken_in(daemon: FakeDaemon, cache: Path, reference: str = "app:1", platform: str | None = None) -> Image:
    host = ImageHost(docker_socket=daemon.url, registry_address=None, registry_netns=None, cache=cache)
    return intake.take_in(host, reference, platform, lambda _: None)


def test_an_engines_own_image_is_measured_as_it_is(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1")
    taken_in(daemon, tmp_path)
    assert daemon.changes == []


def test_an_engines_own_layers_are_known_by_their_diff_ids_alone(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1")
    assert taken_in(daemon, tmp_path).layers == tuple(
        Layer(digest=None, diff_id=f"sha256:{c * 64}", compressed_bytes=None) for c in "12"
    )


def test_an_image_some_registry_has_is_pinned_by_its_digest(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1", digest=DIGEST)
    image = taken_in(daemon, tmp_path)
    assert (image.reference, image.digest, image.can_be_pulled) == (f"app@{DIGEST}", DIGEST, True)


def test_an_image_built_on_the_engine_keeps_its_name_and_cannot_be_pulled(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1")
    image = taken_in(daemon, tmp_path)
    assert (image.reference, image.digest, image.can_be_pulled) == ("app:1", None, False)


def test_an_engines_image_is_named_after_its_reference(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["r:5000/team/app:1"] = inspected("r:5000/team/app:1")
    image = taken_in(daemon, tmp_path, "r:5000/team/app:1")
    assert (image.workload, image.variant, image.image_id) == ("app", "1", daemon.images["r:5000/team/app:1"]["Id"])


def test_an_engines_image_says_which_platform_it_is_for(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1", Architecture="arm", Variant="v6")
    assert taken_in(daemon, tmp_path).platform == "linux/arm/v6"


def test_an_image_without_layers_has_none(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["app:1"] = inspected("app:1", RootFS={"Type": "layers"})
    assert taken_in(daemon, tmp_path).layers == ()


def test_an_image_pulled_to_be_looked_at_is_removed_again(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.images["theirs:1"] = inspected("theirs:1")
    daemon.offered["app:1"] = inspected("app:1", digest=DIGEST)
    assert taken_in(daemon, tmp_path).reference == f"app@{DIGEST}"
    assert list(daemon.images) == ["theirs:1"]


@pytest.mark.parametrize(
    ("reference", "query"),
    [
        ("app", "tag=latest&fromImage=app"),
        ("app:1", "tag=1&fromImage=app"),
        ("r:5000/app", "tag=latest&fromImage=r%3A5000%2Fapp"),
        (f"app@{DIGEST}", f"tag=sha256%3A{'d' * 64}&fromImage=app"),
    ],
)
def test_to_be_looked_at_one_image_is_pulled_never_all_tags_of_a_name(
    daemon: FakeDaemon, tmp_path: Path, reference: str, query: str
) -> None:
    with pytest.raises(UsageError):
        taken_in(daemon, tmp_path, reference)
    assert daemon.changes == [f"POST /images/create?{query}"]


def test_a_users_own_engine_takes_no_platform_but_its_own(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.offered["app:1"] = inspected("app:1", digest=DIGEST)
    with pytest.raises(UsageError, match="--platform needs the testbed"):
        taken_in(daemon, tmp_path, platform="linux/arm64")
    assert daemon.changes == []


def test_an_image_nobody_has_is_the_callers_mistake(daemon: FakeDaemon, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--image app:1: no local image of that name, and its registry does not give"):
        taken_in(daemon, tmp_path)


def test_a_registry_that_does_not_answer_is_the_networks(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.refusal = "Get https://r/v2/: dial tcp 1.2.3.4:443: i/o timeout"
    with pytest.raises(RegistryUnreachableError, match=r"its registry cannot be reached: .*i/o timeout"):
        taken_in(daemon, tmp_path)


@pytest.mark.parametrize("reference", ["./app.tar", "/tmp/app.tar"])
def test_an_engine_of_somebodys_own_takes_no_archive(daemon: FakeDaemon, tmp_path: Path, reference: str) -> None:
    with pytest.raises(UsageError, match="takes images by name only; load an archive into it first"):
        taken_in(daemon, tmp_path, reference)
