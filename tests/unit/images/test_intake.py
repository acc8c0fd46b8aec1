"""Where a reference is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from coldstart.engines import own_docker
from coldstart.errors import ColdstartError, InputFileError, RegistryUnreachableError, UsageError
from coldstart.images import imports, intake, processes
from coldstart.images.archive import write_archive
from coldstart.images.host import ImageHost
from coldstart.images.intake import Origin, names_of, resolve
from coldstart.images.layers import new_layer
from coldstart.images.reference import Reference
from coldstart.model.image import Image, Layer
from tests.archives import Layout
from tests.unit.engines.fake_daemon import FakeDaemon, inspected
from tests.unit.images.fake_registry import FakeRegistry

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
    with pytest.raises(UsageError, match="is not an image reference"):
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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), docker.errors.APIError("no")])
@pytest.mark.parametrize("step", ["pull", "look"])
def test_an_image_pulled_to_be_looked_at_is_removed_whatever_happens(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, step: str
) -> None:
    look = docker.APIClient.inspect_image
    pull = docker.APIClient.pull

    def look_and_fail(client: docker.APIClient, reference: str) -> object:
        found = look(client, reference)  # type: ignore[no-untyped-call]
        if step == "look":
            raise error
        return found

    def pull_and_fail(client: docker.APIClient, *words: Any, **options: Any) -> Iterator[object]:
        yield from pull(client, *words, **options)
        if step == "pull":
            raise error

    monkeypatch.setattr(docker.APIClient, "inspect_image", look_and_fail)
    monkeypatch.setattr(docker.APIClient, "pull", pull_and_fail)
    daemon.offered["app:1"] = inspected("app:1", digest=DIGEST)
    with pytest.raises((KeyboardInterrupt, ColdstartError)):
        taken_in(daemon, tmp_path)
    assert daemon.images == {}


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
    assert [change for change in daemon.changes if not change.startswith("DELETE")] == [f"POST /images/create?{query}"]


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


# --- the testbed: what is fetched is looked at, and copied under its own digest ---

FROM = "--image app"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody has chosen a Docker, and sudo was not used."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    return monkeypatch


def test_a_docker_that_was_chosen_and_does_not_answer_is_named(own: pytest.MonkeyPatch) -> None:
    own.setenv("DOCKER_HOST", "unix:///nonexistent/mine.sock")
    said: list[str] = []
    local = intake._LocalImages(said.append)
    assert not local.has("app:1")
    assert "unix:///nonexistent/mine.sock (DOCKER_HOST)" in local.unasked
    assert said == ["no Docker answers at unix:///nonexistent/mine.sock (DOCKER_HOST): local images are not looked for"]


def test_that_nobody_runs_a_docker_needs_no_word(own: pytest.MonkeyPatch) -> None:
    own.setattr(own_docker, "DEFAULT_SOCKET", "unix:///nonexistent/docker.sock")
    said: list[str] = []
    local = intake._LocalImages(said.append)
    assert not local.has("app:1")
    assert (local.unasked, said) == ("", [])


def test_under_sudo_it_is_explained_why_another_docker_was_asked(own: pytest.MonkeyPatch) -> None:
    own.setattr(own_docker, "DEFAULT_SOCKET", "unix:///nonexistent/docker.sock")
    own.setenv("SUDO_USER", "me")
    local = intake._LocalImages(lambda _: None)
    assert not local.has("app:1")
    assert "Under sudo me's DOCKER_HOST is not seen: sudo -E" in local.unasked


def test_a_local_docker_is_asked_by_whoever_was_chosen(own: pytest.MonkeyPatch, daemon: FakeDaemon) -> None:
    own.setenv("DOCKER_HOST", daemon.url)
    daemon.images["app:1"] = inspected("app:1")
    assert (intake.has_local_image("app:1"), intake.has_local_image("app:2")) == (True, False)


def fetched(folder: Path, **image: Any) -> Path:
    """Skopeo's folder of an image."""
    layout = Layout(folder / "layout")
    descriptor = layout.image([b"x"], **image)
    out = folder / "image"
    out.mkdir()
    for blob in (layout.root / "blobs" / "sha256").iterdir():
        (out / blob.name).write_bytes(blob.read_bytes())
    (out / descriptor["digest"].removeprefix("sha256:")).rename(out / "manifest.json")
    return out


