"""One start as a waterfall: its spans as rows, each below what it is a part of, and as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from coldstart.model.image import Image
from coldstart.model.sample import Phase, Sample, Span
from coldstart.model.timeline import best_spans
from coldstart.units import format_ns

_NAMES = {
    Phase.PULL: "pull",
    Phase.RESOLVE: "resolve",
    Phase.DOWNLOAD: "download",
    Phase.UNPACK: "unpack",
    Phase.REGISTER: "register",
    Phase.CREATE: "create",
    Phase.INIT: "init",
    Phase.INIT_ENGINE: "engine",
    Phase.INIT_SHIM: "shim",
    Phase.RUNTIME_CREATE: "runtime create",
    Phase.NETWORK_HOOK: "network hook",
    Phase.RUNTIME_START: "runtime start",
    Phase.READINESS: "readiness",
    Phase.APP_START: "exec to listening",
    Phase.RESPOND: "listening to answer",
}
_SHORT = 12  # digits of a digest, as engines write it
_TOP = {Phase.PULL, Phase.CREATE, Phase.INIT, Phase.READINESS}
PARENT = {
    Phase.RESOLVE: Phase.PULL,
    Phase.DOWNLOAD: Phase.PULL,
    Phase.UNPACK: Phase.PULL,
    Phase.REGISTER: Phase.PULL,
    Phase.INIT_ENGINE: Phase.INIT,
    Phase.INIT_SHIM: Phase.INIT,
    Phase.RUNTIME_CREATE: Phase.INIT,
    Phase.NETWORK_HOOK: Phase.INIT,
    Phase.RUNTIME_START: Phase.INIT,
    Phase.APP_START: Phase.READINESS,
    Phase.RESPOND: Phase.READINESS,
}


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A row: when its span began and ended since the first request, in ns, and how deep it lies in the start."""

    name: str
    phase: Phase
    start_ns: int
    end_ns: int
    depth: int
    source: str


def bars(sample: Sample, image: Image | None) -> tuple[Bar, ...]:
    """The spans of the sample's best sources, in order of time, each below what it is a part of.

    A layer's number is its place in the manifest of ``image``, the base's being 1; of one that is listed twice each
    span has its own. A layer that the manifest does not name is called by its short digest.
    """
    spans = best_spans(sample.spans)
    if not spans:
        return ()
    origin_ns = min(span.start_ns for span in spans)
    names = _layer_names(spans, image)
    tops = sorted((span for span in spans if span.phase in _TOP), key=lambda span: span.start_ns)
    rows: list[Bar] = []
    for top in tops:
        inside = [span for span in spans if PARENT.get(span.phase) is top.phase and span.container == top.container]
        ordered = [top, *sorted(inside, key=lambda span: (span.start_ns, -span.end_ns))]
        rows += [_bar(span, origin_ns, names.get(id(span))) for span in ordered]
    return tuple(rows)


def render(rows: Sequence[Bar], width: int = 100) -> str:
    """The waterfall as plain text, ``width`` columns wide."""
    if not rows:
        return "nothing was observed"
    end_ns = max(row.end_ns for row in rows)
    names = [f"{'  ' * row.depth}{row.name}" for row in rows]
    name_width = max(map(len, names))
    bar_width = max(20, width - name_width - 24)
    lines = [f"{'':<{name_width}}  {'0':<{bar_width - 8}}{format_ns(end_ns):>8}      took"]
    for name, row in zip(names, rows, strict=True):
        begin = round(row.start_ns / end_ns * bar_width)
        length = max(1, round((row.end_ns - row.start_ns) / end_ns * bar_width))
        drawn = (" " * min(begin, bar_width - 1) + ("█" if row.depth == 0 else "▒") * length)[:bar_width]
        took = format_ns(row.end_ns - row.start_ns)
        lines.append(f"{name:<{name_width}}  {drawn:<{bar_width}} {took:>9}  {row.source}")
    return "\n".join(lines)


def _layer_names(spans: Sequence[Span], image: Image | None) -> dict[int, str]:
    """What each span's layer is called, by the span's identity. The spans of one layer and phase come in its order."""
    places: dict[str, list[int]] = {}
    for number, layer in enumerate(image.layers if image is not None else (), start=1):
        if layer.digest is not None:
            places.setdefault(layer.digest, []).append(number)
    seen: Counter[tuple[Phase, str]] = Counter()
    found = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        if span.layer is None:
            continue
        of_layer = places.get(span.layer)
        nth = seen[span.phase, span.layer]
        seen[span.phase, span.layer] += 1
        short = span.layer.removeprefix("sha256:")[:_SHORT]
        found[id(span)] = str(of_layer[min(nth, len(of_layer) - 1)]) if of_layer else short
    return found


def _bar(span: Span, origin_ns: int, layer: str | None) -> Bar:
    name = _NAMES[span.phase]
    if layer is not None:
        name = f"{name} layer {layer}"
    depth = 0 if span.phase in _TOP else 2 if span.phase is Phase.NETWORK_HOOK else 1
    return Bar(
        name=name,
        phase=span.phase,
        start_ns=span.start_ns - origin_ns,
        end_ns=span.end_ns - origin_ns,
        depth=depth,
        source=str(span.source),
    )
