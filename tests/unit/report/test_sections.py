"""What a report says: answers, verdicts, failures, sums, conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.model.cell import Tier
from coldstart.model.host import HostFacts
from coldstart.model.image import Provenance
from coldstart.model.run import Comparison, RegistryFacts
from coldstart.model.sample import ColdProof
from coldstart.report.compose import compose
from coldstart.report.content import Content, analyse
from coldstart.report.document import Code, Document, Facts, Mark, Notice, Paragraph, Picture, Section, Table, Tone
from coldstart.report.labels import TIMES
from coldstart.store.frames import tidy as tidy_frame
from coldstart.store.reader import StoredRun
from tests.unit import tidy
from tests.unit.factories import (
    MS,
    RUN_ID,
    STARTED_AT,
    make_cell,
    make_experiment,
    make_host,
    make_image,
    make_manifest,
    make_sample,
    make_trial,
)
from tests.unit.report.synthetic import article_manifest

WARM = make_cell(tier=Tier.WARM)


def report(rows: list[dict[str, Any]], repaired: str | None = None, **fields: Any) -> Document:
    """The document of hand-made rows."""
    stamped = [{"started_at": "2026-11-24T05:15:30Z", **row} for row in rows]
    return compose([analyse(make_manifest(**fields), tidy.frame(stamped), repaired)], draw=lambda _: ())


def section(document: Document, anchor: str) -> Section:
    return next(one for one in document.parts[0].sections if one.anchor == anchor)


def tables(document: Document, anchor: str) -> list[Table]:
    return [block for block in section(document, anchor).blocks if isinstance(block, Table)]


def notices(document: Document) -> list[str]:
    return [block.text for block in section(document, "answers").blocks if isinstance(block, Notice)]


def facts(document: Document, anchor: str) -> dict[str, str]:
    blocks = section(document, anchor).blocks
    return {name: value for block in blocks if isinstance(block, Facts) for name, value in block.items}


def test_the_answers_come_first(document: Document) -> None:
    captions = [table.caption.partition(":")[0].partition(",")[0] for table in tables(document, "answers")]
    assert captions == ["Where the time goes", "Fastest cell of each tier", "Targets", "One factor at a time"]


def test_shares_of_a_tier_add_up_to_a_hundred_without_unpack(document: Document) -> None:
    where = tables(document, "answers")[0]
    shares = [[float(str(cell).removesuffix(" %")) for cell in row[3:]] for row in where.rows]
    assert [sum(row) - row[1] for row in shares] == pytest.approx([100, 100, 100], abs=0.3)


def test_the_fastest_is_compared_with_the_next_and_the_slowest() -> None:
    other = make_cell(tier=Tier.WARM, runtime="crun")
    rows = tidy.starts(WARM, *[120] * 6) + tidy.starts(other, *[100] * 6)
    assert tables(report(rows), "answers")[1].rows == (
        (
            "warm",
            "alpine · crun",
            "100 ms (100 ms to 100 ms)",
            "alpine · runc",
            f"1.20{TIMES} (1.20 to 1.20)",
            "alpine · runc",
            f"1.20{TIMES} (1.20 to 1.20)",
        ),
    )


def test_claims_whose_cells_disagree_are_counted(document: Document) -> None:
    first = tables(document, "answers")[2].rows[0]
    assert first[-1] == Mark("6 met, 2 missed", Tone.WARN)


def test_each_verdict_stands_with_its_note(document: Document) -> None:
    (claim,) = [table for table in tables(document, "targets") if "containerd + runc starts" in table.caption]
    assert {row[2] for row in claim.rows} == {Mark("not like for like", Tone.MUTED)}
    assert {str(row[3]).partition(";")[0] for row in claim.rows} == {
        "claimed for engine containerd, measured on docker"
    }


def test_a_claim_stands_with_its_conditions_its_limit_and_what_it_leaves_unstated(document: Document) -> None:
    captions = [table.caption for table in tables(document, "targets")]
    assert captions[2] == (
        "§2.5 mean start 200 ms on a prewarmed node with a cached image. Claimed for tier warm; mean ≤ 200 ms. "
        "Unstated: Which image, runtime and board, how many starts, and where a start begins and ends."
    )


def test_claims_without_notes_have_no_column_for_them(document: Document) -> None:
    assert tables(document, "targets")[0].header == ("held against", "measured", "verdict")


def test_claims_are_counted_and_those_not_measured_stand_by_themselves(document: Document) -> None:
    (counted,) = [block.text for block in section(document, "answers").blocks if isinstance(block, Paragraph)]
    assert counted.startswith("Of 16 published claims ")
    assert "9 are not measured" in counted
    missing = [table for table in tables(document, "targets") if table.caption.startswith("Not measured: ")]
    assert sum(len(table.rows) for table in missing) == 9
    reasons = [table.caption for table in missing]
    assert len(set(reasons)) == len(reasons)
    (memory,) = (table for table in missing if any("85 MiB" in str(cell) for row in table.rows for cell in row))
    assert len(memory.rows) == 6


def test_an_experiment_without_targets_has_no_such_section() -> None:
    anchors = [one.anchor for one in report(tidy.starts(WARM, 100)).parts[0].sections]
    assert "targets" not in anchors


def test_failures_are_noticed_and_listed_with_their_reason() -> None:
    document = report([*tidy.starts(WARM, 100), tidy.failed(WARM, 1), tidy.failed(WARM, 2)])
    assert notices(document) == ["2 of 3 trials failed; they are counted below and in no average."]
    assert tables(document, "untimed")[0].rows == (("alpine · runc · warm", "never_ready", "synthetic", "2"),)


def test_a_run_without_failures_says_so() -> None:
    (block,) = section(report(tidy.starts(WARM, 100)), "untimed").blocks
    assert block == Paragraph("None: every trial ended ok at its first attempt.")


def test_only_so_many_kinds_of_failure_are_listed() -> None:
    table = tables(report([tidy.failed(WARM, block, reason=f"r{block}") for block in range(60)]), "untimed")[0]
    assert (len(table.rows), "40 of 60 kinds" in table.caption) == (40, True)


def test_a_contaminated_run_is_noticed() -> None:
    document = report([*tidy.starts(WARM, 100), tidy.failed(WARM, 0, "not_quiet")])
    assert notices(document)[0].startswith("Contaminated: 1 of 2 starts had to be repeated (1 not quiet)")


def test_a_cell_that_could_not_be_proved_cold_is_noticed_and_contaminates_nothing() -> None:
    never = [tidy.failed(make_cell(), block, "not_cold", reason="its base was there") for block in range(3)]
    (notice,) = notices(report([*tidy.starts(WARM, 100), *never]))
    assert notice.startswith("Left out: ")
    assert notice.endswith("could not be proved cold: its base was there")


def test_a_cell_that_could_not_be_proved_cold_is_not_called_contaminated() -> None:
    never = [tidy.failed(make_cell(), block, "not_cold") for block in range(3)]
    texts = [str(cell) for row in tables(report([*tidy.starts(WARM, 100), *never]), "cells")[0].rows for cell in row]
    assert any("3 (never cold)" in text for text in texts)


def test_broken_sums_are_noticed() -> None:
    document = report([tidy.row(WARM, gap_ns=5)])
    assert notices(document) == ["1 starts have phases that do not add up."]
    assert facts(document, "sums")["end-to-end = pull + create + init + readiness + gap"] == "broken in 1 of 1 starts"


def test_sums_that_hold_are_said_to(document: Document) -> None:
    held = "exact, to the nanosecond, in all 478 starts"
    assert [value for value in facts(document, "sums").values() if value == held] == [held, held]


def test_a_repair_is_noticed() -> None:
    assert notices(report(tidy.starts(WARM, 100), repaired="one line")) == ["The samples file was repaired: one line"]


def test_a_run_that_measured_nothing_says_so_and_keeps_its_conditions() -> None:
    document = report([tidy.failed(WARM)])
    assert notices(document)[0] == "Nothing was measured: no trial of this run ended ok."
    assert "host" in {one.anchor for one in document.parts[0].sections}


def test_a_run_without_a_trial_has_a_report() -> None:
    assert notices(report([]))[0].startswith("Nothing was measured")


def test_a_phase_that_did_not_happen_is_none_and_one_unseen_is_a_dash() -> None:
    row = tables(report([tidy.row(WARM)]), "phases")[0].rows[0]
    assert (row[1], row[2]) == ("none", "—")


def test_the_command_is_quoted_for_a_shell() -> None:
    document = report(tidy.starts(WARM, 100), argv=("coldstart", "run", "--image", "a b;rm", "-n", "3"))
    assert section(document, "repeat").blocks[0] == Code(
        f"coldstart run --image 'a b;rm' -n 3 --seed 42\ncoldstart report {RUN_ID}"
    )


@pytest.mark.parametrize(
    ("argv", "typed"),
    [
        (("coldstart", "run", "--seed", "7"), "coldstart run --seed 7"),
        (("coldstart", "run", "--seed=7"), "coldstart run --seed=7"),
        (("coldstart", "run", "--", "job", "--seed", "1"), "coldstart run --seed 42 -- job --seed 1"),
    ],
)
def test_the_seed_is_said_once_and_never_to_the_container(argv: tuple[str, ...], typed: str) -> None:
    code = section(report(tidy.starts(WARM, 100), argv=argv), "repeat").blocks[0]
    assert isinstance(code, Code)
    assert code.text.splitlines()[0] == typed


@pytest.mark.parametrize("said", [("--results", "here"), ("--results=here",)])
def test_the_report_is_made_from_where_the_run_was_put(said: tuple[str, ...]) -> None:
    code = section(report(tidy.starts(WARM, 100), argv=("coldstart", "run", *said, "-n", "3")), "repeat").blocks[0]
    assert isinstance(code, Code)
    assert code.text.splitlines()[1] == f"coldstart report {RUN_ID} {' '.join(said)}"


def test_the_box_names_run_version_and_seed() -> None:
    document = report(tidy.starts(WARM, 100), seed=4711)
    assert section(document, "repeat").boxed
    assert facts(document, "repeat") == {
        "run": f"{RUN_ID}, started {STARTED_AT}",
        "measured by": "coldstart 0.1.0",
        "seed": "4711: with it (--seed 4711) the trials come in the same order",
    }


def test_notes_of_the_run_are_shown() -> None:
    assert section(report([], notes=("egress was open",)), "repeat").blocks[-1] == Paragraph("Note: egress was open")


def test_the_method_is_this_runs_own() -> None:
    found = facts(report(tidy.starts(WARM, 100, 110)), "method")
    assert found["design"] == (
        "1 cell (runtime runc; workload hello; variant alpine; tier warm; network bridge). 3 measured blocks asked "
        "for, after 0 warm-up blocks, left out, each start given up after 30.0 s; n = 2 timed starts a cell."
    )
    assert found["phases"].startswith("Drawn from source engine, ")
    assert "seed 42" in found["order"]
    assert ("warm" in found, "absent" in found, "cached" in found) == (True, False, False)


@pytest.mark.parametrize(
    ("tier", "proof", "further"),
    [
        (Tier.ABSENT, {"blob_digests": ("sha256:a",)}, "Each blob is named in the sample"),
        (Tier.WARM, {"warmed_bytes": 5}, "95 % are still there"),
    ],
)
def test_the_method_claims_a_proof_only_of_runs_that_have_it(tier: Tier, proof: dict[str, Any], further: str) -> None:
    """Runs of version 0.1 proved less, and a report of theirs must not say otherwise."""
    cell = make_cell(tier=tier)
    for fields in (dict[str, Any](), proof):
        sample = make_sample(make_trial(cell=cell), proof=ColdProof(tier=tier, source="registry_log", **fields))
        run = StoredRun(path=Path("nowhere"), manifest=make_manifest(), samples=(sample,))
        content = analyse(run.manifest, tidy_frame(run), None, run.samples)
        document = compose([content], draw=lambda _: ())
        assert (further in facts(document, "method")[str(tier)]) is bool(fields)


def test_a_gates_method_is_one_of_pairs() -> None:
    comparison = Comparison(candidate=make_experiment(), pairs=())
    found = facts(report(tidy.starts(WARM, 100), comparison=comparison), "method")
    assert "Baseline and candidate side by side in every block" in found["design"]


def test_a_run_without_a_timing_was_drawn_from_no_source() -> None:
    found = facts(report([tidy.failed(WARM)]), "method")
    assert found["phases"] == "No start was timed, so no source was drawn from."


@pytest.mark.parametrize(("where", "text"), [("testbed", "isolated"), ("user", "The user's own"), ("moon", "moon")])
def test_whose_engine_it_was_is_said(where: str, text: str) -> None:
    engine = msgspec.structs.replace(make_manifest().engine, where=where)
    assert text in facts(report([], engine=engine), "method")["engine"]


def test_sources_stand_with_their_resolution_where_the_run_has_any() -> None:
    assert tables(report([]), "method")[0].rows == (("engine_api", "1.00 µs", "none known"),)
    assert tables(report([], sources=()), "method") == []


def test_long_package_lists_are_cut_and_counted() -> None:
    packages = tuple(f"p{index}=1" for index in range(25))
    image = make_image(provenance=(Provenance(what="base", source="apt", packages=packages),))
    text = facts(report([], images=(image,)), "images")["hello/alpine: base"]
    assert text.startswith("apt; 25 packages: p0=1, ")
    assert text.endswith("p9=1 and 15 more, listed in run.json")


def test_an_image_of_unknown_origin_says_so() -> None:
    table = tables(report([], images=(make_image(provenance=()),)), "images")[0]
    assert table.rows[0][6] == "not recorded"


def test_a_local_link_is_explained() -> None:
    assert "shares the machine (local link)" in facts(report([]), "method")["link"]


def test_another_link_is_named() -> None:
    registry = RegistryFacts(address="r:5000", version=None, link="1 Gbit/s Ethernet", cache_state="warm")
    assert facts(report([], registry=registry), "method")["link"] == "The registry is reached over: 1 Gbit/s Ethernet."


@pytest.mark.parametrize(
    ("journal", "text"), [(True, "with journal"), (False, "without journal"), (None, "journal unknown")]
)
def test_the_journal_is_known_or_said_not_to_be(journal: bool | None, text: str) -> None:
    host: HostFacts = make_host(filesystem_journal=journal)
    assert facts(report([], host=host), "host")["storage"].endswith(text)


def test_several_runs_stand_in_one_report_with_figures_of_their_own(
    content: Content, pictures: tuple[Picture, ...]
) -> None:
    other = analyse(article_manifest(run_id="other/../run"), content.frame)
    document = compose([content, other], draw=lambda _: pictures)
    names = {document.figure_name(part, picture) for part in document.parts for picture in part.pictures}
    assert (len(names), "other_.._run-phases" in names) == (10, True)


def test_cells_of_hundreds_are_all_in_the_table() -> None:
    rows = [tidy.row(make_cell(variant=f"v{index}", tier=Tier.WARM), e2e_ns=MS * (index + 1)) for index in range(300)]
    assert len(tables(report(rows), "cells")[0].rows) == 300


def test_a_way_out_while_measuring_is_named_among_the_conditions() -> None:
    def items(**fields: Any) -> dict[str, str]:
        (facts,) = (
            block for block in section(report([tidy.row()], **fields), "engine").blocks if isinstance(block, Facts)
        )
        return dict(facts.items)

    assert items(experiment=make_experiment(egress=True))["other networks"].startswith("within the containers' reach")
    assert "other networks" not in items()
