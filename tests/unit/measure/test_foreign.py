"""What another platform than the engine's explains, and what it forbids."""

from __future__ import annotations

import pytest

from coldstart.measure.foreign import with_platform
from coldstart.model.sample import Outcome


@pytest.mark.parametrize("outcome", [Outcome.CREATE_FAILED, Outcome.START_FAILED, Outcome.EXITED])
def test_a_failure_of_another_platforms_image_is_the_platforms(outcome: Outcome) -> None:
    found = with_platform(outcome, "why", image="linux/arm64", engine="linux/amd64", emulator=None)
    assert found == (Outcome.WRONG_PLATFORM, "the image is for linux/arm64, this engine is linux/amd64: why")


def test_platforms_are_compared_by_their_parts() -> None:
    """Linux/arm64 begins with linux/arm, and does not run on it."""
    found = with_platform(Outcome.START_FAILED, "x", image="linux/arm64", engine="linux/arm", emulator=None)
    assert found[0] is Outcome.WRONG_PLATFORM


def test_a_32_bit_image_that_the_64_bit_kernel_does_not_run_is_the_platforms() -> None:
    why = "runc create failed: exec /app: Exec format error"
    found = with_platform(Outcome.START_FAILED, why, image="linux/arm/v7", engine="linux/arm64", emulator=None)
    assert found[0] is Outcome.WRONG_PLATFORM


def test_a_32_bit_image_that_fails_by_itself_is_its_own_failure() -> None:
    found = with_platform(Outcome.EXITED, "no config", image="linux/arm/v7", engine="linux/arm64", emulator=None)
    assert found == (Outcome.EXITED, "no config")


@pytest.mark.parametrize("engine", ["linux/amd64", None])
def test_an_image_of_the_engines_own_platform_fails_by_itself(engine: str | None) -> None:
    found = with_platform(Outcome.EXITED, "why", image="linux/amd64", engine=engine, emulator=None)
    assert found == (Outcome.EXITED, "why")


@pytest.mark.parametrize("outcome", [Outcome.NEVER_READY, Outcome.NOT_COLD, Outcome.PULL_FAILED])
def test_what_no_platform_explains_stays(outcome: Outcome) -> None:
    found = with_platform(outcome, "why", image="linux/arm64", engine="linux/amd64", emulator=None)
    assert found == (outcome, "why")


def test_what_an_emulator_ran_is_never_a_timing() -> None:
    outcome, reason = with_platform(
        Outcome.OK, None, image="linux/arm64", engine="linux/amd64", emulator="/usr/bin/qemu-aarch64"
    )
    assert outcome is Outcome.WRONG_PLATFORM
    assert "/usr/bin/qemu-aarch64 emulated it" in (reason or "")


def test_what_the_cpu_ran_is_a_timing() -> None:
    found = with_platform(Outcome.OK, None, image="linux/386", engine="linux/amd64", emulator=None)
    assert found == (Outcome.OK, None)
