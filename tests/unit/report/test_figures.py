"""Figures: all of them, the same bytes each time, whatever the names."""

from __future__ import annotations

from typing import Any

import pytest

from coldstart.model.cell import Tier
from coldstart.model.timeline import PULL_PARTS
from coldstart.report.content import Content, analyse
from coldstart.report.document import Picture
from coldstart.report.figures import draw_all
from coldstart.report.style import plain
from tests.unit import tidy
from tests.unit.factories import make_cell
from tests.unit.report.synthetic import article_frame, article_manifest

STAMP: dict[str, Any] = {"started_at": "2026-11-24T05:15:30Z"}


def test_an_article_run_has_all_five_figures(pictures: tuple[Picture, ...]) -> None:
    assert [picture.name for picture in pictures] == ["phases", "samples", "ecdf", "bytes", "order"]


def test_figures_are_the_same_bytes_each_time(content: Content, pictures: tuple[Picture, ...]) -> None:
    assert [draw_all(content) == pictures for _ in range(2)] == [True, True]


def test_figures_carry_no_date_and_no_version(pictures: tuple[Picture, ...]) -> None:
    text = b"".join(picture.svg + picture.png for picture in pictures)
    assert [word for word in (b"dc:date", b"Matplotlib", b"Software") if word in text] == []


def test_letters_of_an_svg_are_paths_and_need_no_font(pictures: tuple[Picture, ...]) -> None:
    assert b"<text" not in pictures[0].svg


def test_captions_say_n_tiers_and_source(pictures: tuple[Picture, ...]) -> None:
    captions = {picture.caption.partition("n = ")[2] for picture in pictures}
    assert captions == {"19 to 20 starts a cell; tiers absent, cached, warm; source engine."}


def test_users_matplotlib_settings_do_not_change_a_figure(
    content: Content, pictures: tuple[Picture, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl  # noqa: PLC0415  its settings are what is tested

    monkeypatch.setitem(mpl.rcParams, "font.size", 30)
    assert draw_all(content) == pictures


def test_nothing_timed_gives_no_figures() -> None:
    frame = tidy.frame([tidy.failed(**STAMP)])
    assert draw_all(analyse(article_manifest(), frame)) == ()


def test_one_start_can_be_drawn() -> None:
    frame = tidy.frame([tidy.row(make_cell(tier=Tier.WARM), **STAMP)])
    assert [picture.name for picture in draw_all(analyse(article_manifest(), frame))] == [
        "phases",
        "samples",
        "ecdf",
        "order",
    ]


def test_a_pull_whose_parts_nobody_saw_is_drawn_whole() -> None:
    parts: dict[str, Any] = dict.fromkeys(PULL_PARTS)
    row = tidy.row(make_cell(), pull_ns=50_000_000, init_ns=10_000_000, **parts, **STAMP)
    assert draw_all(analyse(article_manifest(), tidy.frame([row])))


def test_a_hundred_cells_can_be_drawn() -> None:
    cells = tuple(make_cell(variant=f"v{index:03}", tier=Tier.WARM) for index in range(100))
    pictures = draw_all(analyse(article_manifest(), article_frame(1, cells)))
    assert len(pictures) == 4


@pytest.mark.parametrize("name", ["<script>", "a|b", "$x^2$", "映像", "صورة", "\x00\n", "x" * 500])
def test_any_name_can_be_drawn(name: str) -> None:
    frame = tidy.frame([tidy.row(make_cell(variant=name, tier=Tier.WARM), **STAMP)])
    assert draw_all(analyse(article_manifest(), frame))


def test_a_letter_the_font_lacks_is_replaced_visibly() -> None:
    assert plain("a映b") == "a�b"


def test_a_long_name_is_cut_but_keeps_its_end() -> None:
    assert plain("x" * 500 + " · runc") == "x" * 23 + "…" + "x" * 17 + " · runc"
