"""From stored runs to files: the same bytes each time, from wherever the folder lies."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from coldstart.errors import StorageError, UnknownNameError, UnsafeFileError
from coldstart.report.files import write_report
from coldstart.store.reader import StoredRun
from tests.unit.factories import make_cell, make_experiment, make_manifest, make_samples


def stored(path: str = "results/r", **fields: object) -> StoredRun:
    manifest = make_manifest(**fields)
    return StoredRun(path=Path(path), manifest=manifest, samples=make_samples([make_cell()], 6))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_report_is_html_markdown_and_figures_in_both_formats(tmp_path: Path) -> None:
    files = write_report([stored()], tmp_path / "out")
    assert (files.index, files.markdown) == (tmp_path / "out" / "index.html", tmp_path / "out" / "report.md")
    assert {path.suffix for path in files.figures} == {".svg", ".png"}
    assert all(path.stat().st_size for path in (files.index, files.markdown, *files.figures))


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        repaired = f"{folder}/r/samples.jsonl:7: the last line was torn"
        run = msgspec.structs.replace(stored(f"{folder}/r"), repaired=repaired)
        write_report([run], tmp_path / folder)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_figures_that_markdown_links_exist(tmp_path: Path) -> None:
    files = write_report([stored()], tmp_path)
    links = [
        line.rpartition("(")[2].rstrip(")") for line in files.markdown.read_text().splitlines() if line[:2] == "!["
    ]
    assert links
    assert all((tmp_path / link).is_file() for link in links)


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    write_report([stored()], tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file.*cannot be written"):
        write_report([stored()], tmp_path / "file")


def test_a_targets_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown targets file 'gone'"):
        write_report([stored(experiment=make_experiment(targets=("gone",)))], tmp_path)


def test_a_page_that_is_a_link_is_replaced_and_what_it_led_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").symlink_to(tmp_path / "precious")
    write_report([stored()], tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "out" / "index.html").is_symlink()


def test_no_figure_is_drawn_into_a_folder_that_is_a_link(tmp_path: Path) -> None:
    for name in ("out", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFileError, match="figures: is a link"):
        write_report([stored()], tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []
