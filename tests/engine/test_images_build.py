"""Catalogue images on the real engine: they are built, they serve, they are counted right, and nothing stays behind.

The bases come from the cache that ``COLDSTART_CACHE_DIR`` names where it has them; the first run makes them.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import docker
import pytest

from coldstart.engines.netns import tcp_socket
from coldstart.images.bases import BaseSource, ensure_bases
from coldstart.images.build import ensure_images
from coldstart.images.host import ImageHost, engine_client, platform_of
from coldstart.images.intake import take_in
from coldstart.model.image import Image
from coldstart.testbed.config import Testbed, TestbedConfig
from coldstart.testbed.registry import blob_path

pytestmark = pytest.mark.engine

VARIANTS = ("multi-stage", "alpine", "distroless", "scratch")
WANTED = [("hello", variant) for variant in VARIANTS]


@pytest.fixture(scope="module")
def host(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> ImageHost:
    """The testbed with the machine's bases, and records of its own: what others built stays known to them."""
    shared, own = TestbedConfig.from_environment().cache, tmp_path_factory.mktemp("cache")
    with engine_client(testbed.docker_host) as client:
        platform = platform_of(client)
    bases = ("golang", "slim", "alpine", "distroless", "python", "python-slim")
    ensure_bases(shared, bases, platform, BaseSource.AUTO, lambda _: None)
    (own / "bases").symlink_to(shared / "bases")
    return ImageHost(
        docker_socket=testbed.docker_host,
        registry_address=testbed.registry_address,
        registry_netns=testbed.registry_netns,
        cache=own,
    )


@pytest.fixture(scope="module")
def images(host: ImageHost) -> dict[str, Image]:
    """Every variant but single-stage, which has its own test: it is slow to push and to count."""
    return {image.variant: image for image in ensure_images(host, WANTED, lambda _: None)}


def _forget(host: ImageHost) -> None:
    for record in (host.cache / "images").glob("*.json"):
        record.unlink()


@pytest.fixture
def client(testbed: Testbed) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=testbed.docker_host, version="auto")
    yield client
    client.close()


@contextmanager
def _started(client: docker.APIClient, reference: str, **config: Any) -> Iterator[str]:
    client.pull(reference)
    container = client.create_container(reference, **config)["Id"]
    try:
        client.start(container)
        yield container
    finally:
        client.remove_container(container, force=True)
        client.remove_image(reference, force=True)


def _answer(testbed: Testbed, address: str, path: str = "/") -> tuple[int, bytes]:
    """The first answer on port 8080; refusals before it listens are expected."""
    for _ in range(200):
        connection = http.client.HTTPConnection(address, 8080, timeout=5)
        connection.sock = tcp_socket(testbed.engine_netns)
        connection.sock.settimeout(5)
        try:
            connection.sock.connect((address, 8080))
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionRefusedError:
            signal.sigtimedwait([], 0.05)
        finally:
            connection.close()
    raise AssertionError(f"nobody listens on {address}:8080")


def _everything(client: docker.APIClient) -> set[str]:
    return {each["Id"] for each in (*client.images(all=True), *client.containers(all=True))}


@pytest.mark.usefixtures("images")
def test_a_build_leaves_no_image_and_no_container_in_the_engine(host: ImageHost, client: docker.APIClient) -> None:
    before = _everything(client)
    _forget(host)
    ensure_images(host, [("hello", "alpine")], lambda _: None)
    assert _everything(client) == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_answers_on_its_port(
    testbed: Testbed, client: docker.APIClient, images: dict[str, Image], variant: str
) -> None:
    with _started(client, images[variant].reference) as container:
        facts = client.inspect_container(container)
        answer = _answer(testbed, facts["NetworkSettings"]["IPAddress"])
    assert answer == (200, b'{"message":"hello"}\n')


def test_a_python_api_answers_from_wheels_that_its_build_fetched_nowhere(
    testbed: Testbed, client: docker.APIClient, host: ImageHost
) -> None:
    (image,) = ensure_images(host, [("api", "multi-stage")], lambda _: None)
    with _started(client, image.reference) as container:
        facts = client.inspect_container(container)
        status, body = _answer(testbed, facts["NetworkSettings"]["IPAddress"], "/orders")
        client.kill(container, "SIGTERM")
        ended = client.wait(container)["StatusCode"]
    assert (status, b'"customer":"first"' in body, ended) == (200, True, 0)


def test_it_ends_by_itself_on_sigterm(testbed: Testbed, client: docker.APIClient, images: dict[str, Image]) -> None:
    with _started(client, images["scratch"].reference) as container:
        facts = client.inspect_container(container)
        _answer(testbed, facts["NetworkSettings"]["IPAddress"])
        client.kill(container, "SIGTERM")
        assert client.wait(container)["StatusCode"] == 0


