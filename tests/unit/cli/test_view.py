"""What a run shows while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from coldstart.cli import _view
from coldstart.cli._view import LiveView, PlainView, Tally, describe, format_left
from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome, Sample
from coldstart.units import NS_PER_S
from tests.unit.factories import MS, make_cell, make_sample, make_trial


class Clock:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.now_ns = 5 * NS_PER_S

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The views' clock."""
    clock = Clock()
    monkeypatch.setattr(_view, "time", SimpleNamespace(monotonic_ns=clock.monotonic_ns))
    return clock


def spoilt(outcome: Outcome) -> Sample:
    return make_sample(outcome=outcome)


# --- counting ---


def test_before_the_first_sample_nobody_knows_how_long_it_takes() -> None:
    assert Tally(4, 0).left_ns is None


def test_what_is_left_takes_the_mean_of_what_was(clock: Clock) -> None:
    tally = Tally(5, 0)
    for elapsed_ns in (1, 3):
        clock.now_ns += elapsed_ns
        tally.note(make_sample())
    assert tally.left_ns == 6


def test_the_pace_is_that_of_this_part_of_the_run(clock: Clock) -> None:
    tally = Tally(100, 97)
    clock.now_ns += 7
    tally.note(make_sample())
    assert tally.left_ns == 14


def test_of_a_finished_run_nothing_is_left(clock: Clock) -> None:
    tally = Tally(1, 0)
    clock.now_ns += 7
    tally.note(make_sample())
    assert tally.left_ns == 0


def test_a_trial_that_comes_again_is_no_progress() -> None:
    tally = Tally(2, 0)
    tally.note(spoilt(Outcome.NOT_QUIET))
    assert (tally.done, tally.left_ns) == (0, None)


def test_a_trial_that_failed_is_done() -> None:
    tally = Tally(2, 0)
    tally.note(spoilt(Outcome.EXITED))
    assert tally.done == 1


def test_where_all_went_well_nothing_is_said() -> None:
    tally = Tally(2, 0)
    tally.note(make_sample())
    assert tally.spoilt == ""


def test_what_did_not_go_well_is_counted_by_its_kind() -> None:
    tally = Tally(9, 0)
    for outcome in (Outcome.EXITED, Outcome.NOT_QUIET, Outcome.NOT_COLD, Outcome.NOT_COLD, Outcome.NEVER_READY):
        tally.note(spoilt(outcome))
    assert tally.spoilt == "2 failed, 2 not cold, 1 not quiet"


# --- words ---


@pytest.mark.parametrize(
    ("left_s", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_time_left_is_told_as_coarsely_as_anyone_waits(left_s: int, text: str) -> None:
    assert format_left(left_s * NS_PER_S + 999) == text


def test_a_pull_is_part_of_a_samples_description() -> None:
    sample = make_sample(pull_ns=400 * MS, create_ns=9 * MS, gap_ns=1 * MS, init_ns=150 * MS, readiness_ns=10 * MS)
    assert describe(sample) == "570 ms (pull 400 ms, init 150 ms, ready 10.0 ms)"


def test_where_nothing_is_pulled_no_pull_is_described() -> None:
    sample = make_sample(make_trial(cell=make_cell(tier=Tier.WARM)))
    assert describe(sample) == "170 ms (init 150 ms, ready 10.0 ms)"


def test_what_failed_is_described_by_its_reason() -> None:
    assert describe(make_sample(outcome=Outcome.NEVER_READY, reason="no answer")) == "never ready: no answer"


# --- lines ---


def test_a_sample_is_a_line_on_stderr_with_how_far_the_run_is(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.begin(12, 3)
    clock.now_ns += 2 * NS_PER_S
    view.ended(make_sample(make_trial(block=7)))
    line = (
        "[ 4/12] block 7  docker/runc/hello/alpine/absent/bridge  "
        "570 ms (pull 400 ms, init 150 ms, ready 10.0 ms)  [16 s left]\n"
    )
    assert capsys.readouterr() == ("", line)


def test_the_last_line_has_no_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.begin(1, 0)
    clock.now_ns += NS_PER_S
    view.ended(make_sample())
    assert "left" not in capsys.readouterr().err


def test_a_trial_that_begins_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.begin(1, 0)
    view.announce(make_trial())
    view.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("capsys")
def test_where_stderr_is_no_terminal_there_are_lines() -> None:
    assert isinstance(_view.open_view(), PlainView)


def test_on_a_terminal_there_is_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(_view.open_view(), LiveView)


# --- the live line ---


@pytest.fixture
def live(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],  # noqa: ARG001  what it draws is captured from its first line on
) -> Iterator[LiveView]:
    """A live view of a run of two trials."""
    monkeypatch.setenv("COLUMNS", "200")
    view = LiveView()
    view.begin(2, 0)
    yield view
    view.close()


def test_the_live_line_ends_with_cell_and_counts(live: LiveView, capsys: pytest.CaptureFixture[str]) -> None:
    live.announce(make_trial(block=1, warmup=True))
    live.ended(make_sample())
    live.close()
    assert "last 570 ms block 1 (warm-up): runc hello/alpine absent" in capsys.readouterr().err


def test_on_a_narrow_terminal_progress_and_trouble_stay_and_the_cell_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    narrow = LiveView()
    narrow.begin(1000, 0)
    narrow.announce(make_trial(block=1))
    narrow.ended(make_sample(outcome=Outcome.EXITED))
    narrow.close()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.lstrip().startswith("1/1000")
    assert "left" in last
    assert "1 failed" in last


def test_a_failure_leaves_a_line_above_the_live_one(live: LiveView, capsys: pytest.CaptureFixture[str]) -> None:
    live.ended(make_sample(outcome=Outcome.EXITED, reason="code [3]"))
    live.close()
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "docker/runc/hello/alpine/absent/bridge: exited: code [3]"


def test_the_live_line_counts_what_did_not_go_well(live: LiveView, capsys: pytest.CaptureFixture[str]) -> None:
    live.ended(make_sample(outcome=Outcome.EXITED))
    live.close()
    assert "1/2" in (last := capsys.readouterr().err.splitlines()[-1])
    assert last.rstrip().endswith("1 failed")


def test_a_message_is_shown_as_it_is(live: LiveView, capsys: pytest.CaptureFixture[str]) -> None:
    live.say("[bold]/tmp/x[/bold]")
    live.close()
    assert capsys.readouterr().err.startswith("[bold]/tmp/x[/bold]\n")


def test_before_measuring_begins_there_is_nothing_live(capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView()
    view.announce(make_trial())
    view.close()
    assert capsys.readouterr() == ("", "")


def test_closing_twice_is_harmless(live: LiveView) -> None:
    live.close()
    live.close()


def test_a_trial_spoilt_for_the_last_time_is_done() -> None:
    tally = Tally(2, 0)
    tally.note(make_sample(make_trial(attempt=2), outcome=Outcome.NOT_QUIET))
    assert tally.done == 1


@pytest.mark.parametrize("kind", [PlainView, LiveView])
def test_what_the_engine_warns_of_is_shown_once(
    kind: type[PlainView | LiveView], capsys: pytest.CaptureFixture[str]
) -> None:
    view = kind()
    for _ in range(2):
        view.ended(make_sample(warnings=("Limitation discarded.",)))
    assert capsys.readouterr().err.count("the engine warns: Limitation discarded.") == 1
