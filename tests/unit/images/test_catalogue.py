"""Workload files: strict, with the file and key of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import InputFileError, UnknownNameError
from coldstart.images.bases import argument_of
from coldstart.images.catalogue import catalogue, find, load_workload

GOOD = """\
name = "app"
description = "an app"
ready = "http:8080/"

[variants.alpine]
dockerfile = "Dockerfile"
description = "small"
bases = ["golang", "alpine"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder / "workload.toml"


def test_the_shipped_catalogue_has_hello_with_the_articles_variants() -> None:
    hello = catalogue()["hello"]
    assert set(hello.variants) == {"single-stage", "multi-stage", "alpine", "distroless", "scratch"}
    assert str(hello.ready) == "http:8080/"


def test_every_shipped_dockerfile_takes_its_bases_as_arguments() -> None:
    for workload in catalogue().values():
        for variant in workload.variants.values():
            text = (workload.folder / variant.dockerfile).read_text()
            assert [base for base in variant.bases if f"FROM ${{{argument_of(base)}}}" not in text] == []


def test_a_workload_is_read_with_its_folder(path: Path) -> None:
    path.write_text(GOOD)
    workload = load_workload(path)
    assert (workload.folder, workload.variants["alpine"].bases) == (path.parent, ("golang", "alpine"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "app"', 'name = "other"', "'other' is not its folder's name, 'app'"),
        ('name = "app"\n', "", "missing required field `name`"),
        ("description", "descripton", "unknown field `descripton`"),
        ('dockerfile = "Dockerfile"', 'dockerfile = "Dockerfile"\nport = 1', "unknown field `port`"),
        ('ready = "http:8080/"', "ready = 8080", r"\$\.ready"),
        ('ready = "http:8080/"', 'ready = "http:x"', "key ready.*needs the container's port"),
        ('dockerfile = "Dockerfile"', 'dockerfile = "Missing"', r"variants\.alpine\.dockerfile.*there is no"),
        ('dockerfile = "Dockerfile"', 'dockerfile = "../Dockerfile"', "not a file name in that folder"),
        ("[variants.alpine]", "[variants.alpine", "Invalid|Expected|expected"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(path: Path, old: str, new: str, told: str) -> None:
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputFileError, match=told) as caught:
        load_workload(path)
    assert str(path) in str(caught.value)


def test_a_workload_without_variants_is_refused(path: Path) -> None:
    path.write_text(GOOD.partition("[variants")[0] + "variants = {}\n")
    with pytest.raises(InputFileError, match="at least one variant"):
        load_workload(path)


def test_an_unknown_base_is_told_with_the_nearest(path: Path) -> None:
    path.write_text(GOOD.replace('"golang"', '"golan"'))
    with pytest.raises(UnknownNameError, match="did you mean 'golang'"):
        load_workload(path)


def test_a_missing_file_is_an_input_error(path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        load_workload(path)


def test_bytes_that_are_no_text_are_an_input_error(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError):
        load_workload(path)


def test_the_catalogue_holds_every_folder_with_a_workload(path: Path) -> None:
    path.write_text(GOOD)
    (path.parent.parent / "notes").mkdir()
    assert list(catalogue(path.parent.parent)) == ["app"]


@pytest.mark.parametrize(("workload", "variant", "nearest"), [("ap", "alpine", "app"), ("app", "alpin", "alpine")])
def test_an_unknown_workload_or_variant_is_told_with_the_nearest(
    path: Path, workload: str, variant: str, nearest: str
) -> None:
    path.write_text(GOOD)
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}'"):
        find(catalogue(path.parent.parent), workload, variant)
