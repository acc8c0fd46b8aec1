"""Waterfalls in a report: the start nearest each cell's median, and no more of them than anyone reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coldstart.model.sample import Sample
from coldstart.report import figures
from coldstart.report.compose import compose
from coldstart.report.content import Content, analyse
from coldstart.report.figures import draw_waterfalls
from coldstart.store.frames import tidy
from coldstart.store.reader import StoredRun
from tests.unit.factories import MS, make_cell, make_manifest, make_sample, make_trial


def analysed(*samples: Sample) -> Content:
    run = StoredRun(path=Path("nowhere"), manifest=make_manifest(), samples=samples)
    return analyse(run.manifest, tidy(run), None, samples)


@pytest.fixture
def content() -> Content:
    cells = [make_cell(runtime=runtime) for runtime in ("runc", "crun")]
    return analysed(
        *(
            make_sample(make_trial(cell=cell, block=block), init_ns=init_ms * MS)
            for cell in cells
            for block, init_ms in enumerate((100, 150, 300))
        )
    )


def test_each_cell_has_the_start_nearest_its_median(content: Content) -> None:
    pictures = draw_waterfalls(content)
    assert [picture.name for picture in pictures] == ["waterfall-01", "waterfall-02"]
    assert {"in block 1:" in picture.caption for picture in pictures} == {True}


def test_the_same_starts_give_the_same_bytes(content: Content) -> None:
    assert draw_waterfalls(content) == draw_waterfalls(content)


def test_warm_up_starts_are_not_drawn() -> None:
    warmup = make_sample(make_trial(block=0, warmup=True), init_ns=100 * MS)
    kept = make_sample(make_trial(block=1), init_ns=100 * MS)
    (picture,) = draw_waterfalls(analysed(warmup, kept))
    assert "n = 1, in block 1:" in picture.caption


def test_no_more_are_drawn_than_anyone_reads(content: Content, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MAX_WATERFALLS", 1)
    assert len(draw_waterfalls(content)) == 1


def test_a_run_whose_samples_are_not_at_hand_has_none(content: Content) -> None:
    assert draw_waterfalls(msgspec.structs.replace(content, samples=())) == ()


def test_they_stand_in_a_section_of_their_own(content: Content) -> None:
    document = compose([content], draw=lambda _: ())
    (section,) = [section for section in document.parts[0].sections if section.anchor == "waterfalls"]
    assert len(section.blocks) == 3
