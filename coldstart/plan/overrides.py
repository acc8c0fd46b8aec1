"""What the command line changes in an experiment, and experiments that exist on the command line alone."""

from __future__ import annotations

import msgspec

from coldstart.errors import UsageError
from coldstart.model.cell import Network, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.plan.levels import checked_levels, checked_runs, checked_timeout_ns, checked_warmup

AD_HOC = "ad-hoc"
"""The name of an experiment that no file describes."""
AD_HOC_RUNS = 20


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the command line; ``None`` leaves the experiment's own.

    A factor's levels replace the experiment's, and need not be among them. ``options`` are merged field by field:
    what is set here wins, the rest stays. ``folders`` go with ``workload``.
    """

    engine: tuple[str, ...] | None = None
    runtime: tuple[str, ...] | None = None
    workload: tuple[str, ...] | None = None
    folders: dict[str, str] = {}
    variant: tuple[str, ...] | None = None
    tier: tuple[Tier, ...] | None = None
    network: tuple[Network, ...] | None = None
    runs: int | None = None
    warmup: int | None = None
    ready: ProbeSpec | None = None
    timeout_ns: int | None = None
    options: ContainerOptions | None = None
    image: str | None = None
    egress: bool | None = None


_FACTORS = ("engine", "runtime", "workload", "variant", "tier", "network")
_PLAIN = ("runs", "warmup", "ready", "timeout_ns", "egress")


def narrow(experiment: Experiment, overrides: Overrides) -> Experiment:
    """``experiment`` with the command line's words in place of its own.

    With ``image`` it starts that image instead of the catalogue's: workload and variant are left empty until
    `with_image` fills them in from the image taken in.

    Raises:
        UsageError: counts out of range, no level, a level twice, or ``image`` together with a workload or variant.
    """
    changes = {name: getattr(overrides, name) for name in (*_FACTORS, *_PLAIN) if getattr(overrides, name) is not None}
    for factor in _FACTORS:
        if factor in changes:
            checked_levels(factor, changes[factor])
    if overrides.workload is not None:
        changes["folders"] = overrides.folders
    if overrides.image is not None:
        changes |= _image_changes(experiment, overrides)
    if overrides.options is not None:
        changes["options"] = _merged(experiment.options, overrides.options)
    narrowed: Experiment = msgspec.structs.replace(experiment, **changes)
    checked_runs(narrowed.runs)
    checked_warmup(narrowed.warmup)
    checked_timeout_ns(narrowed.timeout_ns)
    return narrowed


def ad_hoc(image: str, ready: ProbeSpec | None, overrides: Overrides | None = None) -> Experiment:
    """An experiment of one image that needs no file: 20 runs of runc in every cold tier unless ``overrides`` say so.

    Raises:
        UsageError: no ``ready`` here or in ``overrides``, or anything `narrow` refuses.
    """
    said = overrides or Overrides()
    base = Experiment(
        name=AD_HOC,
        description=f"{image}, asked for on the command line",
        runtime=("runc",),
        workload=(),
        variant=(),
        tier=tuple(Tier),
        runs=AD_HOC_RUNS,
        ready=ready,
    )
    return narrow(base, msgspec.structs.replace(said, image=image))


def with_image(experiment: Experiment, *, workload: str, variant: str) -> Experiment:
    """``experiment`` of an ad hoc image, once it was taken in under these names."""
    return msgspec.structs.replace(experiment, workload=(workload,), variant=(variant,))


def _image_changes(experiment: Experiment, overrides: Overrides) -> dict[str, object]:
    for factor in ("workload", "variant"):
        if getattr(overrides, factor) is not None:
            raise UsageError(
                f"--image and --{factor} exclude each other: an image is its own workload and variant. Leave one out."
            )
    if not overrides.image:
        raise UsageError("--image needs a reference, such as alpine:3.23 or app.tar.")
    if overrides.ready is None and experiment.ready is None:
        raise UsageError(
            f"--image {overrides.image} needs --ready, since nothing says when it is ready: "
            "http:PORT/PATH, https:PORT/PATH, tcp:PORT, log:TEXT, exec:COMMAND, healthcheck, notify or exit."
        )
    return {"image": overrides.image, "workload": (), "variant": (), "folders": {}}


def _merged(own: ContainerOptions, said: ContainerOptions) -> ContainerOptions:
    untouched = ContainerOptions()
    changes = {
        field: getattr(said, field)
        for field in ContainerOptions.__struct_fields__
        if getattr(said, field) != getattr(untouched, field)
    }
    return msgspec.structs.replace(own, **changes)
