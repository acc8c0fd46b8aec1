"""Markdown: what is written is what is read."""

from __future__ import annotations

import pytest

from coldstart.report.document import Code, Document, Mark, Paragraph, Part, Section, Table, Tone
from coldstart.report.markdown import escape, render_markdown


def rendered(*blocks: object) -> str:
    section = Section(anchor="a", title="T", blocks=blocks)  # type: ignore[arg-type]
    part = Part(name="p", title="Title", subtitle="sub", sections=(section,))
    return render_markdown(Document(title="Title", version="1", parts=(part,)))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("*b* _i_ `c`", r"\*b\* \_i\_ \`c\`"),
        ("[t](u)", r"\[t\](u)"),
        ("R&D", "R&amp;D"),
        ("line\nbreak", "line break"),
        ("\u202eevil", "�evil"),
        ("\x1b[31m", r"�\[31m"),
        ("a\\|b", r"a\\\|b"),
        ("http://x.y", "http:&#8203;//x.y"),
        ("映像 صورة", "映像 صورة"),
    ],
)
def test_special_characters_are_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_a_table_row_has_as_many_cells_as_its_header() -> None:
    table = Table(caption="c", header=("a", "b"), rows=(("x|y", Mark("met", Tone.GOOD)),), numeric=frozenset({1}))
    assert "| a | b |\n| --- | ---: |\n| x\\|y | **met** |" in rendered(table)


def test_a_muted_mark_is_not_bold() -> None:
    table = Table(caption="c", header=("a",), rows=((Mark("shown", Tone.MUTED),),))
    assert "| shown |" in rendered(table)


def test_code_with_a_fence_in_it_gets_a_longer_fence() -> None:
    assert "````sh\necho ```\n````" in rendered(Code("echo ```"))


def test_code_hides_nothing_from_who_copies_it() -> None:
    assert "```sh\necho �a�\nb�\n```" in rendered(Code("echo \u202ea\x1b\nb\r"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("- a", r"\- a"), ("+ a", r"\+ a"), ("1. a", r"1\. a"), ("2) a", r"2\) a"), ("---", r"\---"), ("    a", "a")],
)
def test_a_sentence_is_no_list_rule_or_code(text: str, shown: str) -> None:
    assert f"\n{shown}\n" in rendered(Paragraph(text))


@pytest.mark.parametrize("text", ["@someone", "me@example.org", "$x$", "https://evil.example", "www.evil.example"])
def test_nothing_becomes_a_mention_a_link_or_a_formula(text: str) -> None:
    assert text not in escape(text)
