"""A comparison of two contenders as blocks of text: for a terminal, a job's summary, or a report."""

from __future__ import annotations

from collections.abc import Sequence

from coldstart.analyse.contest import PhaseEffect
from coldstart.analyse.counters import CounterCheck
from coldstart.analyse.estimate import Estimate
from coldstart.analyse.gate import Call, Decision
from coldstart.analyse.verdict import Outcome, Verdict
from coldstart.model.cell import Side
from coldstart.report.document import Block, Mark, Notice, Paragraph, Section, Table, Tone
from coldstart.report.labels import PHASE_NAMES, ratio_text, rule_text
from coldstart.units import format_ns

_TONES: dict[str, Tone] = {
    Outcome.OK: Tone.GOOD,
    Outcome.REGRESSION: Tone.BAD,
    Outcome.INCONCLUSIVE: Tone.WARN,
    Outcome.CONTAMINATED: Tone.WARN,
    Outcome.INVALID: Tone.BAD,
}
_HEADLINES: dict[str, str] = {
    Outcome.OK: "not slower than is tolerated",
    Outcome.REGRESSION: "regression",
    Outcome.INCONCLUSIVE: "inconclusive",
    Outcome.CONTAMINATED: "contaminated: the machine was disturbed, so nothing is concluded",
    Outcome.INVALID: "nothing to conclude from",
}


def headline(verdict: Verdict) -> str:
    """The verdict in a line: what it is, and the first reason for it."""
    first = verdict.reasons[0] if verdict.reasons else ""
    others = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
    return f"{_HEADLINES[verdict.outcome]}{f' — {first}' if first else ''}{others}"


def verdict_section(verdict: Verdict, false_alarms: str | None = None) -> Section:
    """Everything about one verdict; ``false_alarms`` tells how often this machine's gate is wrong, if that is known."""
    blocks: list[Block] = [Notice(headline(verdict)), decisions_table(verdict)]
    if verdict.counters:
        blocks.append(counters_table(verdict.counters))
    if verdict.effects:
        blocks.append(effects_table(verdict.effects))
    blocks.append(Paragraph(f"{_counts(verdict)} {_method(verdict)}"))
    if verdict.paired:
        blocks.append(Paragraph(false_alarms or "How often this gate is wrong on this machine is not known here."))
    return Section(
        anchor="gate",
        title=f"Cold-start gate{'' if verdict.paired else ', unpaired'}: {verdict.outcome}",
        blocks=tuple(blocks),
    )


def _counts(verdict: Verdict) -> str:
    order = f"Starts in {verdict.blocks} blocks, one of each side next to one another" if verdict.paired else "Starts"
    unseen = f", {verdict.unseen} not observed" if verdict.unseen else ""
    return (
        f"{order}: {verdict.attempts} in all, {verdict.failed} failed{unseen}, "
        f"{verdict.requeued} repeated (not cold, not quiet, throttled). Source {verdict.source}.{_repeats(verdict)}"
    )


def _repeats(verdict: Verdict) -> str:
    """How the repeats fell on the sides; nothing where there were none, or no sides to tell."""
    ours, theirs = (sum(getattr(one, f"{side}_repeated") for one in verdict.repeats) for side in Side)
    if not ours + theirs:
        return ""
    return (
        f" Of the starts that had to be repeated {ours} were the baseline's and {theirs} the candidate's: held against "
        "one another by Fisher's exact test at 1 % in all."
    )