def test_an_image_that_fits_is_not_refused(tmp_path: Path) -> None:
    intake.refuse_unfit(fetched(tmp_path), FROM, "linux/amd64", is_asked=False)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ({"config_type": "application/vnd.cncf.helm.config.v1+json"}, "is a Helm chart, not a container image"),
        ({"schemaVersion": 1}, "is a manifest of schema 1"),
        ({"platform": "linux/s390x"}, "is for linux/s390x, not for linux/amd64"),
        ({"layer_type": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}, "which engines do not unpack"),
    ],
)
def test_what_a_registry_gave_is_refused_like_an_archive(tmp_path: Path, image: dict[str, Any], said: str) -> None:
    with pytest.raises(InputFileError, match=said):
        intake.refuse_unfit(fetched(tmp_path, **image), FROM, "linux/amd64", is_asked=False)


def test_layers_and_their_diff_ids_have_to_be_as_many(tmp_path: Path) -> None:
    folder = fetched(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["layers"] *= 2
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputFileError, match="another number of layers"):
        intake.refuse_unfit(folder, FROM, "linux/amd64", is_asked=False)


def test_a_manifest_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    folder = fetched(tmp_path)
    (folder / "manifest.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(InputFileError, match="of more than 4194304 bytes"):
        intake.refuse_unfit(folder, FROM, "linux/amd64", is_asked=False)


def test_an_import_is_kept_under_its_own_digest(
    tmp_path: Path, registry_server: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another import of the same name, compressed otherwise, does not stand for it."""
    digest = registry_server.put_image("coldstart-intake/app", "older", [])
    folder = tmp_path / "image"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(registry_server.manifests["coldstart-intake/app", digest])
    pushed: list[str] = []
    monkeypatch.setattr(imports, "push", lambda _folder, destination, _work: pushed.append(destination))
    host = ImageHost(
        docker_socket="unix:///x", registry_address=registry_server.address, registry_netns=None, cache=tmp_path
    )
    image = intake._into_registry(host, folder, "./app.tar", Origin.ARCHIVE, "linux/amd64")
    assert pushed == [f"docker://{registry_server.address}/coldstart-intake/app:{digest.replace(':', '-')}"]
    assert image.reference == f"{registry_server.address}/coldstart-intake/app@{digest}"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("writing blob: happened during read: Digest did not match, expected sha256:1", InputFileError),
        ('writing blob: Patch "http://10.0.0.1:5000/v2/a/blobs/uploads/1": unexpected EOF', processes.ToolFailedError),
        ('msg="writing blob: Put \\"http://10.0.0.1:5000/v2/a\\": unexpected EOF"', processes.ToolFailedError),
        ("writing blob: initializing source: unexpected EOF", InputFileError),
        ("writing blob: uploading layer chunked: received unexpected HTTP status: 500", processes.ToolFailedError),
    ],
)
def test_a_damaged_layer_is_the_files_and_a_push_that_fails_the_registrys(
    tmp_path: Path, registry_server: FakeRegistry, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise processes.ToolFailedError(f"skopeo failed: {said}", said)

    monkeypatch.setattr(imports, "push", fail)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    host = ImageHost(docker_socket="x", registry_address=registry_server.address, registry_netns=None, cache=tmp_path)
    with pytest.raises(kind):
        intake._into_registry(host, tmp_path, "./app.tar", Origin.ARCHIVE, "linux/amd64")


@pytest.mark.parametrize("reference", ["c/w:v", "c/w:other@{digest}", "c/w@{digest}"])
def test_the_testbeds_own_image_may_be_named_by_tag_and_digest(
    tmp_path: Path, registry_server: FakeRegistry, reference: str
) -> None:
    digest = registry_server.put_image("c/w", "v", [])
    host = ImageHost(docker_socket="x", registry_address=registry_server.address, registry_netns=None, cache=tmp_path)
    name = f"{registry_server.address}/{reference.format(digest=digest)}"
    assert intake._from_testbed(host, name, "linux/amd64", is_asked=False).digest == digest


def test_an_image_is_pinned_in_the_repository_that_was_named() -> None:
    digests = [f"acme/other@{DIGEST}", f"acme/app@{DIGEST}"]
    parsed = Reference.parse("acme/app:1")
    elsewhere = Reference.parse("acme/third:1")
    assert parsed is not None
    assert elsewhere is not None
    assert intake._pinned(digests, parsed) == f"acme/app@{DIGEST}"
    assert intake._pinned(digests, elsewhere) == f"acme/other@{DIGEST}"
    assert intake._pinned([], parsed) is None
