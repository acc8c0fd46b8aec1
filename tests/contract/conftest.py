"""Every engine there is, each with an image that serves and one that takes commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from coldstart import engines
from coldstart.engines import fake
from coldstart.engines.base import ContainerSpec, Engine, EngineAddress
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.images.build import ensure_images
from coldstart.images.host import ImageHost, engine_client, platform_of
from coldstart.images.intake import take_in
from coldstart.model.cell import Network
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.probes.base import Probe, options_with
from coldstart.runner.place import image_host
from coldstart.testbed.config import Testbed
from tests.archives import with_healthcheck, with_repeated_layer


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An engine under contract: ``server`` listens on port 8080 and says so, ``shell`` runs ``sh -c`` commands.

    ``checked`` runs commands too, and has a HEALTHCHECK that agrees. ``repeated`` lists one layer twice, ``renamed``
    is ``shell`` under another name.
    """

    engine: Engine
    server: Image
    shell: Image
    checked: Image
    repeated: Image
    renamed: Image

    def spec(
        self, image: Image, *command: str, network: Network = Network.BRIDGE, probe: Probe | None = None
    ) -> ContainerSpec:
        """A container of the image, with what the probe needs."""
        options = ContainerOptions(command=command)
        if probe is not None:
            options = options_with(probe, self.engine, options)
        return ContainerSpec(image=image, runtime="runc", network=network, options=options)


def _fake(_request: pytest.FixtureRequest) -> Contender:
    engine = engines.connect("fake", EngineAddress(url="fake:", where="nowhere"))
    return Contender(
        engine=engine,
        server=fake.image("hello", "scratch"),
        shell=fake.image("sh", "image"),
        checked=fake.image("sh", "checked"),
        repeated=_repeating(fake.image("sh", "repeated")),
        renamed=msgspec.structs.replace(fake.image("sh", "image"), reference="fake.invalid/renamed:1"),
    )


def _repeating(image: Image) -> Image:
    """The image with its last layer once more."""
    again: Image = msgspec.structs.replace(image, layers=(*image.layers, image.layers[-1]))
    return again


def _docker(request: pytest.FixtureRequest) -> Contender:
    bed: Testbed = request.getfixturevalue("testbed")
    host: ImageHost = image_host(bed, request.getfixturevalue("testbed_config").cache)
    with engine_client(bed.docker_host) as client:
        platform = platform_of(client)
    (server,) = ensure_images(host, [("hello", "scratch")], lambda _: None)
    base = ensure_base(host.cache, "alpine", platform, BaseSource.AUTO, lambda _: None)
    folder = request.getfixturevalue("tmp_path_factory").mktemp("checked")
    renamed = shutil.copy(base.archive, folder / "renamed.tar")
    address = EngineAddress(
        url=bed.docker_host, where="testbed", private=True, netns=bed.engine_netns, log=bed.engine_log
    )
    return Contender(
        engine=engines.connect("docker", address),
        server=server,
        shell=take_in(host, str(base.archive), None, lambda _: None),
        checked=take_in(host, with_healthcheck(base.archive, folder, "true"), None, lambda _: None),
        repeated=take_in(host, with_repeated_layer(base.archive, folder), None, lambda _: None),
        renamed=take_in(host, str(renamed), None, lambda _: None),
    )


CONTENDERS: dict[str, Callable[[pytest.FixtureRequest], Contender]] = {"fake": _fake, "docker": _docker}


@pytest.fixture(
    scope="module",
    params=["fake", *(pytest.param(name, marks=pytest.mark.engine) for name in CONTENDERS if name != "fake")],
)
def contender(request: pytest.FixtureRequest) -> Iterator[Contender]:
    """One engine after the other; images it had are gone before and after."""
    found = CONTENDERS[request.param](request)
    with closing(found.engine):
        found.engine.sweep()
        yield found
        found.engine.sweep()
        for image in (found.server, found.shell, found.checked, found.repeated):
            found.engine.remove_image(image)


@pytest.fixture
def engine(contender: Contender) -> Iterator[Engine]:
    """The engine, without containers before and after the test."""
    yield contender.engine
    contender.engine.sweep()


@pytest.fixture
def server(contender: Contender) -> Image:
    """The image that serves, in the engine."""
    if not contender.engine.has_image(contender.server):
        contender.engine.pull(contender.server)
    return contender.server


@pytest.fixture
def shell(contender: Contender) -> Image:
    """The image that takes commands, in the engine."""
    if not contender.engine.has_image(contender.shell):
        contender.engine.pull(contender.shell)
    return contender.shell


@pytest.fixture
def checked(contender: Contender) -> Image:
    """The image with a HEALTHCHECK, in the engine."""
    if not contender.engine.has_image(contender.checked):
        contender.engine.pull(contender.checked)
    return contender.checked
