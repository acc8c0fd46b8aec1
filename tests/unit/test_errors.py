"""Messages that say where, what and the remedy, and the exit codes they end with."""

from __future__ import annotations

import re

from coldstart import errors
from coldstart.errors import (
    ColdstartError,
    CorruptRunError,
    InputFileError,
    MissingExtraError,
    UnknownNameError,
    UsageError,
)
from coldstart.model.cell import Tier


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones() -> None:
    message = str(UnknownNameError("tier", "cashed", ["warm", "cached", "absent"]))
    assert message == "unknown tier 'cashed'; did you mean 'cached'? Known: absent, cached, warm."


def test_a_name_like_no_other_gets_no_guess() -> None:
    assert str(UnknownNameError("tier", "zzz", ["warm"])) == "unknown tier 'zzz'. Known: warm."


def test_an_unknown_name_where_none_is_known_says_so() -> None:
    assert str(UnknownNameError("experiment", "x", [])) == "unknown experiment 'x'. None is known here."


def test_an_unknown_name_says_where_it_was_written() -> None:
    assert str(UnknownNameError("tier", "x", [], where="a.toml: factors.tier")).startswith("a.toml: factors.tier: un")


def test_an_input_file_error_reads_where_what_remedy() -> None:
    assert str(InputFileError("a.toml:3", "is wrong.", "Do this.")) == "a.toml:3: is wrong. Do this."


def test_an_input_file_error_without_a_remedy_ends_with_what() -> None:
    assert str(InputFileError("a.toml:3", "is wrong.")) == "a.toml:3: is wrong."


def test_a_missing_extra_comes_with_its_pip_line() -> None:
    assert "pip install 'coldstart[report]'" in str(MissingExtraError("a report", "report"))


def _tree(root: type[ColdstartError]) -> set[type[ColdstartError]]:
    """The tree of this module: other rooms refine some errors for themselves, and may be imported or not."""
    ours = (child for child in root.__subclasses__() if child.__module__ == errors.__name__)
    return {root}.union(*(_tree(child) for child in ours))


def test_every_usage_error_ends_with_2() -> None:
    assert {error.exit_code for error in _tree(UsageError)} == {2}


def test_every_other_error_ends_with_4() -> None:
    assert {error.exit_code for error in _tree(ColdstartError) - _tree(UsageError)} == {4}


def test_a_corrupt_run_is_an_input_file_error() -> None:
    assert issubclass(CorruptRunError, InputFileError)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert set(re.findall(r"\b\w+Error\b", errors.__doc__ or "")) == {error.__name__ for error in _tree(ColdstartError)}


def test_names_that_are_enum_members_are_shown_as_written() -> None:
    assert "did you mean 'cached'?" in str(UnknownNameError("tier", "cashed", Tier))
