"""What `images save` writes: images, and for a kit all else that a board is set up with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from coldstart import __version__
from coldstart.errors import ImageBuildError, InvalidEnvironmentError, NotPublishedError, UnknownNameError, UsageError
from coldstart.images import platforms
from coldstart.images.bases import BaseSource
from coldstart.images.build import Wanted, ensure_images
from coldstart.images.emulation import REMEDY, runs_here
from coldstart.images.workspace import work_folder
from coldstart.kit import bundle, debs, releases, wheels
from coldstart.kit.board import this_board
from coldstart.kit.images import Records, registry_of, save_images
from coldstart.opening import is_folder
from coldstart.runner.place import open_place
from coldstart.store.files import give_to_invoker
from coldstart.testbed.config import TestbedConfig
from coldstart.units import format_bytes

Say = Callable[[str], None]


class Choice(NamedTuple):
    """The images that were asked for; of the whole catalogue, what a platform lacks is left out, else it is missed."""

    wanted: list[Wanted]
    is_whole_catalogue: bool
    bases: BaseSource


def save_bundle(
    file: Path | None, kit: Path | None, choice: Choice, platform: str | None, release: str | None, say: Say
) -> None:
    """Write ``file``, with images alone, or ``kit``; whatever can be found wrong is told before minutes are spent.

    Raises:
        UsageError: none or two files, a kit's option without it, no such folder, platform or release.
        InvalidEnvironmentError: something could not be downloaded or built.
        StorageError: the file or the cache cannot be written.
    """
    path = _destination(file, kit, release)
    cache = TestbedConfig.from_environment().cache
    target = None
    if kit is not None:
        board = this_board()
        platform = platform or platforms.of_debian(board.architecture)
        target = releases.target(platform, release or board.release)
    elif platform is not None and platform not in releases.PLATFORMS:
        raise UnknownNameError("platform", platform, releases.PLATFORMS)
    obstacle = None if platform is None or runs_here(platform, cache) else _obstacle(platform)
    if obstacle is not None and target is None:
        raise InvalidEnvironmentError(f"no images: {obstacle}")
    with work_folder(cache) as work:
        folder = work / "bundle"
        folder.mkdir()
        if target is not None:
            wheels.download(folder / "wheels", str(platform), target.release, say)
            debs.download(folder / "debs", work, target, say)
        if obstacle is None:
            records = _built(choice, platform, folder, say)
        else:
            say(f"a kit without images: {obstacle}")
            records = Records((), ())
        content = bundle.Manifest(
            coldstart=__version__,
            platform=platform or records.images[0].image.platform,
            target=target,
        )
        written = bundle.write(path, records.written_in(content), folder)
    give_to_invoker(path)
    say(_content(path, written))


def _destination(file: Path | None, kit: Path | None, release: str | None) -> Path:
    path = file or kit
    if path is None or (file is not None and kit is not None):
        raise UsageError("name one file to write: `images save FILE`, or `images save --kit FILE`.")
    if kit is None and release:
        raise UsageError("--release belongs to --kit: images are for any release.")
    if not is_folder(path.absolute().parent):
        raise UsageError(f"{path}: there is no folder {path.parent}.")
    return path


def _obstacle(platform: str) -> str:
    return (
        f"programs of {platform} do not run here, so none can be built. Have it emulated ({REMEDY}), or save images on "
        "one board of its kind: coldstart images save FILE"
    )


def _built(choice: Choice, platform: str | None, folder: Path, say: Say) -> Records:
    """The chosen images, built where they are not, as blobs in ``folder``."""

    def leave_out(pair: Wanted, error: NotPublishedError) -> None:
        say(f"left out {'/'.join(pair)}: {error}")

    with open_place(("docker",), asked_for=False, purpose="images save", progress=say) as place:
        assert place.image_host is not None
        registry_of(place.image_host)
        images = ensure_images(
            place.image_host,
            choice.wanted,
            say,
            bases=choice.bases,
            egress=place.egress,
            platform=platform,
            left_out=leave_out if choice.is_whole_catalogue else None,
        )
        if not images:
            raise ImageBuildError(f"not one image of the catalogue can be made for {platform}, as said above.")
        return save_images(place.image_host, images, folder, say, bases=choice.bases)


def _content(path: Path, manifest: bundle.Manifest) -> str:
    """A line on what was written."""
    what = [f"{len(manifest.images)} images"]
    boards = manifest.platform
    if manifest.target is not None:
        boards += f", Debian {manifest.target.release}"
        packages = sum(part.name.endswith(".deb") for part in manifest.of("debs"))
        what += [f"{len(manifest.of('wheels'))} wheels", f"{packages} Debian packages"]
    return f"{path}: {', '.join(what)} for {boards}; {format_bytes(sum(part.size_bytes for part in manifest.parts))}"
