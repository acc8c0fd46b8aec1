"""What processes took, by runtime and part."""

from __future__ import annotations

from coldstart.analyse.resources import part_uses
from tests.unit import tidy
from tests.unit.factories import MS, make_cell

COLUMNS = ("runtime", "shim", "network_hook", "untar", "engine")


def rows(runtime: str, peaks: list[int | None]) -> list[dict[str, object]]:
    empty: dict[str, int | None] = {}
    for part in COLUMNS:
        empty |= {f"{part}_{'pss_bytes' if part == 'engine' else 'peak_rss_bytes'}": None, f"{part}_cpu_ns": None}
    return [
        tidy.row(make_cell(runtime=runtime), block, 100 * MS, **{**empty, "runtime_peak_rss_bytes": peak})
        for block, peak in enumerate(peaks)
    ]


def test_the_median_of_each_runtimes_part_is_over_the_starts_that_observed_it() -> None:
    frame = tidy.frame([*rows("runc", [10, 30, 20, None]), *rows("crun", [4, 4])])
    found = {(use.runtime, use.part): (use.memory.value, use.memory.n, use.cpu) for use in part_uses(frame)}
    assert found == {("crun", "runtime"): (4.0, 2, None), ("runc", "runtime"): (20.0, 3, None)}


def test_of_the_engine_the_proportional_share_is_told() -> None:
    one = rows("runc", [None])
    one[0] |= {"engine_pss_bytes": 90, "engine_cpu_ns": 7}
    (use,) = part_uses(tidy.frame(one))
    assert (use.part, use.memory.value, use.cpu and use.cpu.value) == ("engine", 90.0, 7.0)


def test_a_run_that_observed_no_process_has_none() -> None:
    assert part_uses(tidy.frame([tidy.row()])) == ()
