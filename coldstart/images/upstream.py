"""Bases from their publishers, by digest, where a registry can be reached.

Each digest was found pinned beside its name in public files of several projects; none could be fetched where this was
written. A digest cannot be forged: the registry delivers exactly that content or nothing, and content for another
platform than asked is refused (`coldstart.images.bases`).
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from coldstart.errors import ImageBuildError
from coldstart.images import processes
from coldstart.model.image import Provenance

_REACH_TIMEOUT_S = 5.0


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """A published image: repository, the tag it was pinned beside (``None``: none), digest, its registry's address.

    ``python`` is the minor version of the interpreter in it, where there is one.
    """

    repository: str
    tag: str | None
    digest: str
    registry: str
    python: str | None = None

    @property
    def reference(self) -> str:
        """What is fetched."""
        return f"{self.repository}@{self.digest}"


_DOCKER_HUB = "https://registry-1.docker.io/v2/"
_GCR = "https://gcr.io/v2/"

UPSTREAM = {
    "golang": Upstream(
        repository="docker.io/library/golang",
        tag="1.23-bookworm",
        digest="sha256:167053a2bb901972bf2c1611f8f52c44d5fe7e762e5cab213708d82c421614db",
        registry=_DOCKER_HUB,
    ),
    "slim": Upstream(
        repository="docker.io/library/debian",
        tag="bookworm-slim",
        digest="sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716",
        registry=_DOCKER_HUB,
    ),
    "alpine": Upstream(
        repository="docker.io/library/alpine",
        tag="3.20",
        digest="sha256:d9e853e87e55526f6b2917df91a2115c36dd7c696a35be12163d44e6e2a4b6bc",
        registry=_DOCKER_HUB,
    ),
    "distroless": Upstream(
        repository="gcr.io/distroless/static-debian12",
        tag=None,
        digest="sha256:9c346e4be81b5ca7ff31a0d89eaeade58b0f95cfd3baed1f36083ddb47ca3160",
        registry=_GCR,
    ),
    "python": Upstream(
        repository="docker.io/library/python",
        tag="3.11.15-bookworm",
        digest="sha256:a8f8fbe1a0edc9e4dddafa64ba73f7e04be7be5ebc23f332362e779e0a2e4e52",
        registry=_DOCKER_HUB,
        python="3.11",
    ),
    "python-slim": Upstream(
        repository="docker.io/library/python",
        tag="3.11.15-slim-bookworm",
        digest="sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3",
        registry=_DOCKER_HUB,
        python="3.11",
    ),
    "distroless-python": Upstream(
        repository="gcr.io/distroless/python3-debian12",
        tag="nonroot",
        digest="sha256:66f3e24fd4906156a7360d2861731d31d3457a02f34fd3c4491f0b710a259988",
        registry=_GCR,
        python="3.11",
    ),
}

_reachable: dict[str, bool] = {}


def is_reachable(registry: str) -> bool:
    """Whether a registry answers, within 5 s; asked once a process.

    Any HTTP answer counts, 401 included: that is how registries greet. A thread bounds the time, since a resolver's
    own timeout cannot be set.
    """
    if registry not in _reachable:
        answers: list[bool] = []
        asking = threading.Thread(target=lambda: answers.append(_answers(registry)), daemon=True)
        asking.start()
        asking.join(_REACH_TIMEOUT_S)
        _reachable[registry] = bool(answers and answers[0])
    return _reachable[registry]


def fetch(base: Upstream, archive: Path, *, tag: str, platform: str) -> Provenance:
    """Copy the image for ``platform`` into a docker archive, from the host's own network.

    Raises:
        ImageBuildError: skopeo is missing, or the registry did not deliver.
    """
    try:
        processes.run(
            [
                *("skopeo", "copy", "--quiet", *platform_options(platform)),
                *(f"docker://{base.reference}", f"docker-archive:{archive}:{tag}"),
            ]
        )
    except processes.ToolFailedError as error:
        if is_reachable(base.registry):
            raise
        remedy = f"Nobody answers at {base.registry}; --bases packages makes its like from packages instead."
        raise ImageBuildError(f"{error}\n{remedy}") from error
    if not archive.is_file():
        raise ImageBuildError(f"skopeo wrote no archive for {base.reference}.")
    name = base.repository.removeprefix("docker.io/library/")
    return Provenance(what=f"{name}:{base.tag}" if base.tag else name, source=base.reference)


def platform_options(platform: str) -> list[str]:
    """Skopeo's options that choose ``platform`` out of an index."""
    os_name, architecture, *variant = platform.split("/")
    return [
        f"--override-os={os_name}",
        f"--override-arch={architecture}",
        *(f"--override-variant={name}" for name in variant),
    ]


def _answers(registry: str) -> bool:
    try:
        with urllib.request.urlopen(registry, timeout=_REACH_TIMEOUT_S):  # noqa: S310  https addresses of ours
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
