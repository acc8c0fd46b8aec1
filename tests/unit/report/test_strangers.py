"""A report of a stranger's run: no text of it runs, fetches, links or hides, in any format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from coldstart.model.cell import Tier
from coldstart.model.sample import Outcome
from coldstart.report.document import Code
from coldstart.report.files import write_report
from coldstart.report.junit import _case
from coldstart.report.method import reproduce_section
from coldstart.store.reader import StoredRun
from tests.unit.factories import (
    make_cell,
    make_experiment,
    make_host,
    make_image,
    make_manifest,
    make_sample,
    make_trial,
)
from tests.unit.report.test_html import Reader

EVIL = (
    "</script></style><script>alert(1)</script><img src=x onerror=alert(1)><a href=javascript:alert(1)>x</a>"
    "\"'> {{7*7}} [x](javascript:alert(1)) ![x](https://evil.example/x.png) | ``` `x` $x$ @someone \u202e\x1b[31m"
)


def evil(record: Any) -> Any:
    """The record with every free text replaced; numbers, digests and enumerations stay."""
    kept = {"tier", "network", "outcome", "phase", "source", "layer", "digest", "diff_id", "image_id", "schema_version"}
    kept |= {"run_id", "engine", "runtime", "workload", "variant", "started_at", "targets", "where", "cgroup", "kind"}
    if isinstance(record, dict):
        return {key: value if key in kept else evil(value) for key, value in record.items()}
    if isinstance(record, list):
        return [evil(one) for one in record]
    return EVIL if isinstance(record, str) else record


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report's folder."""
    cell = make_cell(runtime=EVIL, workload=EVIL, variant=EVIL, tier=Tier.WARM)
    manifest = make_manifest(
        experiment=make_experiment(runtime=(EVIL,), workload=(EVIL,), variant=(EVIL,), tier=(Tier.WARM,)),
        images=(make_image(EVIL, EVIL),),
        host=make_host(),
        notes=("note",),
    )
    strange = msgspec.convert(evil(msgspec.to_builtins(manifest)), type(manifest))
    samples = tuple(make_sample(make_trial(cell=cell, block=block)) for block in range(6))
    failed = make_sample(make_trial(cell=cell, block=6), outcome=Outcome.EXITED, reason=EVIL, output_tail=EVIL)
    folder = tmp_path_factory.mktemp("strange")
    write_report([StoredRun(path=Path("r"), manifest=strange, samples=(*samples, failed))], folder)
    return folder


def test_the_page_has_no_tag_and_no_attribute_of_the_strangers(written: Path) -> None:
    page = Reader((written / "index.html").read_text())
    assert page.open == []
    assert page.all("script") == []
    assert [image for image in page.all("img") if image.get("src") == "x"] == []
    assert [name for _, attrs in page.found for name in attrs if name.startswith("on")] == []
    targets = [value or "" for _, attrs in page.found for name, value in attrs.items() if name in {"src", "href"}]
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []


def test_no_text_is_a_template(written: Path) -> None:
    assert "{{7*7}}" in (written / "index.html").read_text()


@pytest.mark.parametrize("name", ["index.html", "report.md"])
def test_no_format_has_a_character_that_hides(name: str, written: Path) -> None:
    assert not {"\u202e", "\x1b"} & set((written / name).read_text())


def test_markdown_has_no_tag_no_link_and_no_image_of_the_strangers(written: Path) -> None:
    text = re.sub(r"^(`{3,})sh\n.*?\n\1$", "", (written / "report.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    assert "<" not in text
    assert "](javascript:" not in text.replace(r"\](", "")
    assert re.findall(r"(?<!\\)\]\((?!figures/)", text) == []


def test_figures_are_pictures_and_nothing_else(written: Path) -> None:
    for figure in (written / "figures").glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ET.parse(figure).iter()}  # noqa: S314  our own file
        assert not tags & {"script", "foreignObject", "a", "image"}, figure
        assert "onerror" not in figure.read_text().replace("&lt;img src=x onerror", "")


def test_the_command_to_copy_starts_coldstart() -> None:
    section = reproduce_section(make_manifest(argv=("rm", "-rf", "$(reboot)", "--", "; reboot")))
    (code,) = [block for block in section.blocks if isinstance(block, Code)]
    assert code.text.startswith("coldstart -rf '$(reboot)' --seed 42 -- '; reboot'\ncoldstart report ")


@pytest.mark.parametrize("text", [EVIL, "\x00\x0b\ufffe\uffff\ud800", "]]>"])
def test_junit_is_xml_whatever_it_quotes(text: str) -> None:
    case = _case(text, text, "failure")
    assert ET.fromstring(ET.tostring(case, encoding="utf-8")).get("classname") == "coldstart.gate"  # noqa: S314
