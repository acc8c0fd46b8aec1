"""The sections that tell under which conditions: machine, engine, runtimes, images, sources, method, how to repeat."""

from __future__ import annotations

from coldstart.model.cell import Side
from coldstart.model.image import Image
from coldstart.model.run import RunManifest
from coldstart.report.content import Content
from coldstart.report.document import Facts, Section, Table
from coldstart.report.method import method_section, reproduce_section
from coldstart.units import format_bytes

_PACKAGES = 10


_WAY_OUT = "within the containers' reach (--egress): what a start fetches from there is in its time"


def condition_sections(content: Content) -> tuple[Section, ...]:
    """Everything needed to judge and to repeat the figures."""
    manifest = content.manifest
    return (
        _machine(manifest),
        _engine(manifest),
        _images(manifest),
        method_section(content),
        reproduce_section(manifest),
    )


def _machine(manifest: RunManifest) -> Section:
    host = manifest.host
    journal = {True: "with journal", False: "without journal", None: "journal unknown"}[host.filesystem_journal]
    items = (
        ("board", _or_dash(host.board)),
        ("CPU", f"{_or_dash(host.cpu_model)}, {host.cpus} CPUs, {host.machine}"),
        ("memory", f"{format_bytes(host.memory_bytes)}, pages of {host.page_bytes} B"),
        ("storage", f"{_or_dash(host.storage_device)}, {_or_dash(host.filesystem)}, {journal}"),
        ("system", f"{_or_dash(host.os_name)}, kernel {host.kernel}, cgroup {host.cgroup}, Python {host.python}"),
        ("host", host.host_id),
    )
    return Section(anchor="host", title="Host", blocks=(Facts(items),))


def _engine(manifest: RunManifest) -> Section:
    engine, registry = manifest.engine, manifest.registry
    items = (
        ("engine", f"{engine.name} {engine.version}, API {_or_dash(engine.api_version)}, {engine.where}"),
        ("containerd", _or_dash(engine.containerd_version)),
        ("storage driver", _or_dash(engine.storage_driver)),
        ("decompressor", _or_dash(engine.decompressor)),
        ("registry", f"{_or_dash(registry.address)}, version {_or_dash(registry.version)}"),
        ("link", registry.link),
        ("registry's cache", registry.cache_state),
        *((("other networks", _WAY_OUT),) if manifest.experiment.egress else ()),
    )
    runtimes = Table(
        caption="OCI runtimes, as registered with the engine.",
        header=("runtime", "version", "path", "sha256"),
        rows=tuple((r.name, _or_dash(r.version), _or_dash(r.path), _or_dash(r.sha256)) for r in manifest.runtimes),
    )
    return Section(anchor="engine", title="Engine, runtimes and registry", blocks=(Facts(items), runtimes))


def _images(manifest: RunManifest) -> Section:
    table = Table(
        caption="Images, pinned by digest. Unpacked is the sum of their files' sizes.",
        header=("image", "platform", "layers", "compressed", "unpacked", "files", "made of", "digest"),
        rows=tuple(
            (
                name,
                image.platform,
                str(len(image.layers)),
                format_bytes(image.compressed_bytes),
                format_bytes(image.unpacked_bytes),
                "—" if image.files is None else str(image.files),
                ", ".join(part.what for part in image.provenance) or "not recorded",
                image.digest or image.image_id,
            )
            for name, image in _named(manifest)
        ),
        numeric=frozenset({2, 3, 4, 5}),
    )
    provenance = Facts(tuple(item for name, image in _named(manifest) for item in _provenance(name, image)))
    return Section(anchor="images", title="Images", blocks=(table, provenance) if provenance.items else (table,))


def _named(manifest: RunManifest) -> list[tuple[str, Image]]:
    """Every image with its name; where both sides call theirs the same, the candidate's says so."""
    return [
        (f"{image.workload}/{image.variant}{'' if image in manifest.images else f' ({Side.CANDIDATE})'}", image)
        for image in manifest.all_images
    ]


def _provenance(name: str, image: Image) -> list[tuple[str, str]]:
    found = []
    for part in image.provenance:
        shown = ", ".join(part.packages[:_PACKAGES])
        more = len(part.packages) - _PACKAGES
        packages = f"; {len(part.packages)} packages: {shown}" if part.packages else ""
        rest = f" and {more} more, listed in run.json" if more > 0 else ""
        found.append((f"{name}: {part.what}", f"{part.source}{packages}{rest}"))
    return found


def _or_dash(value: str | None) -> str:
    return value or "—"
