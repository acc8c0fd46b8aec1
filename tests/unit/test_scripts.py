"""The scripts a new user runs: what they install covers what the code asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from coldstart.images import processes
from coldstart.kit import debs, wheels
from coldstart.testbed import executables

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci" / "run"]


def packages() -> dict[str, str]:
    """Executable to package, as ``scripts/setup`` has them."""
    pairs = re.findall(r"(?<![\w.-])([\w|.-]+):([a-z0-9.-]+)(?=[\s\"])", (ROOT / "scripts" / "setup").read_text())
    return {name: package for names, package in pairs for name in names.split("|")}


def test_setup_installs_every_executable_that_the_testbed_starts() -> None:
    assert executables._ENGINE_NEEDS.items() <= packages().items()


def test_setup_installs_every_tool_that_images_are_made_with() -> None:
    needed = {tool: package for tool, package in processes._PACKAGES.items() if tool != "apt-get"}
    assert needed.items() <= packages().items()


def test_setup_installs_the_registry_the_egress_and_both_runtimes() -> None:
    assert {"docker-registry", "registry", "slirp4netns", "runc", "crun", "unpigz"} <= packages().keys()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_can_be_run_and_parses(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_setup_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([str(ROOT / "scripts" / "setup"), "--fast"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: scripts/setup [--dev | --kit FILE]\n")


def test_a_kit_has_every_package_that_setup_installs() -> None:
    tests_own = {"chromium", "qemu-user-static"}  # which a board does not run
    assert set(debs.PACKAGES) == {*packages().values(), "debian-archive-keyring"} - tests_own


def test_a_kit_has_what_an_editable_install_builds_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= set(wheels.BUILD_REQUIREMENTS)


def test_setup_refuses_what_is_no_kit_before_anything_changes(tmp_path: Path) -> None:
    (tmp_path / "kit.tar").write_bytes(b"no kit")
    setup = [str(ROOT / "scripts" / "setup"), "--kit", "kit.tar"]
    done = subprocess.run(setup, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"setup: {tmp_path}/kit.tar: is not a file of `coldstart images save`" in done.stderr


def test_a_kit_is_read_with_pythons_own_library_alone() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import coldstart.kit.board"
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)


def test_ci_calls_the_readmes_test_command_and_requires_the_engine() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "COLDSTART_REQUIRE_ENGINE=1" in text
    assert text.rstrip().endswith("exec scripts/test")
