"""Images of a platform this machine's CPU does not run, built on the real engine by an emulator the kernel calls.

Where none is registered, Debian's is for as long as these tests run, and gone with them even if they are killed: the
registration belongs to a mount in the namespace of a process that ends when we do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from coldstart import __version__
from coldstart.errors import InputFileError
from coldstart.images.bases import BaseSource, ensure_bases
from coldstart.images.build import ensure_images, recorded_images
from coldstart.images.catalogue import Variant, Workload
from coldstart.images.emulation import runs_here
from coldstart.images.host import engine_client, platform_of
from coldstart.kit.bundle import Manifest, write
from coldstart.kit.images import load_images, read_images, save_images
from coldstart.model.image import Image
from coldstart.model.probe import ProbeSpec
from coldstart.runner.place import image_host
from coldstart.testbed.config import Testbed, TestbedConfig

pytestmark = pytest.mark.engine

HANDLERS = {"linux/arm64": "qemu-aarch64", "linux/amd64": "qemu-x86_64"}
MACHINES = {"linux/arm64": "aarch64", "linux/amd64": "x86_64"}
WANTED = [("machine", "slim")]

HOLD = """
mount -t binfmt_misc none "$1" && sed 's/^:[^:]*/:coldstart-test/' "$2" >"$1/register" && echo registered && cat
echo -1 >"$1/coldstart-test"
"""


@pytest.fixture(scope="module")
def foreign(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A platform of another CPU, whose programs run here."""
    with engine_client(testbed.docker_host) as client:
        platform = "linux/arm64" if platform_of(client) != "linux/arm64" else "linux/amd64"
    cache = tmp_path_factory.mktemp("cache")
    if runs_here(platform, cache):
        yield platform
        return
    handler = Path(f"/usr/lib/binfmt.d/{HANDLERS[platform]}.conf")
    if not handler.is_file():
        pytest.skip("there is no emulator on this machine: apt-get install qemu-user-static")
    argv = ["unshare", "--mount", "sh", "-c", HOLD, "sh", str(tmp_path_factory.mktemp("binfmt_misc")), str(handler)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "registered\n"
        try:
            assert runs_here(platform, cache)
            yield platform
        finally:
            holder.stdin.close()
    assert not runs_here(platform, cache)


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """An image whose build runs a program of its platform, and which tells on which machine it runs."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "Dockerfile").write_text('ARG SLIM\nFROM ${SLIM}\nRUN uname -m > /built\nCMD ["cat", "/built"]\n')
    variants = {"slim": Variant(dockerfile="Dockerfile", description="", bases=("slim",))}
    return Workload(name="machine", description="", ready=ProbeSpec(kind="exit"), variants=variants, folder=folder)


@pytest.fixture(scope="module")
def image(testbed: Testbed, testbed_config: TestbedConfig, foreign: str, workload: Workload) -> Image:
    host = image_host(testbed, testbed_config.cache)
    (image,) = ensure_images(host, WANTED, lambda _: None, workloads={"machine": workload}, platform=foreign)
    return image


def test_an_image_is_of_the_platform_it_was_asked_for_and_its_programs_ran_there(
    testbed: Testbed, foreign: str, image: Image
) -> None:
    client = docker.APIClient(base_url=testbed.docker_host, version="auto")
    try:
        client.pull(image.reference)
        inspected = client.inspect_image(image.reference)  # type: ignore[no-untyped-call]
        container = client.create_container(image.reference)["Id"]
        client.start(container)
        client.wait(container)
        said = client.logs(container).decode()
        client.remove_container(container)
        client.remove_image(image.reference)
    finally:
        client.close()
    assert (image.platform, f"{inspected['Os']}/{inspected['Architecture']}") == (foreign, foreign)
    assert said == f"{MACHINES[foreign]}\n"


def test_it_is_saved_for_its_boards_and_refused_here(
    testbed: Testbed, testbed_config: TestbedConfig, foreign: str, workload: Workload, image: Image, tmp_path: Path
) -> None:
    host, known = image_host(testbed, testbed_config.cache), {"machine": workload}
    records = save_images(host, [image], tmp_path / "bundle", lambda _: None, workloads=known)
    path = tmp_path / "images.tar"
    write(path, records.written_in(Manifest(coldstart=__version__, platform=foreign)), tmp_path / "bundle")
    read = read_images(path, tmp_path / "unpacked", workloads=known)
    assert [saved.image for saved in read.images] == [image]
    with pytest.raises(InputFileError, match=f"is for {foreign}, and this machine's engine runs"):
        load_images(host, path, tmp_path / "unpacked", read, lambda _: None, workloads=known)


@pytest.mark.usefixtures("image")
def test_this_machines_own_image_is_not_taken_for_it(
    testbed: Testbed, testbed_config: TestbedConfig, workload: Workload
) -> None:
    host = image_host(testbed, testbed_config.cache)
    with engine_client(testbed.docker_host) as client:
        own = platform_of(client)
    assert recorded_images(host, WANTED, own, workloads={"machine": workload}) == {WANTED[0]: None}


@pytest.mark.parametrize("base", ["alpine", "distroless", "distroless-python"])
def test_bases_that_are_unpacked_are_of_the_platform_too(
    base: str, testbed_config: TestbedConfig, foreign: str
) -> None:
    made = ensure_bases(testbed_config.cache, [base], foreign, BaseSource.PACKAGES, lambda _: None)
    assert made[base].record.platform == foreign
