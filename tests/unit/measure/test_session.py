"""A schedule run to its end, or to one of its other ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from coldstart.engines.base import ContainerSpec
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.measure.session import HOPELESS, LOST_IN_A_ROW, Prospects, measure
from coldstart.model.cell import Tier, Trial
from coldstart.model.image import Image
from coldstart.model.repeats import MAX_ATTEMPTS
from coldstart.model.sample import Outcome, Sample
from tests.unit.factories import make_sample, make_trial
from tests.unit.measure.conftest import Bed, Wait


def blocks(bed: Bed, count: int = 2) -> list[tuple[Trial, ...]]:
    cells = [bed.cell(runtime=runtime) for runtime in ("runc", "crun")]
    return [
        tuple(make_trial(cell=cell, block=block, position=position) for position, cell in enumerate(cells))
        for block in range(count)
    ]


def test_every_trial_of_every_block_is_run_in_order(bed: Bed) -> None:
    schedule = blocks(bed)
    samples = list(measure(bed.bench(), schedule))
    assert [sample.trial for sample in samples] == [trial for block in schedule for trial in block]


def test_the_way_out_is_open_from_before_the_first_start_until_after_the_last(bed: Bed) -> None:
    seen: list[str] = []

    @contextmanager
    def way_out() -> Iterator[None]:
        seen.append("open")
        yield
        seen.append("closed")

    schedule = blocks(bed, count=1)
    samples = measure(bed.bench(way_out=way_out), schedule)
    seen.extend(str(sample.outcome) for sample in samples)
    assert seen == ["open", "ok", "ok", "closed"]


def test_a_spoilt_trial_is_run_again_at_the_end_of_its_block(bed: Bed) -> None:
    schedule = blocks(bed)
    bed.machine.waits = [Wait(quiet=False)]
    seen = [(s.trial.block, s.trial.position, s.trial.attempt, s.outcome) for s in measure(bed.bench(), schedule)]
    assert seen[:4] == [
        (0, 0, 0, Outcome.NOT_QUIET),
        (0, 1, 0, Outcome.OK),
        (0, 2, 1, Outcome.OK),
        (1, 0, 0, Outcome.OK),
    ]


def test_a_trial_spoilt_every_time_is_given_up(bed: Bed) -> None:
    schedule = blocks(bed, count=1)
    bed.machine.waits = [Wait(quiet=False)] * 99
    outcomes = [s.outcome for s in measure(bed.bench(), schedule)]
    assert outcomes == [Outcome.NOT_QUIET] * 2 * MAX_ATTEMPTS


def test_a_failure_of_the_treatment_is_not_tried_again(bed: Bed) -> None:
    cell = bed.cell(variant="exits")
    samples = list(measure(bed.bench(), [(make_trial(cell=cell),)]))
    assert [s.outcome for s in samples] == [Outcome.EXITED]


def test_a_cell_that_only_ever_fails_is_given_up_and_the_others_go_on(bed: Bed) -> None:
    bad, good = bed.cell(variant="exits"), bed.cell()
    schedule = [(make_trial(cell=bad, block=n), make_trial(cell=good, block=n)) for n in range(6)]
    ran = [s.trial.cell for s in measure(bed.bench(), schedule)]
    assert (ran.count(bad), ran.count(good)) == (HOPELESS, 6)


def test_a_cell_that_is_never_once_cold_is_given_up_and_the_others_go_on(bed: Bed) -> None:
    never, good = bed.cell(Tier.ABSENT), bed.cell()
    bed.engine.remove_image = _refuse_image  # type: ignore[method-assign]
    schedule = [(make_trial(cell=never, block=n), make_trial(cell=good, block=n)) for n in range(6)]
    told: list[str] = []
    ran = [s.trial.cell for s in measure(bed.bench(), schedule, tell=told.append)]
    assert (ran.count(never), ran.count(good)) == (HOPELESS * MAX_ATTEMPTS, 6)
    assert told == [f"left out from here on: {never.key} could not be proved cold: it was here before"]


def _refuse_image(image: Image) -> None:
    raise EngineError(f"it was here before{'' if image.digest else ' without a digest'}")


def test_once_every_cell_is_given_up_nothing_is_waited_for_any_more(bed: Bed) -> None:
    cell = bed.cell(variant="exits")
    schedule = [(make_trial(cell=cell, block=n),) for n in range(9)]
    samples = list(measure(bed.bench(), schedule, with_sentinel=True))
    assert len(samples) == HOPELESS
    assert bed.machine.waited == 2 * HOPELESS  # before the sentinel, and before the start


def test_a_machine_that_is_never_quiet_is_not_waited_for_hundreds_of_times(bed: Bed) -> None:
    bed.machine.waits = [Wait(quiet=False, disturbance="the CPU was 90% busy (most by apt 80%)")] * 999
    schedule, told = blocks(bed, count=50), list[str]()
    samples = list(measure(bed.bench(), schedule, tell=told.append))
    assert len(samples) == 6
    assert len(told) == 1
    assert told[0].startswith("stopped: none of the first 6 starts found the machine fit: 6 of 6 starts")
    assert told[0].endswith("the CPU was 90% busy (most by apt 80%)")


def test_a_run_that_stays_contaminated_however_the_rest_goes_ends(bed: Bed) -> None:
    schedule = blocks(bed, count=20)
    bed.machine.waits = [Wait(), *[Wait(quiet=False)] * 5, Wait(), Wait(), Wait(quiet=False)]
    told: list[str] = []
    samples = list(measure(bed.bench(), schedule, prospects=Prospects(40), tell=told.append))
    assert sum(sample.outcome is Outcome.NOT_QUIET for sample in samples) == 6
    assert told[0].startswith("stopped: too many starts had to be repeated, however the others go: 6 of")


def test_a_cell_that_once_succeeded_is_never_given_up(bed: Bed) -> None:
    cell = bed.cell()
    schedule = [(make_trial(cell=cell, block=n),) for n in range(HOPELESS + 3)]
    samples = measure(bed.bench(), schedule)
    assert next(samples).outcome is Outcome.OK
    bed.engine.start = _refuse  # type: ignore[method-assign,assignment]
    assert [s.outcome for s in samples] == [Outcome.START_FAILED] * (HOPELESS + 2)


def _refuse(container_id: str) -> None:
    raise EngineError(f"no start for {container_id}")


def test_a_stop_ends_the_run_after_the_trial_under_way(bed: Bed) -> None:
    schedule = blocks(bed)
    done: list[object] = []
    done.extend(measure(bed.bench(), schedule, stop=lambda: len(done) == 3))
    assert len(done) == 3


def test_a_block_that_would_end_too_late_is_not_begun(bed: Bed) -> None:
    # Each of a block's two trials takes 10: the third block would begin at 40 and end at 60.
    clock, schedule = Clock(), blocks(bed, count=50)
    samples = list(measure(bed.bench(), schedule, deadline_ns=45, clock=clock.read, announce=clock.pass_ten))
    assert {s.trial.block for s in samples} == {0, 1}


def test_a_block_that_takes_longer_than_any_before_ends_with_the_trial_that_passes_the_deadline(bed: Bed) -> None:
    clock, schedule = Clock(), blocks(bed)
    samples = list(measure(bed.bench(), schedule, deadline_ns=5, clock=clock.read, announce=clock.pass_ten))
    assert [(s.trial.block, s.trial.position) for s in samples] == [(0, 0)]


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at_ns = 0

    def read(self) -> int:
        """What it shows."""
        return self.at_ns

    def pass_ten(self, _trial: Trial) -> None:
        """A trial begins, and takes 10."""
        self.at_ns += 10


def test_a_deadline_already_past_measures_nothing(bed: Bed) -> None:
    schedule = blocks(bed)
    assert list(measure(bed.bench(), schedule, deadline_ns=1, clock=lambda: 2)) == []


def test_containers_left_by_an_earlier_run_are_swept_away_first(bed: Bed) -> None:
    cell = bed.cell()
    bench = bed.bench()
    bench.engine.pull(bed.images[cell.image_key])
    bench.engine.create(ContainerSpec(image=bed.images[cell.image_key], runtime="runc", network=cell.network))
    list(measure(bench, []))
    assert bench.engine.sweep() == 0


def test_an_engine_lost_for_good_ends_the_run(bed: Bed) -> None:
    schedule = blocks(bed, count=20)

    def gone(image: Image) -> bool:
        raise EngineUnreachableError(f"gone with {image.reference}")

    bed.engine.has_image = gone  # type: ignore[method-assign]
    samples = list(measure(bed.bench(), schedule))
    assert [s.outcome for s in samples] == [Outcome.ENGINE_LOST] * 3


# --- what earlier samples say ---


def earlier(trial: Trial, *outcomes: Outcome) -> list[Sample]:
    """Stored samples of that trial's cell, one block each."""
    return [
        make_sample(msgspec.structs.replace(trial, block=block), outcome=outcome, reason=f"why {outcome}")
        for block, outcome in enumerate(outcomes)
    ]


