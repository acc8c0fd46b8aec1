"""A report's page as PDF, for paper and archives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coldstart.errors import MissingExtraError, UsageError

_FACES = (
    ("Report", "normal", "normal", "DejaVuSans.ttf"),
    ("Report", "bold", "normal", "DejaVuSans-Bold.ttf"),
    ("Report Mono", "normal", "normal", "DejaVuSansMono.ttf"),
)


def load_printer() -> Callable[[str], bytes]:
    """What makes a PDF of a page: the same page, the same bytes, for one version of WeasyPrint and Pango.

    Letters are matplotlib's own DejaVu, whatever fonts the machine has; only what it lacks (CJK) comes from there.

    Raises:
        MissingExtraError: WeasyPrint is not installed.
        UsageError: a library it needs is not.
    """
    try:
        from weasyprint import CSS, HTML  # noqa: PLC0415  optional
        from weasyprint.text.fonts import FontConfiguration  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("a PDF", "pdf") from error
    except OSError as error:  # what cffi says of a library that is not there
        remedy = "apt-get install libpangoft2-1.0-0 libharfbuzz-subset0"
        raise UsageError(f"a PDF needs Pango, which cannot be loaded ({error}): {remedy}") from error

    def to_pdf(page: str) -> bytes:
        fonts = FontConfiguration()
        sheet = CSS(string=_letters(), font_config=fonts)
        pdf: bytes = HTML(string=page).write_pdf(stylesheets=[sheet], font_config=fonts, pdf_tags=True)
        return pdf

    return to_pdf


def _letters() -> str:
    import matplotlib as mpl  # noqa: PLC0415  300 ms

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    faces = [
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; '
        f'src: url("{(folder / name).as_uri()}"); }}'
        for family, weight, style, name in _FACES
    ]
    return "\n".join(
        (*faces, 'body { font-family: "Report", sans-serif; }', 'pre, code { font-family: "Report Mono"; }')
    )