def _method(verdict: Verdict) -> str:
    rule = verdict.rule
    if not verdict.paired:
        return (
            "Unpaired: the sides were measured at different times, so what changed on the machine between them counts "
            "as the candidate's; a gate that measures both tells more. One look by Mann and Whitney's test, one-sided "
            f"at {rule.alpha:g}. Intervals of the first table are at {1 - 2 * rule.alpha:.1%}, of phases at 95 %."
        )
    looks = ", ".join(str(look) for look in rule.looks)
    again = (
        f"Judged by a rule that was asked for after the measurement ({rule_text(rule)}); the pairs were measured until "
        f"another one was settled ({rule_text(verdict.stored_rule)}). "
        if verdict.stored_rule is not None
        else ""
    )
    return (
        f"{again}Paired signed-rank tests after {looks} pairs, one-sided at {rule.alpha_at_look:g} each: false alarms "
        f"of a whole gate stay below {rule.alpha:g}. Intervals of the first table are at "
        f"{1 - 2 * rule.alpha_at_look:.1%}, of phases at 95 %."
    )


def decisions_table(verdict: Verdict) -> Table:
    """A row a question: which cell (and phase), how many pairs, how much slower, the call, and what moved."""
    return Table(
        caption="Candidate against baseline, end-to-end unless a phase is named",
        header=(
            "cell",
            "pairs" if verdict.paired else "n",
            "candidate / baseline",
            "difference",
            "tolerated",
            "call",
            "moved most",
        ),
        numeric=frozenset({1, 2, 3, 4}),
        rows=tuple(
            (
                decision.name,
                str(decision.n),
                ratio_text(decision.ratio),
                shift_text(decision.shift_ns),
                f"{decision.tolerated:+.1%}",
                _mark(decision),
                _moved(verdict.moved.get(decision.name)),
            )
            for decision in verdict.decisions
        ),
    )


def counters_table(counters: Sequence[CounterCheck]) -> Table:
    """A row a hard limit."""
    words = {True: Mark("within", Tone.GOOD), False: Mark("over", Tone.BAD), None: Mark("not known", Tone.WARN)}
    return Table(
        caption="Hard limits: the same in every start",
        header=("image", "what", "baseline", "candidate", "limit", ""),
        numeric=frozenset({2, 3, 4}),
        rows=tuple(
            (
                check.image,
                check.what,
                check.text(check.baseline),
                check.text(check.candidate),
                f"{check.text(check.bound)} ({check.limit})",
                words[check.passed],
            )
            for check in counters
        ),
    )


def effects_table(effects: Sequence[PhaseEffect]) -> Table:
    """A row a phase of each pair of cells."""
    kinds = {effect.paired for effect in effects}
    kind = "paired by block" if kinds == {True} else "unpaired" if kinds == {False} else "paired and unpaired"
    return Table(
        caption=f"Phases, {kind}: medians, and what the second takes of the first",
        header=("cell", "phase", "n", "first", "second", "ratio", "difference"),
        numeric=frozenset({2, 3, 4, 5, 6}),
        rows=tuple(
            (
                effect.pair.key,
                PHASE_NAMES[effect.column],
                str(effect.shift_ns.n),
                format_ns(effect.baseline_ns),
                format_ns(effect.candidate_ns),
                ratio_text(effect.ratio),
                shift_text(effect.shift_ns),
            )
            for effect in effects
            if effect.baseline_ns or effect.candidate_ns
        ),
    )


def shift_text(shift: Estimate | None) -> str:
    """``+12.0 ms (+10.1 ms to +14.2 ms)``."""
    if shift is None:
        return "—"
    if shift.lower is None or shift.upper is None:
        return signed(shift.value)
    return f"{signed(shift.value)} ({signed(shift.lower)} to {signed(shift.upper)})"


def signed(value_ns: float) -> str:
    """A difference with its sign."""
    return f"{'-' if value_ns < 0 else '+'}{format_ns(abs(value_ns))}"


def _mark(decision: Decision) -> Mark:
    tones = {Call.OK: Tone.GOOD, Call.REGRESSION: Tone.BAD, Call.INCONCLUSIVE: Tone.WARN, Call.INVALID: Tone.BAD}
    return Mark(decision.call.value, tones[decision.call])


def _moved(effect: PhaseEffect | None) -> str:
    return "" if effect is None else f"{PHASE_NAMES[effect.column]} by {signed(effect.shift_ns.value)}"
