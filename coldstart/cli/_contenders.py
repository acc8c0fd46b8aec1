"""What a gate was told: whom to compare, what to tolerate, which hard limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from coldstart.cli._overrides import parse_overrides
from coldstart.errors import UsageError

if TYPE_CHECKING:
    from coldstart.analyse.counters import Limit
    from coldstart.model.experiment import Experiment
    from coldstart.model.rule import Rule
    from coldstart.plan.overrides import Overrides

_COUNTERS = ("pull-bytes", "unpacked-bytes", "files", "layers")


class Contenders(NamedTuple):
    """The two experiments of a gate."""

    baseline: Experiment
    candidate: Experiment


def contenders_of(what: tuple[str, ...], said: dict[str, Any]) -> Contenders:
    """The two experiments that were asked for.

    Raises:
        UsageError: neither two files, two images, nor one image and two runtimes; or more than one of these.
    """
    images, runtimes = (said["baseline"], said["candidate"]), (said["baseline_runtime"], said["candidate_runtime"])
    asked = [bool(what), any(images), any(runtimes)]
    if (
        sum(asked) != 1
        or len(what) not in {0, 2}
        or (any(images) and not all(images))
        or any(runtimes) != all(runtimes)
    ):
        raise UsageError(
            "name what to compare, one of: --baseline REF --candidate REF; --image REF --baseline-runtime NAME "
            "--candidate-runtime NAME; two experiment files; or one stored run to judge."
        )
    overrides = parse_overrides(said)
    if what:
        contenders = _of_files(what, overrides)
        return _without_platform(contenders, said["platform"])
    if all(images):
        if said["image"] is not None:
            raise UsageError("--image is for two runtimes: leave it out, or name them in place of two images.")
        baseline, candidate = (_ad_hoc(image, overrides) for image in images)
        return Contenders(baseline, candidate)
    if overrides.runtime is not None:
        raise UsageError(
            "--runtime: with two runtimes to compare, --baseline-runtime and --candidate-runtime say which."
        )
    baseline, candidate = (_of_runtime(said["image"], name, overrides) for name in runtimes)
    return _without_platform(Contenders(baseline, candidate), said["platform"])


def _without_platform(contenders: Contenders, platform: str | None) -> Contenders:
    """The same, unless a platform was asked for that nobody would heed."""
    if platform is not None and any(one.image is None for one in contenders):
        raise UsageError("--platform goes with images of one's own: catalogue images are for the engine's platform.")
    return contenders


def _of_files(what: tuple[str, ...], overrides: Overrides) -> Contenders:
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415  --help need not pay for it
    from coldstart.plan.overrides import narrow  # noqa: PLC0415

    baseline, candidate = (narrow(load_experiment(name), overrides) for name in what)
    return Contenders(baseline, candidate)


def _of_runtime(image: str | None, runtime: str, overrides: Overrides) -> Experiment:
    import msgspec  # noqa: PLC0415  --help need not pay for it

    named: Overrides = msgspec.structs.replace(overrides, runtime=(runtime,))
    if image is not None:
        return _ad_hoc(image, named)
    if named.workload is None or named.variant is None:
        raise UsageError("two runtimes need an image: --image REF with --ready, or --workload and --variant.")
    from coldstart.cli.run import DEFAULT_EXPERIMENT  # noqa: PLC0415
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415
    from coldstart.plan.overrides import narrow  # noqa: PLC0415

    return narrow(load_experiment(DEFAULT_EXPERIMENT), _with_tiers(named))


def _ad_hoc(image: str, overrides: Overrides) -> Experiment:
    from coldstart.plan.overrides import ad_hoc  # noqa: PLC0415  --help need not pay for it

    return ad_hoc(image, overrides.ready, _with_tiers(overrides))


def _with_tiers(overrides: Overrides) -> Overrides:
    """A gate's default tiers: the coldest start, and the warmest."""
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.model.cell import Tier  # noqa: PLC0415

    if overrides.tier is not None:
        return overrides
    changed: Overrides = msgspec.structs.replace(overrides, tier=(Tier.ABSENT, Tier.WARM))
    return changed


def rule_of(slowdowns: tuple[str, ...], alpha: float | None, stored: Rule | None = None) -> Rule:
    """The rule that was asked for: what is not said is as in ``stored``, or as a gate has it by default.

    Tolerances go together: to say one drops those that are stored for cells and phases, for what is tolerated has to be
    what was asked.

    Raises:
        UsageError: a percentage that is none, or a level of error that is none.
    """
    import msgspec  # noqa: PLC0415  --help need not pay for it

    from coldstart.model.rule import METRICS, Rule  # noqa: PLC0415

    base = stored or Rule()
    if alpha is not None and not 0 < alpha <= 0.2:
        raise UsageError(f"--alpha {alpha}: a share of false alarms is more than 0 and at most 0.2, such as 0.01.")
    overall = base.max_slowdown
    cells, metrics = ({}, {}) if slowdowns else (base.cells, base.metrics)
    for text in slowdowns:
        name, equals, amount = text.rpartition("=")
        allowed = _percent(text, amount)
        if not equals:
            overall = allowed
        elif name in METRICS:
            metrics[name] = allowed
        else:
            cells[name] = allowed
    asked: Rule = msgspec.structs.replace(
        base, max_slowdown=overall, alpha=base.alpha if alpha is None else alpha, cells=cells, metrics=metrics
    )
    return asked


def _percent(text: str, amount: str) -> float:
    try:
        share = float(amount.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 10 or not amount.strip().endswith("%"):
        raise UsageError(f"--max-slowdown {text!r}: write a percentage from 0% to 1000%, such as 5% or absent=10%.")
    return share


def limits_of(said: dict[str, Any]) -> tuple[Limit, ...]:
    from coldstart.analyse.counters import Limit  # noqa: PLC0415  --help need not pay for it

    named = {counter: said[f"max_{counter.replace('-', '_')}"] for counter in _COUNTERS}
    limits = tuple(Limit(counter=counter, text=text) for counter, text in named.items() if text is not None)
    for limit in limits:
        limit.bound(0)  # what is no limit is told now
    return limits