def test_the_alpine_variant_is_alpine_with_certificates(client: docker.APIClient, images: dict[str, Image]) -> None:
    command = ["sh", "-c", "apk info --installed ca-certificates && . /etc/os-release && echo $ID"]
    with _started(client, images["alpine"].reference, entrypoint=command) as container:
        assert client.wait(container)["StatusCode"] == 0
        assert client.logs(container).split() == [b"ca-certificates", b"alpine"]


def test_the_second_call_builds_nothing(host: ImageHost, images: dict[str, Image]) -> None:
    ensure_images(host, WANTED, lambda _: None)
    said: list[str] = []
    again = ensure_images(host, WANTED, said.append)
    assert said == []
    assert [image.variant for image in again] == list(images)


def test_a_build_again_gives_the_same_image(host: ImageHost, images: dict[str, Image]) -> None:
    _forget(host)
    (again,) = ensure_images(host, [("hello", "distroless")], lambda _: None)
    layers = [layer.diff_id for layer in images["distroless"].layers]
    assert [layer.diff_id for layer in again.layers] == layers


@pytest.mark.parametrize("variant", VARIANTS)
def test_recorded_bytes_are_those_on_the_registrys_disk(
    testbed: Testbed, images: dict[str, Image], variant: str
) -> None:
    storage = testbed.registry_storage
    assert storage is not None
    layers = images[variant].layers
    stored = [blob_path(storage, layer.digest or "").stat().st_size for layer in layers]
    assert [layer.compressed_bytes for layer in layers] == stored


def test_sizes_are_ordered_as_the_variants_are(images: dict[str, Image]) -> None:
    sizes = [images[variant].unpacked_bytes or 0 for variant in ("scratch", "distroless", "alpine", "multi-stage")]
    assert sizes == sorted(sizes)
    assert sizes[0] > 1_000_000


def test_slim_and_the_toolchain_share_no_layer(host: ImageHost, images: dict[str, Image]) -> None:
    (single,) = ensure_images(host, [("hello", "single-stage")], lambda _: None)
    shared = {layer.digest for layer in single.layers} & {layer.digest for layer in images["multi-stage"].layers}
    assert shared == set()


def test_provenance_names_packages_with_versions_or_a_digest(images: dict[str, Image]) -> None:
    for image in images.values():
        assert image.provenance
        for part in image.provenance:
            assert "@sha256:" in part.source or all("=" in package for package in part.packages)
            assert "@sha256:" in part.source or part.packages


def test_an_interrupted_build_leaves_nothing(host: ImageHost, testbed: Testbed, client: docker.APIClient) -> None:
    before = _everything(client)
    _forget(host)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from coldstart.images.build import ImageHost, ensure_images\n"
        f"host = ImageHost(docker_socket={host.docker_socket!r}, registry_address={host.registry_address!r},\n"
        f"    registry_netns=Path({str(testbed.registry_netns)!r}), cache=Path({str(host.cache)!r}))\n"
        "ensure_images(host, [('hello', 'scratch')], lambda line: print(line, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("building"))
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert _everything(client) == before


def _architecture(archive: Path) -> str:
    """What `docker save` wrote into it."""
    with tarfile.open(archive) as tar:
        manifest = json.load(cast("IO[bytes]", tar.extractfile("manifest.json")))
        config = json.load(cast("IO[bytes]", tar.extractfile(manifest[0]["Config"])))
    return str(config["architecture"])


def test_an_archive_is_taken_in_with_its_layers(host: ImageHost, client: docker.APIClient, tmp_path: Path) -> None:
    bases = (host.cache / "bases").glob("distroless-packages-*/image.tar")
    own = client.version()["Arch"]  # the cache may hold bases for boards of another kind, too
    base = next(archive for archive in bases if _architecture(archive) == own)
    archive = tmp_path / "static.tar"
    archive.symlink_to(base)
    image = take_in(host, str(archive), None, lambda _: None)
    assert (image.workload, image.variant, len(image.layers)) == ("static", "image", 6)
    assert image.unpacked_bytes is not None


def test_an_image_of_the_testbeds_registry_is_found_by_its_tag(
    host: ImageHost, testbed: Testbed, images: dict[str, Image]
) -> None:
    image = take_in(host, f"{testbed.registry_address}/coldstart/hello:scratch", None, lambda _: None)
    assert image.layers == images["scratch"].layers


def test_without_a_registry_the_image_stays_in_the_engine_and_nothing_else_has_a_name(
    host: ImageHost, client: docker.APIClient
) -> None:
    own = ImageHost(docker_socket=host.docker_socket, registry_address=None, registry_netns=None, cache=host.cache)
    before = {tag for listed in client.images() for tag in listed["RepoTags"] or ()}
    try:
        (image,) = ensure_images(own, [("hello", "scratch")], lambda _: None)
        tags = {tag for listed in client.images() for tag in listed["RepoTags"] or ()}
        assert tags - before == {image.reference}
    finally:
        client.remove_image("coldstart/hello:scratch", force=True)
