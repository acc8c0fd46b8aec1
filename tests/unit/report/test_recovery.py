"""A host's selftest: found beside its runs, judged, and as a section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.analyse.recovery import Kind, State
from coldstart.errors import InputFileError
from coldstart.model.host import HostFacts
from coldstart.model.run import SCHEMA_VERSION
from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, Stamp, TruthRecord, TruthTrial
from coldstart.report.document import Mark, Paragraph, Section, Table, Tone
from coldstart.report.recovery import PUBLISHED, Selftest, load_selftest, selftest_section, to_decide
from tests.unit.factories import MS, make_host, make_manifest

HOST = make_host()
S = 1_000_000_000


def trial(block: int, delay_ns: int, failure: str | None = None) -> TruthTrial:
    """A start whose app waited so long before it answered, and was seen to, to the nanosecond."""
    arm = Arm(runtime="runc", point=Phase.RESPOND, delay_ns=delay_ns) if delay_ns else Arm(runtime="runc")
    stamp = Stamp(phase=Phase.RESPOND, start_ns=1000 * MS, end_ns=1000 * MS + delay_ns)
    return TruthTrial(
        block=block,
        position=0,
        arm=arm,
        source="trace",
        stamps=(stamp,) if delay_ns else (),
        span_start_ns=999 * MS if delay_ns else None,
        span_end_ns=1000 * MS + delay_ns if delay_ns else None,
        lengths_ns={"respond": MS + delay_ns, "create": 5 * MS},
        failure=failure,
    )


def record(host: HostFacts = HOST, seed: int = 1, extra: tuple[TruthTrial, ...] = ()) -> TruthRecord:
    """Twelve blocks of 0, 20 and 50 ms."""
    manifest = make_manifest()
    trials = tuple(trial(block, delay * MS) for block in range(12) for delay in (0, 20, 50))
    return TruthRecord(
        schema_version=SCHEMA_VERSION,
        coldstart_version="1",
        started_at="2026-11-24T05:15:30Z",
        seed=seed,
        delays_ns=(20 * MS, 50 * MS),
        runs=12,
        host=host,
        engine=manifest.engine,
        runtimes=manifest.runtimes,
        trials=(*trials, *extra),
    )


def keep(results: Path, name: str, value: TruthRecord) -> None:
    path = results / "selftest" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(value))


def loaded(results: Path, **fields: Any) -> Selftest:
    keep(results, "a.json", record(**fields))
    found = load_selftest(results, HOST)
    assert found is not None
    return found


def table(section: Section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def test_a_row_says_what_was_found_of_what_was_injected(tmp_path: Path) -> None:
    section = selftest_section(loaded(tmp_path))
    assert table(section).rows == (
        (
            "respond",
            "24 of 24",
            "0 ns (0 ns to 0 ns)",
            "0 of 24 (at most 11.7%)",
            "+0 ns (+0 ns to +0 ns)",
            "1.000 (1.000 to 1.000)",
            "1 of 1",
            Mark("undecided", Tone.WARN),
        ),
    )
    about = section.blocks[0]
    assert isinstance(about, Paragraph)
    assert "Known delays (20.0 ms, 50.0 ms)" in about.text
    assert "36 starts, seed 1, source trace" in about.text
    assert about.text.endswith("of 7 bounds, 1 undecided.")


def test_what_is_undecided_is_named_and_is_not_missed(tmp_path: Path) -> None:
    texts = [block.text for block in selftest_section(loaded(tmp_path)).blocks if isinstance(block, Paragraph)]
    assert texts[1:] == [
        "undecided: starts whose boundary of respond is off by more than 5.00 ms: 0 of 24 (at most 11.7%), allowed 10%."
    ]


def test_a_selftest_whose_bounds_are_all_met_says_so(tmp_path: Path) -> None:
    more = tuple(trial(block, 20 * MS) for block in range(12, 40))
    section = selftest_section(loaded(tmp_path, extra=more))
    assert table(section).rows[0][-1] == Mark("met", Tone.GOOD)
    (about,) = (block for block in section.blocks if isinstance(block, Paragraph))
    assert about.text.endswith("all 7 bounds are met.")


def test_what_misses_its_bound_is_marked_and_named(tmp_path: Path) -> None:
    escaped = msgspec.structs.replace(trial(0, 20 * MS), span_start_ns=1000 * MS + 2000)
    section = selftest_section(loaded(tmp_path, extra=(escaped, trial(0, 20 * MS, failure="x"))))
    assert table(section).rows[0][-1] == Mark("missed", Tone.BAD)
    texts = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert texts[1] == "missed: spans that contain a delay in respond: 24 of 25, allowed all."
    assert texts[-1] == "1 starts failed, the first: runc respond: x"
    assert "of 7 bounds, 1 missed, 1 undecided." in texts[0]


def test_an_arm_without_a_single_start_has_no_figures(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(record(), trials=tuple(trial(b, 5 * MS, failure="engine gone") for b in range(3)))
    keep(tmp_path, "a.json", broken)
    found = load_selftest(tmp_path, HOST)
    assert found is not None
    row = table(selftest_section(found)).rows[0]
    assert row[1:] == ("—", "—", "—", "—", "—", "0 of 0", Mark("undecided", Tone.WARN))


def test_what_would_decide_is_shown_at_this_pace(tmp_path: Path) -> None:
    recovery = loaded(tmp_path).recovery
    more = to_decide(recovery, measured_ns=36 * S, set_up_ns=20 * S, arguments=("--runtime", "runc"))
    assert more is not None
    assert recovery.starts == 36
    assert recovery.starts_needed is not None
    assert (more.starts, more.seconds) == (recovery.starts_needed, recovery.starts_needed + 20)
    runs = recovery.blocks_needed
    assert more.command.startswith(f"coldstart selftest --runtime runc --runs {runs} --budget ")


def test_what_is_decided_needs_nothing_more(tmp_path: Path) -> None:
    more = tuple(trial(block, 20 * MS) for block in range(12, 40))
    recovery = loaded(tmp_path, extra=more).recovery
    assert to_decide(recovery, measured_ns=S, set_up_ns=S, arguments=()) is None


def test_looks_are_judged_as_they_were_made(tmp_path: Path) -> None:
    keep(tmp_path, "a.json", msgspec.structs.replace(record(), looks=(18, 36), planned_looks=2))
    found = load_selftest(tmp_path, HOST)
    assert found is not None
    slope = next(claim.estimate for claim in found.recovery.claims if claim.kind is Kind.SLOPE)
    assert slope is not None
    assert slope.level == 0.95


def test_what_an_earlier_version_published_is_judged_anew_from_the_trials_beside_it(tmp_path: Path) -> None:
    old = {"source": "trace", "arms": [], "slopes": [], "leaks": [], "unattributed_median": 0.01, "failures": []}
    path = tmp_path / PUBLISHED
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode({"seed": 1, "runs": 12, "host": HOST, "passed": True, "recovery": old}))
    assert load_selftest(tmp_path, HOST) is None
    (path.parent / "recovery-trials.json").write_bytes(msgspec.json.encode(record().trials))
    found = load_selftest(tmp_path, HOST)
    assert found is not None
    assert found.recovery == loaded(tmp_path / "other").recovery


def test_the_newest_of_this_host_counts(tmp_path: Path) -> None:
    keep(tmp_path, "1.json", record(seed=1))
    keep(tmp_path, "2.json", record(seed=2))
    keep(tmp_path, "3.json", record(make_host(host_id="elsewhere"), seed=3))
    found = load_selftest(tmp_path, HOST)
    assert found is not None
    assert found.seed == 2


def test_without_a_selftest_the_published_one_of_this_host_counts(tmp_path: Path) -> None:
    published = loaded(tmp_path / "other")
    path = tmp_path / PUBLISHED
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(published))
    assert load_selftest(tmp_path, HOST) == published
    assert load_selftest(tmp_path, make_host(host_id="elsewhere")) is None


def test_where_nothing_was_ever_tested_there_is_nothing(tmp_path: Path) -> None:
    assert load_selftest(tmp_path, HOST) is None


@pytest.mark.parametrize("text", ["", "{", "{}"])
def test_a_damaged_file_is_refused_with_its_place_and_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "selftest" / "a.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputFileError, match=r"a\.json: cannot be read: .* Remove it, or run coldstart selftest"):
        load_selftest(tmp_path, HOST)


def test_the_published_selftest_is_readable_and_its_bounds_are_met() -> None:
    results = Path(__file__).parents[3] / "results" / "reference"
    host = msgspec.json.decode((results / PUBLISHED).read_bytes(), type=Selftest).host
    found = load_selftest(results, host)
    assert found is not None
    assert (found.recovery.state, len(found.recovery.claims)) == (State.MET, 120)


def test_published_trials_of_an_earlier_version_are_readable() -> None:
    path = Path(__file__).parents[3] / "results" / "reference" / "fidelity" / "recovery-trials.json"
    trials = msgspec.json.decode(path.read_bytes(), type=list[TruthTrial])
    assert len(trials) == 3360
