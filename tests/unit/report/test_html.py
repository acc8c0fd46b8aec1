"""HTML: one file that stands alone, escaped, with words for every picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from coldstart.report.document import Document, Facts, Mark, Paragraph, Part, Section, Table, Tone
from coldstart.report.html import render_html

VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Collects tags and attributes, and fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def html(document: Document) -> str:
    return render_html(document)


@pytest.fixture(scope="module")
def page(html: str) -> Reader:
    return Reader(html)


def test_tags_nest_and_are_all_closed(page: Reader) -> None:
    assert page.open == []


def test_every_image_has_words_and_its_own_data(page: Reader) -> None:
    images = page.all("img")
    assert len(images) == 5
    assert all(image["alt"] and (image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)


def test_nothing_is_fetched_from_anywhere(html: str, page: Reader) -> None:
    references = [value for _, attrs in page.found for name, value in attrs.items() if name in {"src", "href"}]
    assert [one for one in references if not (one or "").startswith(("data:", "#"))] == []
    assert re.findall(r"https?://|@import|url\(", html) == []


def test_there_is_no_script(page: Reader) -> None:
    assert page.all("script") == []
    assert [name for _, attrs in page.found for name in attrs if name.startswith("on")] == []


def test_it_fits_a_phone_and_knows_dark(html: str) -> None:
    assert 'name="viewport" content="width=device-width' in html
    assert "prefers-color-scheme: dark" in html


def test_links_within_lead_to_sections(page: Reader) -> None:
    ids = {attrs["id"] for _, attrs in page.found if "id" in attrs}
    assert {(attrs["href"] or "")[1:] for attrs in page.all("a")} <= ids


def test_ids_are_unique(page: Reader) -> None:
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", '"><b>', "a & b", "映像 صورة", "\u202eevil"])
def test_names_are_escaped_wherever_they_stand(nasty: str) -> None:
    table = Table(caption=nasty, header=(nasty,), rows=((nasty,), (Mark(nasty, Tone.BAD),)))
    blocks = (table, Paragraph(nasty), Facts(((nasty, nasty),)))
    part = Part(name="p", title=nasty, subtitle=nasty, sections=(Section(anchor="a", title=nasty, blocks=blocks),))
    page = Reader(render_html(Document(title=nasty, version="1", parts=(part,))))
    assert (page.open, page.all("script"), page.all("b")) == ([], [], [])


def test_a_character_that_turns_text_around_is_replaced() -> None:
    part = Part(name="p", title="t", subtitle="\u202eevil", sections=())
    assert "\u202e" not in render_html(Document(title="t", version="1", parts=(part,)))


def test_no_script_could_run_even_if_one_got_in(page: Reader) -> None:
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["img-src"], rules["form-action"]) == ("'none'", "data:", "'none'")
    assert "script-src" not in rules
