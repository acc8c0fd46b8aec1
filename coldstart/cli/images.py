"""List and build the catalogue's images, and carry them to machines that cannot build them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coldstart.cli._options import bases_option
from coldstart.units import format_bytes

if TYPE_CHECKING:
    from coldstart.images.bases import BaseSource
    from coldstart.images.catalogue import Workload
    from coldstart.images.host import ImageHost
    from coldstart.model.image import Image

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """The catalogue's images: which there are, what is in them, where it came from."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything, as a JSON array with an object an image.")
@bases_option
def list_images(as_json: bool, bases: str) -> None:
    """Show every variant, built or not, with its sizes and provenance.

    Nothing has to be up: without an engine to ask, the records of what was built are shown.
    """
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.images.catalogue import catalogue  # noqa: PLC0415

    workloads = catalogue()
    wanted = [(workload.name, variant) for workload in workloads.values() for variant in workload.variants]
    images = _listed(wanted, BaseSource(bases), workloads)
    if as_json:
        rows = [_row(name, image) for name, image in images.items()]
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
    else:
        _show(images)


@command.command()
@click.option("--workload", "workloads", help="Only these, names or folders (comma list); default: all.")
@click.option("--variant", "variants", help="Only these variants (comma list); default: all a workload has.")
@bases_option
def build(workloads: str | None, variants: str | None, bases: str) -> None:
    """Build what is not built yet, push it to the testbed's registry, leave nothing in its engine."""
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.images.build import ensure_images  # noqa: PLC0415
    from coldstart.images.catalogue import with_own  # noqa: PLC0415
    from coldstart.plan.levels import Workloads, parse_workloads  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415  --help need not pay for it

    named = Workloads((), {}) if workloads is None else parse_workloads(workloads)
    known = with_own(named.folders)
    wanted = choose(known, named.names, _names(variants))
    with open_place(("docker",), asked_for=False, purpose="images build", progress=_say) as place:
        assert place.image_host is not None
        images = ensure_images(
            place.image_host, wanted, _say, bases=BaseSource(bases), workloads=known, egress=place.egress
        )
    _show({(image.workload, image.variant): image for image in images})


@command.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--kit", type=_FILE, metavar="FILE", help="Write wheels and Debian packages too: see above.")
@click.option("--platform", help="The boards it is for, such as linux/arm64; default: this machine's kind.")
@click.option("--release", help="Of a kit, their Debian release: bookworm or trixie; default: this machine's.")
@click.option("--workload", "workloads", help="Only these (comma list); default: all.")
@click.option("--variant", "variants", help="Only these variants (comma list); default: all a workload has.")
@bases_option
def save(
    *,
    file: Path | None,
    kit: Path | None,
    platform: str | None,
    release: str | None,
    workloads: str | None,
    variants: str | None,
    bases: str,
) -> None:
    """Write images to FILE, for `images load` on another machine; builds what is not built yet.

    With --kit the file has all that `scripts/setup --kit FILE` sets a board up with, without any network: these images,
    wheels and Debian packages. For boards of another --platform the images are built by an emulator of it, where this
    machine has one (qemu-user-static).
    """
    from coldstart.cli._saving import Choice, save_bundle  # noqa: PLC0415  --help need not pay for these
    from coldstart.images.bases import BaseSource  # noqa: PLC0415
    from coldstart.images.catalogue import catalogue  # noqa: PLC0415

    wanted = choose(catalogue(), _names(workloads), _names(variants))
    choice = Choice(wanted, is_whole_catalogue=workloads is variants is None, bases=BaseSource(bases))
    save_bundle(file, kit, choice, platform, release, _say)


@command.command()
@click.argument("file", type=_FILE)
def load(file: Path) -> None:
    """Check every byte of FILE, then put its images into the testbed's registry, as if they had been built here."""
    from coldstart.images.workspace import work_folder  # noqa: PLC0415  --help need not pay for these
    from coldstart.kit.images import load_images, read_images  # noqa: PLC0415
    from coldstart.runner.place import open_place  # noqa: PLC0415
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415

    with work_folder(TestbedConfig.from_environment().cache) as folder:
        records = read_images(file, folder)
        with open_place(("docker",), asked_for=False, purpose="images load", progress=_say) as place:
            assert place.image_host is not None
            images = load_images(place.image_host, file, folder, records, _say)
    _show({(image.workload, image.variant): image for image in images})


