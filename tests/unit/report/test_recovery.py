"""A host's selftest: found beside its runs, judged, and as a section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.analyse.recovery import Recovery
from coldstart.errors import InputFileError
from coldstart.model.host import HostFacts
from coldstart.model.run import SCHEMA_VERSION
from coldstart.model.sample import Phase
from coldstart.model.truth import Arm, Stamp, TruthRecord, TruthTrial
from coldstart.report.document import Mark, Paragraph, Section, Table, Tone
from coldstart.report.recovery import PUBLISHED, Selftest, load_selftest, selftest_section
from tests.unit.factories import MS, make_host, make_manifest

HOST = make_host()


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
            "respond · runc",
            "24 of 24",
            "0 ns",
            "0 ns",
            "2 of 2",
            "1.000 (1.000 to 1.000)",
            "1 of 1",
            Mark("met", Tone.GOOD),
        ),
    )
    about = section.blocks[0]
    assert isinstance(about, Paragraph)
    assert "12 starts of each, seed 1, source trace" in about.text
    assert about.text.endswith("every figure is within its bound.")


def test_what_misses_its_bound_is_marked_and_said() -> None:
    arms = ({"runtime": "runc", "point": "unpack", "delay_ns": 5, "n": 0, "failed": 1, "contained": 0,
             "boundary_median_ns": 1e9, "boundary_p95_ns": 1e9, "excess": None},)  # fmt: skip
    recovery = msgspec.convert(
        {"source": "trace", "arms": arms, "slopes": (), "leaks": (), "unattributed_median": None, "failures": ("x",)},
        Recovery,
    )
    section = selftest_section(Selftest(seed=1, runs=1, host=HOST, recovery=recovery))
    assert table(section).rows[0][4:] == ("0 of 1", "—", "0 of 0", Mark("missed", Tone.BAD))
    assert section.blocks[-1] == Paragraph("1 starts failed, the first: x")


def test_an_arm_without_a_single_start_has_no_boundary(tmp_path: Path) -> None:
    failed = tuple(trial(block, 5 * MS, failure="engine gone") for block in range(3))
    assert table(selftest_section(loaded(tmp_path, extra=failed))).rows[0][2:4] == ("—", "—")


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
