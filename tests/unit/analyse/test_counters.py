"""Hard limits: what is the same in every start, judged exactly."""

from __future__ import annotations

import msgspec
import pytest

from coldstart.analyse.counters import COUNTERS, CounterCheck, Limit, check_counters
from coldstart.errors import UsageError
from coldstart.model.image import Image
from tests.unit.factories import make_image

BEFORE = make_image()  # 3 000 000 bytes pulled, 7 000 000 unpacked, 42 files, 2 layers
LAYER = BEFORE.layers[0]


def check(limit: Limit, before: Image = BEFORE, after: Image = BEFORE) -> CounterCheck:
    (found,) = check_counters({"app": (before, after)}, (limit,))
    return found


@pytest.mark.parametrize(
    ("counter", "text", "baseline", "bound"),
    [
        ("pull-bytes", "+5%", 1000, 1050),
        ("pull-bytes", "+0.1%", 999, 999),
        ("pull-bytes", " + 5 % ", 1000, None),
        ("pull-bytes", "+5 %", 3_000_000_000_000_000_001, 3_150_000_000_000_000_001),
        ("pull-bytes", "+1k", 1000, 2024),
        ("pull-bytes", "50m", 1, 50 * 1024**2),
        ("files", "+3", 42, 45),
        ("files", "50", 42, 50),
        ("layers", "+10%", 19, 20),
        ("layers", "0", 5, 0),
        ("files", " +3 ", 42, 45),
        ("files", " 50 ", 42, 50),
        ("files", " +50% ", 42, 63),
        ("pull-bytes", "+100.5%", 200, 401),
        ("pull-bytes", "+0.25%", 1000, 1002),
    ],
)
def test_a_limit_is_a_share_an_amount_or_a_whole(counter: str, text: str, baseline: int, bound: int | None) -> None:
    limit = Limit(counter=counter, text=text)
    if bound is None:
        with pytest.raises(UsageError):
            limit.bound(baseline)
    else:
        assert limit.bound(baseline) == bound


@pytest.mark.parametrize(
    ("counter", "text"), [("files", "-1"), ("files", "5m"), ("layers", "+x"), ("pull-bytes", "5x"), ("files", "")]
)
def test_what_is_no_limit_is_refused_with_the_option_and_examples(counter: str, text: str) -> None:
    with pytest.raises(UsageError, match=rf"--max-{counter} .*\+5%, \+3, \+1m"):
        Limit(counter=counter, text=text).bound(1)


@pytest.mark.parametrize(
    ("counter", "what", "value"),
    [
        ("pull-bytes", "bytes pulled", 3_000_000),
        ("unpacked-bytes", "bytes unpacked", 7_000_000),
        ("files", "files", 42),
        ("layers", "layers", 2),
    ],
)
def test_each_counter_is_read_off_the_image(counter: str, what: str, value: int) -> None:
    found = check(Limit(counter=counter, text="+0"))
    assert (found.baseline, found.candidate, found.bound, found.passed) == (value, value, value, True)
    assert (found.image, found.counter, found.what, found.limit) == ("app", counter, what, "+0")


def test_every_counter_can_be_limited() -> None:
    limits = tuple(Limit(counter=counter, text="+0") for counter in COUNTERS)
    assert all(found.passed for found in check_counters({"app": (BEFORE, BEFORE)}, limits))


def test_one_more_than_the_limit_is_over_it() -> None:
    after = msgspec.structs.replace(BEFORE, layers=(*BEFORE.layers, LAYER))
    assert check(Limit(counter="layers", text="+1"), after=after).passed is True
    assert check(Limit(counter="layers", text="+0"), after=after).passed is False
    assert check(Limit(counter="layers", text="2"), after=after).passed is False


def test_a_check_has_what_each_side_has_and_what_was_allowed() -> None:
    after = msgspec.structs.replace(BEFORE, layers=(*BEFORE.layers, LAYER))
    found = check(Limit(counter="layers", text="+50%"), after=after)
    assert (found.baseline, found.candidate, found.bound) == (2, 3, 3)


def test_what_an_image_does_not_tell_is_never_within_a_limit() -> None:
    blind = msgspec.structs.replace(BEFORE, digest=None, layers=())
    for counter in ("pull-bytes", "files", "layers", "unpacked-bytes"):
        assert check(Limit(counter=counter, text="+5%"), after=blind).passed is None


@pytest.mark.parametrize("text", ["+5%", " +5%", "+3"])
def test_more_than_what_a_baseline_does_not_tell_is_no_limit(text: str) -> None:
    blind = msgspec.structs.replace(BEFORE, digest=None, layers=())
    for counter in ("pull-bytes", "files", "layers", "unpacked-bytes"):
        found = check(Limit(counter=counter, text=text), before=blind)
        assert (found.bound, found.passed) == (None, None)


def test_a_limit_that_is_none_is_refused_for_an_image_that_does_not_tell_either() -> None:
    blind = msgspec.structs.replace(BEFORE, layers=())
    with pytest.raises(UsageError, match="--max-layers"):
        check(Limit(counter="layers", text="five"), after=blind)


def test_an_absolute_limit_needs_no_baseline() -> None:
    blind = msgspec.structs.replace(BEFORE, layers=())
    found = check(Limit(counter="layers", text="2"), before=blind)
    assert (found.baseline, found.passed) == (None, True)


def test_every_limit_is_checked_for_every_pair_of_images() -> None:
    limits = (Limit(counter="files", text="+0"), Limit(counter="layers", text="+0"))
    found = check_counters({"a": (BEFORE, BEFORE), "b": (BEFORE, BEFORE)}, limits)
    assert [(one.image, one.counter) for one in found] == [
        ("a", "files"),
        ("a", "layers"),
        ("b", "files"),
        ("b", "layers"),
    ]


def test_values_are_shown_with_their_unit() -> None:
    assert check(Limit(counter="pull-bytes", text="+0")).text(3_000_000) == "3.00 MB"
    assert check(Limit(counter="unpacked-bytes", text="+0")).text(None) == "—"
    assert check(Limit(counter="files", text="+0")).text(42) == "42"
    assert check(Limit(counter="files", text="+0")).text(None) == "—"
