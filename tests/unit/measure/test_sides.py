"""Two contenders on one bench: each has its own subjects and options, and both share what is warm."""

from __future__ import annotations

import time

import msgspec
import pytest

from coldstart.engines.base import ContainerSpec, Engine, Timed
from coldstart.measure.bench import Subject
from coldstart.measure.session import HOPELESS, measure
from coldstart.measure.trial import Stage
from coldstart.model.cell import Side, Tier, Trial
from coldstart.model.options import ContainerOptions
from coldstart.model.sample import Conditions, Outcome, Sample, SentinelReading
from coldstart.probes.base import Ready
from tests.unit.factories import make_trial
from tests.unit.measure.conftest import Bed, Wait


def of(side: Side, trial: Trial) -> Trial:
    changed: Trial = msgspec.structs.replace(trial, side=side)
    return changed


@pytest.fixture
def created(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> list[ContainerSpec]:
    """What containers were created from, in order."""
    specs: list[ContainerSpec] = []
    real = bed.engine.create

    def create(spec: ContainerSpec) -> Timed[str]:
        specs.append(spec)
        return real(spec)

    monkeypatch.setattr(bed.engine, "create", create)
    return specs


def test_a_sides_starts_have_its_own_options_and_the_discarded_ones_too(bed: Bed, created: list[ContainerSpec]) -> None:
    cell, options = bed.cell(), ContainerOptions(env=("A=1",))
    stage = Stage(bed.bench(), {Side.CANDIDATE: bed.bench(options=options)})
    assert stage.run(of(Side.CANDIDATE, make_trial(cell=cell))).outcome is Outcome.OK
    assert [spec.options.env for spec in created] == [("A=1",), ("A=1",)]
    stage.run(of(Side.BASELINE, make_trial(cell=cell)))
    stage.run(make_trial(cell=cell))
    assert [spec.options.env for spec in created[2:]] == [(), ()]


@pytest.mark.parametrize("first", Side)
def test_one_image_under_two_names_starts_for_both_sides(bed: Bed, created: list[ContainerSpec], first: Side) -> None:
    """An unchanged image is the commonest input of a gate: neither side may fail for the other's name."""
    cell = bed.cell()
    main = bed.images[cell.image_key]
    ours = bed.bench()
    bed.images[cell.image_key] = msgspec.structs.replace(main, reference="r/pr@sha256:1")
    stage = Stage(ours, {Side.CANDIDATE: bed.bench()})
    order = [first, *(side for side in Side if side is not first)]
    samples = [stage.run(of(side, make_trial(cell=cell))) for side in order]
    assert [(sample.outcome, sample.reason) for sample in samples] == [(Outcome.OK, None)] * 2
    assert {spec.image.reference for spec in created} == {main.reference, "r/pr@sha256:1"}


def test_a_sides_images_are_its_own(bed: Bed, created: list[ContainerSpec]) -> None:
    ours = bed.cell(variant="main")
    mine = bed.bench()
    bed.images.clear()
    theirs = bed.cell(variant="pr")
    stage = Stage(mine, {Side.CANDIDATE: bed.bench()})
    stage.run(of(Side.CANDIDATE, make_trial(cell=theirs)))
    stage.run(of(Side.BASELINE, make_trial(cell=ours)))
    assert [spec.image.variant for spec in created] == ["pr", "pr", "main", "main"]


def test_what_one_side_made_warm_is_warm_for_the_other(bed: Bed, created: list[ContainerSpec]) -> None:
    cell = bed.cell()
    stage = Stage(bed.bench(), {Side.CANDIDATE: bed.bench()})
    samples = [stage.run(of(side, make_trial(cell=cell))) for side in Side]
    assert [sample.outcome for sample in samples] == [Outcome.OK, Outcome.OK]
    assert len(created) == 3  # one discarded start, not two


def test_evicting_an_image_makes_another_that_shares_its_layers_cold(bed: Bed, created: list[ContainerSpec]) -> None:
    warm, absent = bed.cell(variant="main"), bed.cell(Tier.ABSENT, variant="pr")
    stage = Stage(bed.bench())
    for cell in (warm, absent, warm):
        assert stage.run(make_trial(cell=cell)).outcome is Outcome.OK
    assert [spec.image.variant for spec in created] == ["main", "main", "pr", "main", "main"]


def test_images_that_share_nothing_stay_warm(bed: Bed, created: list[ContainerSpec]) -> None:
    warm, absent = bed.cell(variant="main"), bed.cell(Tier.ABSENT, variant="pr")
    image = bed.images[absent.image_key]
    layers = tuple(msgspec.structs.replace(layer, diff_id=f"x{layer.diff_id}") for layer in image.layers)
    bed.images[absent.image_key] = msgspec.structs.replace(image, layers=layers)
    stage = Stage(bed.bench())
    for cell in (warm, absent, warm):
        stage.run(make_trial(cell=cell))
    assert [spec.image.variant for spec in created] == ["main", "main", "pr", "main"]


def test_a_side_that_only_ever_fails_is_left_out_while_the_other_goes_on(bed: Bed) -> None:
    cell = bed.cell()
    broken = bed.bench(options=ContainerOptions(command=("exit 3",)))
    blocks = [
        tuple(of(side, make_trial(cell=cell, block=block, position=place)) for place, side in enumerate(Side))
        for block in range(HOPELESS + 2)
    ]
    samples = list(measure(bed.bench(), blocks, sides={Side.CANDIDATE: broken}))
    sides = [sample.trial.side for sample in samples]
    assert sides.count(Side.CANDIDATE) == HOPELESS
    assert sides.count(Side.BASELINE) == HOPELESS + 2


def sentinels(samples: list[Sample]) -> list[bool]:
    return [sample.sentinel is not None for sample in samples]


def test_a_sentinel_is_read_before_each_block_and_kept_with_its_first_sample(bed: Bed) -> None:
    cells = [bed.cell(runtime="runc"), bed.cell(runtime="crun")]
    blocks = [tuple(make_trial(cell=cell, block=block) for cell in cells) for block in range(2)]
    samples = list(measure(bed.bench(), blocks, with_sentinel=True))
    assert sentinels(samples) == [True, False, True, False]
    assert samples[0].sentinel == SentinelReading(cpu_ns=1, io_ns=1)
    assert sentinels(list(measure(bed.bench(), blocks))) == [False] * 4


@pytest.mark.parametrize(
    ("conditions", "outcome", "why"),
    [
        (Conditions(throttled=True), Outcome.THROTTLED, "heat"),
        (Conditions(undervoltage=True), Outcome.THROTTLED, "a weak supply"),
        (Conditions(throttled=True, undervoltage=True), Outcome.THROTTLED, "a weak supply"),
        (Conditions(throttled=False, undervoltage=False), Outcome.OK, None),
        (Conditions(), Outcome.OK, None),
    ],
)
def test_a_start_during_which_the_cpus_were_slowed_down_is_no_timing(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, conditions: Conditions, outcome: Outcome, why: str | None
) -> None:
    monkeypatch.setattr(bed.machine, "open_meters", lambda: lambda: conditions)
    cell = bed.cell()
    sample = Stage(bed.bench()).run(make_trial(cell=cell))
    assert sample.outcome is outcome
    assert sample.outcome.is_requeued is (why is not None)
    assert why is None or f"slowed down by {why};" in (sample.reason or "")


def test_a_sentinel_has_a_quiet_window_of_its_own(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def wait() -> Wait:
        events.append("quiet")
        return Wait()

    def sentinel() -> SentinelReading:
        events.append("sentinel")
        return SentinelReading(cpu_ns=1)

    monkeypatch.setattr(bed.machine, "wait_until_quiet", wait)
    monkeypatch.setattr(bed.machine, "sentinel", sentinel)
    trial = make_trial(cell=bed.cell())
    list(measure(bed.bench(), [(trial,)], with_sentinel=True))
    assert events == ["quiet", "sentinel", "quiet"]


def test_a_block_whose_first_start_is_left_out_has_its_sentinel_all_the_same(bed: Bed) -> None:
    block = (make_trial(cell=bed.cell(), position=1), make_trial(cell=bed.cell(runtime="crun"), position=2))
    assert sentinels(list(measure(bed.bench(), [block], with_sentinel=True))) == [True, False]


class Hurried:
    """A probe that notes how long it may wait, and is ready."""

    def __init__(self, waits_ns: list[int]) -> None:
        self._waits_ns = waits_ns

    def arm(self, engine: Engine, container_id: str) -> None:
        """Nothing listens."""

    def wait(self, _engine: Engine, _container_id: str, deadline_ns: int) -> Ready:
        """Ready at once."""
        now_ns = time.monotonic_ns()
        self._waits_ns.append(deadline_ns - now_ns)
        return Ready(at_ns=now_ns, attempts=1, resolution_ns=None)

    def close(self) -> None:
        """Nothing was taken."""


def test_a_sides_starts_have_its_own_timeout_and_the_discarded_ones_too(bed: Bed) -> None:
    cell, waits_ns = bed.cell(), list[int]()
    subjects = {cell.image_key: Subject(image=bed.images[cell.image_key], new_probe=lambda: Hurried(waits_ns))}
    theirs = bed.bench(subjects=subjects, timeout_ns=10**12)
    Stage(bed.bench(subjects=subjects), {Side.CANDIDATE: theirs}).run(of(Side.CANDIDATE, make_trial(cell=cell)))
    assert [round(wait_ns / 10**12, 1) for wait_ns in waits_ns] == [1.0, 1.0]
