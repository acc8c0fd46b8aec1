"""Hosts side by side, as a part of a report of its own."""

from __future__ import annotations

from collections.abc import Sequence

from coldstart.analyse.hosts import HostComparison, HostPhase
from coldstart.model.image import Image
from coldstart.model.run import RunManifest
from coldstart.report.document import Facts, Paragraph, Part, Section, Table
from coldstart.report.labels import PHASE_NAMES, ratio_text, time_text
from coldstart.units import format_bytes


def host_name(manifest: RunManifest) -> str:
    """What a host is called: its board, and enough of its ID to tell two alike apart."""
    host = manifest.host
    return f"{host.board or host.cpu_model or host.machine} ({host.host_id[:4]})"


def hosts_part(comparison: HostComparison, manifests: Sequence[Sequence[RunManifest]], source: str) -> Part:
    """The part: end-to-end of every common cell, then each phase; what the hosts are; which images they started."""
    first = comparison.hosts[0]
    about = Paragraph(
        f"Medians with 95 % intervals, and how many times as long as on {first}, unpaired: nothing ties starts on "
        f"different machines together. All hosts are drawn from source {source}, which each of them has. Images are "
        "matched by workload and variant; each host started its own platform's."
    )
    phases = [phase for phase in comparison.phases if phase.column != "e2e_ns"]
    return Part(
        name="hosts",
        title="Hosts side by side",
        subtitle=", ".join(comparison.hosts),
        sections=(
            Section(
                anchor="end-to-end",
                title="End-to-end",
                blocks=(about, _table(comparison, [p for p in comparison.phases if p.column == "e2e_ns"])),
            ),
            Section(anchor="phases", title="Phases", blocks=(_table(comparison, phases),)),
            Section(anchor="machines", title="Machines", blocks=_machines(comparison, manifests)),
        ),
    )


def _table(comparison: HostComparison, phases: Sequence[HostPhase]) -> Table:
    header = ["cell", "phase", *comparison.hosts, *(f"{host}, ratio" for host in comparison.hosts[1:])]
    return Table(
        caption=f"Medians, and ratios to {comparison.hosts[0]}",
        header=tuple(header),
        numeric=frozenset(range(2, len(header))),
        rows=tuple(
            (
                phase.cell.key,
                PHASE_NAMES[phase.column],
                *(time_text(median) for median in phase.medians),
                *(ratio_text(ratio) for ratio in phase.ratios[1:]),
            )
            for phase in phases
        ),
    )


def _distinct(runs: Sequence[RunManifest]) -> tuple[Image, ...]:
    """The images of a host's runs: several of one name stand beside one another."""
    images = (image for run in runs for image in run.all_images)
    named = {(one.workload, one.variant, one.platform, one.digest or one.image_id): one for one in images}
    return tuple(named.values())


def _machines(comparison: HostComparison, manifests: Sequence[Sequence[RunManifest]]) -> tuple[Facts, ...]:
    return tuple(
        Facts(
            (
                ("host", name),
                ("CPU", f"{runs[0].host.cpu_model or 'unknown'}, {runs[0].host.cpus} CPUs, {runs[0].host.machine}"),
                ("memory", format_bytes(runs[0].host.memory_bytes)),
                ("governor", runs[0].host.governor or "not told"),
                ("power mode", runs[0].host.power_mode or "not told"),
                ("throttled starts", f"{throttled}, repeated"),
                ("storage", f"{runs[0].host.storage_device or 'unknown'}, {runs[0].host.filesystem or 'unknown'}"),
                ("system", f"{runs[0].host.os_name or 'unknown'}, kernel {runs[0].host.kernel}"),
                ("engine", f"{runs[0].engine.name} {runs[0].engine.version}"),
                *(
                    (f"image {image.workload}/{image.variant}", f"{image.platform} {image.digest or image.image_id}")
                    for image in _distinct(runs)
                ),
                ("runs", ", ".join(run.run_id for run in runs)),
            )
        )
        for name, throttled, runs in zip(comparison.hosts, comparison.throttled, manifests, strict=True)
    )