def test_a_cell_given_up_before_a_run_was_left_stays_so_when_it_is_resumed(bed: Bed) -> None:
    (bad, good), told = blocks(bed, count=1)[0], list[str]()
    known = [*earlier(bad, *[Outcome.EXITED] * 2, Outcome.UNOBSERVED), *earlier(good, Outcome.OK)]
    samples = list(measure(bed.bench(), [(bad, good)], prospects=Prospects(2, earlier=known), tell=told.append))
    assert [sample.trial.cell for sample in samples] == [good.cell]
    name = bad.cell.key
    assert told == [f"left out, as before: {name} never succeeded (2 exited, 1 unobserved): why unobserved"]


def test_a_run_whose_stored_samples_spoil_it_already_ends_when_it_is_resumed(bed: Bed) -> None:
    (first, _), told = blocks(bed, count=1)[0], list[str]()
    known = earlier(first, Outcome.OK, *[Outcome.NOT_QUIET] * 6)
    assert list(measure(bed.bench(), [(first,)], prospects=Prospects(1, earlier=known), tell=told.append)) == []
    assert told[0].startswith("stopped: too many starts had to be repeated, however the others go: 6 of 7")


def test_stored_samples_do_not_lower_the_number_of_starts_to_come(bed: Bed) -> None:
    (trial, _) = blocks(bed, count=1)[0]
    known = earlier(trial, Outcome.OK, *[Outcome.NOT_QUIET] * 6)
    assert Prospects(52, earlier=known).is_over  # 6 of 59
    assert not Prospects(53, earlier=known).is_over


