"""A comparison as it is measured: block after block, until the rule has its verdict or there is no more to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from coldstart.analyse.contest import series_of
from coldstart.analyse.counters import Limit, check_counters
from coldstart.analyse.gate import Decision, is_settled, judge
from coldstart.analyse.verdict import images_of, never_cold_pairs
from coldstart.measure.session import Prospects, measure
from coldstart.model.cell import CellPair, Side, Trial
from coldstart.model.rule import Rule
from coldstart.model.sample import Outcome, Sample
from coldstart.plan.pairing import paired_blocks
from coldstart.runner.contest import Contest
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun
from coldstart.store.writer import RunWriter

SPARE = 1.1
"""A gate begins as many blocks at most as its last look needs pairs, and a tenth more: with more spoilt it is none."""


class Looker:
    """Asks the rule after a block whether to go on; it knows all samples so far.

    ``prospects`` are those by which `measure` gives cells up, and it keeps them.
    """

    def __init__(
        self, stored: StoredRun, rule: Rule, tell: Callable[[tuple[Decision, ...]], None], prospects: Prospects
    ) -> None:
        assert stored.manifest.comparison is not None
        self._stored = stored
        self._pairs = stored.manifest.comparison.pairs
        self._every_pair = stored.manifest.comparison.every_pair
        self._rule = rule
        self._tell = tell
        self._samples: list[Sample] = list(stored.samples)
        self._decided: set[str] = set()
        self._prospects = prospects
        self._failures = 0
        self._blocks = 0

    def note(self, sample: Sample) -> None:
        """Another sample."""
        self._samples.append(sample)
        self._failures += sample.outcome is not Outcome.OK

    def is_done(self) -> bool:
        """Called after each block: whether the verdict is out, or none can come any more.

        Looks only when there is something new to see. A pair is lost once one of its cells is given up.
        """
        self._blocks += 1
        lost = [pair for pair in self._pairs if self._is_lost(pair)]
        if lost and (self._every_pair or not self._open()):
            return True
        if not self._failures and self._blocks not in self._rule.looks:
            return False
        run = StoredRun(path=self._stored.path, manifest=self._stored.manifest, samples=tuple(self._samples))
        frame = tidy(run)
        never_cold = never_cold_pairs(frame, self._pairs)
        judged = [pair for pair in self._pairs if pair not in never_cold]  # the family that the verdict will have
        if not judged:
            return False
        decisions = judge(series_of(frame, judged, self._rule), self._rule)
        if self._blocks in self._rule.looks:
            self._tell(decisions)
        undecided = {d.name.partition(": ")[0] for d in decisions if not d.is_final}  # "cell: phase"
        self._decided = {pair.key for pair in judged} - undecided
        return is_settled(decisions, self._rule)

    def wanted(self, block: tuple[Trial, ...]) -> tuple[Trial, ...]:
        """The trials of the block whose pair is not decided yet."""
        keep = {cell for pair in self._open() for cell in (pair.baseline, pair.candidate)}
        return tuple(trial for trial in block if trial.cell in keep)

    def _open(self) -> list[CellPair]:
        return [pair for pair in self._pairs if pair.key not in self._decided and not self._is_lost(pair)]

    def _is_lost(self, pair: CellPair) -> bool:
        return any(self._prospects.gave_up((side, pair.of(side))) for side in Side)


def run_gate(  # noqa: PLR0913  what is wanted of a gate, by name
    contest: Contest,
    writer: RunWriter,
    rule: Rule,
    *,
    deadline_ns: int | None,
    announce: Callable[[Trial], None],
    ended: Callable[[Sample], None],
    tell: Callable[[tuple[Decision, ...]], None],
    say: Callable[[str], None] = lambda _text: None,
    limits: tuple[Limit, ...] = (),
) -> None:
    """Measure pairs into the run until the rule is settled, the last look is done or the time is spent.

    It ends as well when no verdict can come any more. ``tell`` hears what the rule says at each look, ``say`` what is
    left out and why it ends early. Where an image passes one of ``limits`` the verdict is out at the
    first start, and only one block is measured.
    """
    manifest = writer.stored.manifest
    is_over = any(check.passed is False for check in check_counters(images_of(manifest), limits))
    most = 1 if is_over else int(rule.looks[-1] * SPARE)
    prospects = Prospects(at_most=most * 2 * len(contest.pairs))
    looker = Looker(writer.stored, rule, tell, prospects)
    samples = measure(
        contest.bench(manifest.run_id),
        _blocks(contest.pairs, most, manifest.seed, looker),
        sides=contest.sides(manifest.run_id),
        with_sentinel=True,
        deadline_ns=deadline_ns,
        prospects=prospects,
        announce=announce,
        tell=say,
    )
    with closing(samples):
        for sample in samples:
            writer.append(sample)
            looker.note(sample)
            ended(sample)


def run_pairs(
    contest: Contest,
    writer: RunWriter,
    pairs: int,
    *,
    deadline_ns: int | None,
    announce: Callable[[Trial], None],
    ended: Callable[[Sample], None],
    say: Callable[[str], None] = lambda _text: None,
) -> None:
    """Measure so many pairs of every cell into the run, and judge nothing; ``say`` as in `run_gate`."""
    manifest = writer.stored.manifest
    samples = measure(
        contest.bench(manifest.run_id),
        paired_blocks(contest.pairs, pairs, manifest.seed),
        sides=contest.sides(manifest.run_id),
        with_sentinel=True,
        deadline_ns=deadline_ns,
        prospects=Prospects(at_most=2 * len(contest.pairs) * pairs),
        announce=announce,
        tell=say,
    )
    with closing(samples):
        for sample in samples:
            writer.append(sample)
            ended(sample)


def _blocks(pairs: tuple[CellPair, ...], most: int, seed: int, looker: Looker) -> Iterator[tuple[Trial, ...]]:
    for number, block in enumerate(paired_blocks(pairs, most, seed)):
        if number and looker.is_done():
            return
        yield looker.wanted(block)
