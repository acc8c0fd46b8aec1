"""A report as one HTML file that needs nothing else: style and figures inside, no script, no request."""

from __future__ import annotations

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined

from coldstart.report.document import Document, Mark, Picture, TableCell
from coldstart.text import clean, clean_lines

_LONGEST_WORD = 24


def render_html(document: Document) -> str:
    """The whole report; every text is escaped by the template engine."""
    environment = Environment(
        loader=PackageLoader("coldstart.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["clean"] = clean
    environment.filters["clean_lines"] = clean_lines
    environment.filters["data_uri"] = _data_uri
    environment.tests["mark"] = lambda cell: isinstance(cell, Mark)
    environment.tests["long"] = _is_long
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("report.html.j2").render(document=document)


def _is_long(cell: TableCell) -> bool:
    """Whether it has a word, such as a digest, that no column has room for."""
    return isinstance(cell, str) and any(len(word) > _LONGEST_WORD for word in cell.split())


def _data_uri(picture: Picture) -> str:
    # An image rather than inline SVG: its identifiers cannot meet those of another figure.
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg).decode("ascii")
