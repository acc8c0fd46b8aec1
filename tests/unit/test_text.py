"""Text of strangers: what would act on a terminal or hide in a page is shown, and everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.text import clean, printable

UNSAFE = {
    "escape": "\x1b",
    "bell": "\x07",
    "carriage return": "\r",
    "backspace": "\b",
    "NUL": "\0",
    "DEL": "\x7f",
    "C1's CSI": "\x9b",
    "C1's OSC": "\x9d",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "Arabic letter mark": "\u061c",
    "zero-width space": "\u200b",
    "byte-order mark": "\ufeff",
    "line separator": "\u2028",
    "a tag character": "\U000e0041",
    "a lone surrogate": "\udc9b",
    "a noncharacter": "\uffff",
}


@pytest.mark.parametrize("character", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_character_is_shown_by_its_number_in_a_terminal(character: str) -> None:
    shown = printable(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\u")
    assert shown.isprintable()


@pytest.mark.parametrize("character", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_character_is_replaced_on_a_page(character: str) -> None:
    assert clean(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize("text", ["plain", "a\tb\nc", "Größe 日本 🙂 §", "│ 20 │ ━━", "[link=https://x]y[/link]"])
def test_other_text_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_page_has_one_line() -> None:
    assert clean("a\nb\tc") == "a b c"


@given(st.text(max_size=60))
def test_json_means_the_same_after_it_was_made_printable(text: str) -> None:
    record = json.dumps([text], ensure_ascii=False)
    assert json.loads(printable(record)) == [text]


@given(st.text(max_size=60))
def test_nothing_that_was_made_printable_is_changed_again(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(st.text(alphabet=st.characters(), max_size=60))
def test_all_that_was_made_harmless_can_be_written_as_utf_8(text: str) -> None:
    for shown in (printable(text), clean(text)):
        assert shown.encode().decode() == shown
