"""Reports of stored runs that are hard to report: nothing ok, one sample, one cell, hundreds, names in any script."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.model.cell import Cell, Tier
from coldstart.model.sample import Outcome, Sample
from coldstart.report.compose import compose
from coldstart.report.content import Content, analyse
from coldstart.report.document import Document, Notice, Paragraph, Picture, Table
from coldstart.report.figures import MAX_WATERFALLS, draw_waterfalls
from coldstart.report.html import render_html
from coldstart.report.markdown import render_markdown
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun
from tests.unit.factories import (
    MS,
    make_cell,
    make_experiment,
    make_image,
    make_manifest,
    make_sample,
    make_samples,
    make_trial,
)

CELL = make_cell(tier=Tier.WARM)
HUNDREDS = tuple(make_cell(variant=f"v{index:03}", tier=Tier.WARM) for index in range(130))


def content_of(samples: tuple[Sample, ...]) -> Content:
    images = tuple(make_image(variant=name) for name in {sample.trial.cell.variant for sample in samples})
    manifest = make_manifest(experiment=make_experiment(targets=("article",)), images=images)
    run = StoredRun(path=Path("results/r"), manifest=manifest, samples=samples)
    return analyse(manifest, tidy(run), samples=samples)


def report(samples: tuple[Sample, ...]) -> Document:
    """With its figures, and the waterfall of one start where there is one."""
    return compose([content_of(samples)], draw_starts=lambda content: draw_waterfalls(content)[:1])


def pictures(document: Document) -> dict[str, Picture]:
    return {picture.name: picture for picture in document.parts[0].pictures}


def spread(cells: tuple[Cell, ...], runs: int) -> tuple[Sample, ...]:
    """Starts of cells each of which takes a little longer than the one before."""
    return tuple(
        make_sample(make_trial(cell=cell, block=block, position=place), init_ns=(100 + place) * MS)
        for block in range(runs)
        for place, cell in enumerate(cells)
    )


@pytest.fixture(scope="module")
def hundreds() -> Document:
    return report(spread(HUNDREDS, 1))


def test_a_run_of_nothing_but_failures_says_so_and_draws_nothing() -> None:
    document = report(tuple(make_sample(make_trial(cell=CELL, block=n), outcome=Outcome.NEVER_READY) for n in range(3)))
    answers = document.parts[0].sections[0]
    assert answers.blocks[:2] == (
        Notice("Nothing was measured: no trial of this run ended ok."),
        Notice("3 of 3 trials failed; they are counted below and in no average."),
    )
    assert pictures(document) == {}
    assert "n = 0 starts a cell" in document.parts[0].subtitle


def test_without_a_timing_no_claim_but_that_of_sizes_is_measured() -> None:
    document = report((make_sample(make_trial(cell=CELL), outcome=Outcome.NEVER_READY),))
    (counted,) = [block for block in document.parts[0].sections[0].blocks if isinstance(block, Paragraph)]
    assert counted.text == "Of 16 published claims 16 are not measured."


def test_one_sample_has_a_figure_each_and_no_interval() -> None:
    document = report((make_sample(make_trial(cell=CELL)),))
    assert "n = 1 starts a cell" in pictures(document)["samples"].caption
    assert "170 ms (" not in render_markdown(document)


def test_one_cell_is_compared_with_nothing() -> None:
    text = render_markdown(report(make_samples([CELL], 6)))
    assert "Fastest cell" not in text
    assert "One factor at a time" not in text
    assert ": 1 cell, n = 6 starts a cell." in text


def test_of_hundreds_of_cells_figures_draw_the_ends_and_say_so(hundreds: Document) -> None:
    said = "Only the fastest and the slowest cells are drawn (warm 48 of 130); the tables have all."
    for name in ("phases", "samples", "ecdf"):
        assert pictures(hundreds)[name].caption.endswith(said)
    assert not pictures(hundreds)["order"].caption.endswith(said)


def test_of_hundreds_of_cells_tables_have_all(hundreds: Document) -> None:
    assert render_html(hundreds).count("<bdi>v129 · runc</bdi>") >= 1
    assert render_html(hundreds).count("<bdi>v065 · runc</bdi>") >= 1


def test_of_hundreds_of_levels_the_answers_show_some_and_say_so(hundreds: Document) -> None:
    (table,) = [
        block
        for block in hundreds.parts[0].sections[0].blocks
        if isinstance(block, Table) and block.caption.startswith("One factor")
    ]
    assert (len(table.rows), table.caption.endswith("The first 48 of 129 are shown.")) == (48, True)


def test_waterfalls_that_are_left_out_are_counted(hundreds: Document) -> None:
    (note,) = [one.blocks[0] for one in hundreds.parts[0].sections if one.anchor == "waterfalls"]
    assert note == Paragraph(
        "One start of 1 of 130 cells, the one nearest its median: who did what, when, since the first request."
    )
    assert len(HUNDREDS) > MAX_WATERFALLS


@pytest.mark.parametrize("name", ["<b>x</b>", "映像", "صورة"])
def test_a_name_in_any_script_stands_in_every_table_as_it_is(name: str) -> None:
    document = report(make_samples([make_cell(variant=name, tier=Tier.WARM), CELL], 2))
    page = render_html(document)
    escaped = name.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<bdi>{escaped} · runc</bdi>" in page
    assert "<b>" not in page


def test_letters_the_figures_lack_are_explained_where_there_are_any() -> None:
    said = "� stands for letters that the figures' font lacks; the tables have them."
    assert pictures(report(make_samples([make_cell(variant="映像")], 1)))["phases"].caption.endswith(said)
    assert said not in pictures(report(make_samples([CELL], 1)))["phases"].caption
