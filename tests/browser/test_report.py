"""A report in a real browser: wide and narrow, light and dark, on paper."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldstart.model.cell import Tier
from coldstart.report.files import write_report
from coldstart.store.reader import StoredRun
from tests.browser import chromium
from tests.browser.chromium import Page
from tests.unit.factories import make_cell, make_experiment, make_image, make_manifest, make_samples

pytestmark = pytest.mark.browser

NAMES = ("alpine", "<img src=http://x.invalid/y onerror=alert(1)>", "映像", "صورة", "a-very-long-name-" * 6)
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
PAPER_WIDTH = 695  # A4 less its margins, in CSS pixels
OUTSIDE = """[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll, pre') && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with names that are hard to show."""
    cells = [make_cell(runtime=runtime, variant=name, tier=tier) for name in NAMES for runtime in ("runc", "crun")
             for tier in (Tier.ABSENT, Tier.WARM)]  # fmt: skip
    manifest = make_manifest(
        experiment=make_experiment(targets=("article",)), images=tuple(make_image(variant=name) for name in NAMES)
    )
    folder = tmp_path_factory.mktemp("report")
    run = StoredRun(path=folder / "results" / "run", manifest=manifest, samples=make_samples(cells, 6))
    return write_report([run], folder / "out").index.as_uri()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    executable = chromium.find()
    if executable is None:
        pytest.skip("there is no Chromium on this machine")
    profile: Path = tmp_path_factory.mktemp("profile")
    with chromium.browser(executable, profile) as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_nothing_is_wider_than_the_window(page: Page, url: str, width: int, scheme: str) -> None:
    page.open(url, width=width, scheme=scheme)
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_console_has_no_errors(page: Page, url: str, width: int, scheme: str) -> None:
    page.open(url, width=width, scheme=scheme)
    assert page.told("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") == []


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_nothing_is_requested_but_the_page(page: Page, url: str, width: int, scheme: str) -> None:
    page.open(url, width=width, scheme=scheme)
    asked = {event["request"]["url"] for event in page.told("Network.requestWillBeSent")}
    assert {one for one in asked if not one.startswith("data:")} == {url}


def test_every_picture_is_drawn_and_has_words(page: Page, url: str) -> None:
    page.open(url, width=1280)
    unsaid = "[...document.querySelectorAll('img, svg')].filter(e => !e.getAttribute('alt') || !e.naturalWidth).length"
    assert (page.evaluate("document.images.length > 5"), page.evaluate(unsaid)) == (True, 0)


def test_dark_is_dark_and_light_is_light(page: Page, url: str) -> None:
    found = []
    for scheme in ("light", "dark"):
        page.open(url, width=1280, scheme=scheme)
        found.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert found == ["rgb(255, 255, 255)", "rgb(22, 24, 28)"]


def test_paper_is_white_even_where_screens_are_dark(page: Page, url: str) -> None:
    page.open(url, width=PAPER_WIDTH, scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.images[0]).filter") == "none"


def test_tables_fit_a_sheet_of_paper(page: Page, url: str) -> None:
    page.open(url, width=PAPER_WIDTH, media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_WIDTH


def test_it_can_be_printed(page: Page, url: str) -> None:
    page.open(url, width=1280)
    printed = base64.b64decode(page.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") > 3