def choose(
    known: Mapping[str, Workload], workloads: tuple[str, ...], variants: tuple[str, ...]
) -> list[tuple[str, str]]:
    """The (workload, variant) pairs of these names; nothing named means all.

    Raises:
        UnknownNameError: a workload, or a variant none of the workloads has.
    """
    from coldstart.errors import UnknownNameError  # noqa: PLC0415

    for name in workloads:
        if name not in known:
            raise UnknownNameError("workload", name, known)
    chosen = [known[name] for name in (workloads or known)]
    offered = {variant for workload in chosen for variant in workload.variants}
    for variant in variants:
        if variant not in offered:
            raise UnknownNameError("variant", variant, offered)
    return [(each.name, variant) for each in chosen for variant in each.variants if not variants or variant in variants]


def _listed(
    wanted: list[tuple[str, str]], bases: BaseSource, workloads: Mapping[str, Workload]
) -> dict[tuple[str, str], Image | None]:
    """What is built, by whoever can be asked; else by what is stored here, with a word about that."""
    from coldstart.errors import EngineUnreachableError, RegistryUnreachableError  # noqa: PLC0415
    from coldstart.images.build import recorded_images, stored_images  # noqa: PLC0415
    from coldstart.images.host import engine_client, platform_of  # noqa: PLC0415
    from coldstart.images.platforms import of_machine  # noqa: PLC0415
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415
    from coldstart.testbed.registry import blob_path  # noqa: PLC0415

    host = _present_host()
    if host is not None:
        try:
            with engine_client(host.docker_socket) as client:
                platform = platform_of(client)
            return recorded_images(host, wanted, platform, bases=bases, workloads=workloads)
        except (EngineUnreachableError, RegistryUnreachableError) as error:
            _say(f"no engine can be asked ({error})")
    config = TestbedConfig.from_environment()
    _say(f"nothing is up: these are the images that are stored in {config.cache}")

    def is_stored(digest: str) -> bool:
        return blob_path(config.registry_storage, digest).is_file()

    return stored_images(config.cache, wanted, of_machine(), is_stored, bases=bases, workloads=workloads)


def _present_host() -> ImageHost | None:
    """The running testbed's, without holding it: looking disturbs nobody; else the user's own engine, if it is chosen.

    Root's images are the testbed's, so without one there is nobody to ask.
    """
    from coldstart.engines.own_docker import is_named, own_docker  # noqa: PLC0415
    from coldstart.images.host import ImageHost  # noqa: PLC0415
    from coldstart.runner.place import image_host  # noqa: PLC0415
    from coldstart.testbed import lifecycle  # noqa: PLC0415
    from coldstart.testbed.config import TestbedConfig  # noqa: PLC0415

    config = TestbedConfig.from_environment()
    testbed = lifecycle.find(config.root)
    if testbed is not None:
        return image_host(testbed, config.cache)
    if os.geteuid() == 0 and not is_named():
        return None
    return ImageHost(docker_socket=own_docker().url, registry_address=None, registry_netns=None, cache=config.cache)


def _row(name: tuple[str, str], image: Image | None) -> dict[str, object]:
    """An image's facts; ``None`` for what is not known, so for all of an image that is not built."""
    workload, variant = name
    return {
        "workload": workload,
        "variant": variant,
        "built": image is not None,
        "reference": image and image.reference,
        "digest": image and image.digest,
        "image_id": image and image.image_id,
        "platform": image and image.platform,
        "compressed_bytes": image and image.compressed_bytes,
        "unpacked_bytes": image and image.unpacked_bytes,
        "layers": len(image.layers) if image and image.layers else None,
        "files": image and image.files,
        "provenance": image and image.provenance,
    }


def _show(images: Mapping[tuple[str, str], Image | None]) -> None:
    header = ("IMAGE", "PLATFORM", "PULLED", "UNPACKED", "LAYERS", "FILES", "MADE OF")
    rows = [header]
    for (workload, variant), image in images.items():
        if image is None:
            rows.append((f"{workload}/{variant}", "—", "—", "—", "—", "—", "not built: coldstart images build"))
            continue
        rows.append(
            (
                f"{workload}/{variant}",
                image.platform,
                format_bytes(image.compressed_bytes),
                format_bytes(image.unpacked_bytes),
                str(len(image.layers) or "—"),
                "—" if image.files is None else str(image.files),
                "; ".join(part.what for part in image.provenance) or "—",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        click.echo("  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip())


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _say(message: str) -> None:
    click.echo(message, err=True)