@pytest.mark.parametrize("outcome", [Outcome.ENGINE_LOST, Outcome.HARNESS_FAILED])
def test_a_run_that_ended_since_all_was_lost_can_be_resumed_once_it_is_back(bed: Bed, outcome: Outcome) -> None:
    (trial, other), told = blocks(bed, count=1)[0], list[str]()
    known = [*earlier(trial, Outcome.OK), *earlier(trial, *[outcome] * LOST_IN_A_ROW)]
    samples = list(measure(bed.bench(), [(other,)], prospects=Prospects(99, earlier=known), tell=told.append))
    assert ([sample.outcome for sample in samples], told) == ([Outcome.OK], [])


def test_a_run_whose_machine_was_never_quiet_can_be_resumed_once_it_is(bed: Bed) -> None:
    (trial, other) = blocks(bed, count=1)[0]
    known = earlier(trial, *[Outcome.NOT_QUIET] * 6)
    samples = list(measure(bed.bench(), [(other,)], prospects=Prospects(99, earlier=known)))
    assert [sample.outcome for sample in samples] == [Outcome.OK]


@pytest.mark.parametrize(("planned", "is_over"), [(53, True), (54, False)])
def test_starts_still_to_be_tried_again_may_go_well(bed: Bed, planned: int, is_over: bool) -> None:
    """Six of the planned starts were not quiet, and each has another attempt to come: 6 of 59, or of 60."""
    prospects = Prospects(planned)
    for sample in earlier(make_trial(cell=bed.cell()), Outcome.OK, *[Outcome.NOT_QUIET] * 6):
        prospects.note(sample)
    assert prospects.is_over is is_over


def test_the_last_attempt_of_a_start_has_none_to_come(bed: Bed) -> None:
    trial = make_trial(cell=bed.cell())
    prospects = Prospects(54)
    for sample in earlier(trial, Outcome.OK, *[Outcome.NOT_QUIET] * 5):
        prospects.note(sample)
    last = msgspec.structs.replace(trial, attempt=MAX_ATTEMPTS - 1)
    for sample in earlier(last, Outcome.NOT_QUIET):
        prospects.note(sample)
    assert prospects.is_over  # 6 of 59


def test_a_cell_of_which_nothing_was_seen_is_left_out_in_these_words(bed: Bed) -> None:
    cell, told = bed.cell(Tier.ABSENT, variant="unseen"), list[str]()
    schedule = [(make_trial(cell=cell, block=n),) for n in range(5)]
    assert len(list(measure(bed.bench(), schedule, tell=told.append))) == HOPELESS
    expected = "never succeeded (3 unobserved): no source saw the entrypoint start"
    assert told == [f"left out from here on: {cell.key} {expected}"]
