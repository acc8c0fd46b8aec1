"""One start as rows and as text."""

from __future__ import annotations

from coldstart.model.sample import Outcome, Phase, Source, Span
from coldstart.model.waterfall import bars, render
from tests.unit.factories import MS, T0_NS, layer_digest, make_image, make_sample, make_span


def test_rows_are_in_order_of_time_each_below_what_it_is_part_of() -> None:
    rows = bars(make_sample(), make_image())
    assert [row.name for row in rows if row.depth == 0] == ["pull", "create", "init", "readiness"]
    assert [row.name for row in rows[:3]] == ["pull", "resolve", "download layer 1"]


def test_rows_count_from_the_first_request() -> None:
    first, *_ = bars(make_sample(pull_ns=400 * MS), make_image())
    assert (first.start_ns, first.end_ns) == (0, 400 * MS)


def test_of_several_sources_the_best_is_shown() -> None:
    sample = make_sample(
        spans=(
            make_span(Phase.CREATE, T0_NS, T0_NS + 1 * MS, source=Source.CLIENT),
            make_span(Phase.INIT, T0_NS + 1 * MS, T0_NS + 9 * MS),
            make_span(Phase.INIT, T0_NS + 1 * MS, T0_NS + 8 * MS, source=Source.TRACE),
            make_span(Phase.NETWORK_HOOK, T0_NS + 2 * MS, T0_NS + 3 * MS, source=Source.TRACE),
            make_span(Phase.READINESS, T0_NS + 8 * MS, T0_NS + 9 * MS, source=Source.TRACE),
        )
    )
    rows = {row.name: row for row in bars(sample, make_image())}
    assert (rows["init"].end_ns, rows["init"].source) == (8 * MS, "trace")
    assert (rows["network hook"].depth, rows["create"].depth) == (2, 0)


def test_text_has_a_line_a_row_and_one_for_the_axis() -> None:
    rows = bars(make_sample(), make_image())
    lines = render(rows, width=100).splitlines()
    assert len(lines) == len(rows) + 1
    assert "570 ms" in lines[0]
    assert lines[1].startswith("pull")
    assert "400 ms" in lines[1]
    assert max(map(len, lines)) <= 110


def test_a_bar_begins_where_its_span_does() -> None:
    rows = bars(make_sample(), make_image())
    lines = dict(zip((row.name for row in rows), render(rows, width=100).splitlines()[1:], strict=True))
    assert lines["pull"].index("█") < lines["create"].index("█") < lines["readiness"].index("█")


def test_what_was_not_observed_is_said_so() -> None:
    assert bars(make_sample(outcome=Outcome.EXITED), make_image()) == ()
    assert render(()) == "nothing was observed"


def pull(*spans: Span) -> tuple[str, ...]:
    """What the rows of these layer spans are called, in a pull of an image whose layers are 0, 1 and 0 again."""
    first, second = make_image().layers
    whole = make_span(Phase.PULL, T0_NS, T0_NS + 100, source=Source.CLIENT)
    image = make_image(layers=(first, second, first))
    return tuple(row.name for row in bars(make_sample(spans=(whole, *spans)), image)[1:])


def test_layers_are_numbered_by_the_manifest_whichever_download_began_first() -> None:
    later, earlier = (
        make_span(Phase.DOWNLOAD, T0_NS + at, T0_NS + 50, layer=layer_digest(index)) for index, at in ((0, 9), (1, 5))
    )
    assert pull(earlier, later) == ("download layer 2", "download layer 1")


def test_a_layer_that_is_listed_twice_has_both_its_places() -> None:
    spans = [
        make_span(Phase.UNPACK, T0_NS + at, T0_NS + at + 5, layer=layer_digest(index))
        for index, at in ((0, 10), (1, 20), (0, 30))
    ]
    download = make_span(Phase.DOWNLOAD, T0_NS + 1, T0_NS + 5, layer=layer_digest(0))
    assert pull(download, *spans) == ("download layer 1", "unpack layer 1", "unpack layer 2", "unpack layer 3")


def test_a_layer_that_no_manifest_names_is_called_by_its_short_digest() -> None:
    unknown = make_span(Phase.DOWNLOAD, T0_NS, T0_NS + 5, layer=f"sha256:{'ab' * 32}")
    assert pull(unknown) == ("download layer abababababab",)
    assert bars(make_sample(), None)[2].name == "download layer 000000000000"
