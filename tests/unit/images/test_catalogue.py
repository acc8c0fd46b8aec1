"""Workload files: strict, with the file and key of every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coldstart.errors import InputFileError, UnknownNameError
from coldstart.images.bases import argument_of
from coldstart.images.catalogue import catalogue, find, load_workload, with_own

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
        ("[variants.alpine]", '[variants."al/pine"]', r"variants\.al/pine: 'al/pine' cannot be a tag"),
        ("[variants.alpine]", 'wheels = ["r.txt"]\n[variants.alpine]', r"key wheels: there is no .*r\.txt"),
        ("[variants.alpine]", 'wheels = ["../r.txt"]\n[variants.alpine]', "key wheels.*not a file name"),
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


@pytest.mark.parametrize("name", ["App", "my app", "a__b", "-app"])
def test_a_name_that_cannot_be_a_repositorys_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "Dockerfile").touch()
    path = tmp_path / name / "workload.toml"
    path.write_text(GOOD.replace('"app"', f'"{name}"', 1))
    with pytest.raises(InputFileError, match="cannot be a repository's name"):
        load_workload(path)


def test_a_workload_of_ones_own_stands_beside_the_catalogues(path: Path) -> None:
    path.write_text(GOOD)
    known = with_own({"app": str(path.parent)})
    assert known["app"].folder == path.parent
    assert set(known) == {*catalogue(), "app"}


def test_a_workload_of_ones_own_cannot_take_the_name_of_one_of_the_catalogue(path: Path) -> None:
    folder = path.parent.rename(path.parent.with_name("hello"))
    (folder / "workload.toml").write_text(GOOD.replace('"app"', '"hello"', 1))
    with pytest.raises(InputFileError, match=r"the catalogue has a workload 'hello'\. Give the folder"):
        with_own({"hello": str(folder)})


def test_the_catalogues_own_folder_is_no_other_workload() -> None:
    hello = catalogue()["hello"]
    assert with_own({"hello": str(hello.folder)})["hello"].variants == hello.variants


def test_a_folder_without_a_workload_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"app/workload\.toml: cannot be read"):
        with_own({"app": str(tmp_path / "app")})


def test_every_shipped_requirement_is_pinned_with_its_hashes() -> None:
    for workload in catalogue().values():
        for name in workload.wheels:
            text = (workload.folder / name).read_text()
            written = [line for line in text.replace("\\\n", "").splitlines() if not line.startswith("#")]
            assert all(re.fullmatch(r"[a-z0-9-]+==\S+( +--hash=sha256:[0-9a-f]{64})+", line) for line in written)


@pytest.mark.parametrize("name", ["api", "inference"])
def test_the_python_workloads_have_the_same_variants(name: str) -> None:
    assert set(catalogue()[name].variants) == {"single-stage", "multi-stage", "distroless"}


def test_the_documented_example_is_a_workload() -> None:
    greeter = load_workload(Path(__file__).parents[3] / "docs" / "workloads" / "greeter" / "workload.toml")
    assert set(greeter.variants) == {"full", "slim"}
    for variant in greeter.variants.values():
        text = (greeter.folder / variant.dockerfile).read_text()
        assert all(f"FROM ${{{argument_of(base)}}}" in text for base in variant.bases)
