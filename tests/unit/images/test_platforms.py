"""One platform under the names of Docker, Debian and Alpine."""

from __future__ import annotations

import pytest

from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images import platforms


@pytest.mark.parametrize(
    ("architecture", "variant", "expected"),
    [
        ("amd64", None, "linux/amd64"),
        ("amd64", "v1", "linux/amd64"),
        ("amd64", "v3", "linux/amd64/v3"),
        ("arm64", "v8", "linux/arm64"),
        ("arm", None, "linux/arm/v7"),
        ("arm", "v6", "linux/arm/v6"),
    ],
)
def test_default_variants_are_not_written(architecture: str, variant: str | None, expected: str) -> None:
    assert platforms.normalize("linux", architecture, variant) == expected


@pytest.mark.parametrize(
    ("architecture", "machine", "expected"),
    [
        ("amd64", "x86_64", "linux/amd64"),
        ("arm64", "aarch64", "linux/arm64"),
        ("arm", "armv7l", "linux/arm/v7"),
        ("arm", "armv6l", "linux/arm/v6"),
        ("arm", "aarch64", "linux/arm/v7"),
    ],
)
def test_the_engine_and_not_the_kernel_decides_the_platform(architecture: str, machine: str, expected: str) -> None:
    assert platforms.of_engine(architecture, machine) == expected


def test_distributions_have_their_own_names() -> None:
    assert platforms.debian_architecture("linux/arm/v7") == "armhf"
    assert platforms.alpine_architecture("linux/arm64") == "aarch64"


@pytest.mark.parametrize("platform", ["linux/arm/v6", "linux/mips64le"])
def test_a_platform_debian_lacks_is_refused_with_the_way_out(platform: str) -> None:
    with pytest.raises(NotPublishedError, match="--bases upstream"):
        platforms.debian_architecture(platform)


def test_wheels_name_the_kernels_machine() -> None:
    assert [platforms.python_machine(name) for name in ("linux/amd64", "linux/arm64", "linux/arm/v7")] == [
        "x86_64",
        "aarch64",
        "armv7l",
    ]


def test_a_platform_without_wheels_is_refused() -> None:
    with pytest.raises(NotPublishedError, match="nobody publishes wheels for linux/mips64le"):
        platforms.python_machine("linux/mips64le")


def test_tags_reach_from_the_releases_glibc_to_the_oldest() -> None:
    tags = platforms.wheel_tags("linux/arm64", 36)
    assert tags[0] == "manylinux_2_36_aarch64"
    assert {"manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"} < set(tags)
    assert "manylinux_2_37_aarch64" not in tags


def test_old_names_of_tags_are_x86s_alone() -> None:
    assert "manylinux1_x86_64" in platforms.wheel_tags("linux/amd64", 36)
    assert "manylinux1_aarch64" not in platforms.wheel_tags("linux/arm64", 36)


def test_debians_names_lead_back_to_platforms() -> None:
    assert platforms.of_debian("armhf") == "linux/arm/v7"


def test_an_architecture_of_debians_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ImageBuildError, match="hurd-i386"):
        platforms.of_debian("hurd-i386")


@pytest.mark.parametrize(
    ("platform", "engine", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/386", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("linux/arm/v7", "linux/arm64", True),
        ("linux/arm64", "linux/arm/v7", False),
        ("linux/arm/v6", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm64", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
        ("wasi/wasm", "linux/amd64", False),
        (None, "linux/amd64", True),
    ],
)
def test_what_runs_without_an_emulator(platform: str | None, engine: str, runs: bool) -> None:
    assert platforms.runs_natively(platform, engine) is runs


@pytest.mark.parametrize(
    ("said", "platform"), [("linux/amd64", "linux/amd64"), ("linux/arm64", "linux/arm64"), ("windows/amd64", None)]
)
def test_an_engine_is_of_the_platform_it_says(said: str, platform: str | None) -> None:
    assert platforms.of_facts(said) == (platform or said)
    assert platforms.of_facts("linux/arm") in {"linux/arm/v6", "linux/arm/v7"}
