"""One article-like run, analysed and rendered once for all tests that only read it."""

from __future__ import annotations

import pytest

from coldstart.report.compose import compose
from coldstart.report.content import Content, analyse
from coldstart.report.document import Document, Picture
from coldstart.report.figures import draw_all
from tests.unit.report.synthetic import article_frame, article_manifest


@pytest.fixture(scope="session")
def content() -> Content:
    return analyse(article_manifest(), article_frame())


@pytest.fixture(scope="session")
def pictures(content: Content) -> tuple[Picture, ...]:
    return draw_all(content)


@pytest.fixture(scope="session")
def document(content: Content, pictures: tuple[Picture, ...]) -> Document:
    return compose([content], draw=lambda _: pictures)
