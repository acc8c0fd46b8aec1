"""``coldstart report``: folder in, path of index.html out."""

from __future__ import annotations

import builtins
import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from coldstart.cli.report import command
from coldstart.errors import MissingExtraError, UnsafeFileError, UsageError
from coldstart.report.pdf import load_printer
from tests.unit.factories import RUN_ID, make_cell, make_manifest, make_samples


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / RUN_ID
    folder.mkdir(parents=True)
    folder.joinpath("run.json").write_bytes(msgspec.json.encode(make_manifest()))
    lines = [msgspec.json.encode(sample) + b"\n" for sample in make_samples([make_cell()], 2)]
    folder.joinpath("samples.jsonl").write_bytes(b"".join(lines))
    return folder.parent


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)


def test_the_path_of_the_page_goes_to_standard_output(results: Path, tmp_path: Path) -> None:
    done = invoke(RUN_ID, "--results", results, "-o", tmp_path / "out")
    assert done.stdout == f"{tmp_path / 'out' / 'index.html'}\n"
    assert (tmp_path / "out" / "index.html").is_file()


def test_by_default_a_report_lies_under_reports(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(results / RUN_ID).stdout == f"reports/{RUN_ID}/index.html\n"


def test_a_run_that_is_not_there_is_a_usage_error(results: Path) -> None:
    with pytest.raises(UsageError, match=RUN_ID):
        invoke("20261124", "--results", results)


def test_no_run_named_is_the_newest(results: Path, tmp_path: Path) -> None:
    done = invoke("--results", results, "-o", tmp_path / "out")
    assert done.stdout == f"{tmp_path / 'out' / 'index.html'}\n"


def test_no_run_at_all_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no runs under"):
        invoke("--results", tmp_path)


@pytest.mark.browser
def test_a_pdf_stands_beside_the_page_and_is_the_same_bytes_each_time(results: Path, tmp_path: Path) -> None:
    try:
        load_printer()
    except UsageError as error:
        pytest.skip(str(error))
    pdfs = []
    for folder in ("a", "b"):
        done = invoke(RUN_ID, "--results", results, "-o", tmp_path / folder, "--pdf")
        assert done.stdout.splitlines()[1:] == [str(tmp_path / folder / "report.pdf")]
        pdfs.append((tmp_path / folder / "report.pdf").read_bytes())
    assert pdfs[0].startswith(b"%PDF-")
    assert pdfs[0] == pdfs[1]


@pytest.mark.parametrize(
    ("error", "said"),
    [(ImportError(), r"pip install 'coldstart\[pdf\]'"), (OSError("libpango"), "libpango.*: apt-get install libpango")],
)
def test_without_what_a_pdf_needs_nothing_is_written_and_the_remedy_is_named(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    real = builtins.__import__

    def refusing(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "weasyprint":
            raise error
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(UsageError, match=said):
        invoke(RUN_ID, "--results", results, "-o", tmp_path / "out", "--pdf")
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_its_pip_line(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(MissingExtraError, match=r"pip install 'coldstart\[report\]'"):
        invoke(RUN_ID, "--results", results)


def test_a_report_is_not_written_into_a_default_folder_that_is_a_link(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / RUN_ID).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="is a link"):
        invoke(results / RUN_ID)
    assert list((tmp_path / "elsewhere").iterdir()) == []
