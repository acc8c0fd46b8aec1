"""What this machine has to run, on a PATH made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldstart.errors import TestbedError, UsageError
from coldstart.testbed.executables import find, parse_runtime, require, runtimes, search_path
from tests.unit.testbed.records import add_program

ENGINE = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy")
TOOLS = ("iptables", "ip", "nsenter", "unshare", "setsid", "mount", "umount")
SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture
def equipped(tmp_path: Path) -> Path:
    """A folder with everything a testbed needs but a registry and a way out."""
    for name in (*ENGINE, *TOOLS):
        add_program(tmp_path, name)
    return tmp_path


def test_daemons_are_looked_for_where_they_are_installed() -> None:
    assert search_path({}) == SBIN


def test_the_users_path_goes_first() -> None:
    assert search_path({"PATH": "/mine"}) == f"/mine:{SBIN}"


def test_a_folder_is_looked_into_once() -> None:
    assert search_path({"PATH": "/bin:/mine:/bin"}) == f"/bin:/mine:{SBIN.removesuffix(':/bin')}"


def test_folders_that_depend_on_where_we_are_are_left_out() -> None:
    assert search_path({"PATH": "relative:.::/mine"}) == f"/mine:{SBIN}"


def test_the_environments_path_is_used_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/mine")
    assert search_path().startswith("/mine:")


def test_an_executable_is_found_by_its_name(tmp_path: Path) -> None:
    program = add_program(tmp_path, "x")
    assert find("x", str(tmp_path)) == program


def test_a_file_that_is_not_executable_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "x").touch(mode=0o644)
    assert find("x", str(tmp_path)) is None


def test_what_is_found_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = add_program(tmp_path / "here", "x")
    monkeypatch.chdir(tmp_path)
    assert find("x", "here") == program


def test_everything_a_testbed_starts_is_found_by_its_name(equipped: Path) -> None:
    add_program(equipped, "docker-registry")
    found = require(None, str(equipped))
    assert {name: path.name for name, path in found.items()} == {
        **{name: name for name in (*ENGINE, *TOOLS)},
        "registry": "docker-registry",
    }


def test_a_registry_may_be_called_what_its_makers_call_it(equipped: Path) -> None:
    registry = add_program(equipped, "registry")
    assert require(None, str(equipped))["registry"] == registry


def test_debians_registry_goes_before_its_makers(equipped: Path) -> None:
    debians = add_program(equipped, "docker-registry")
    add_program(equipped, "registry")
    assert require(None, str(equipped))["registry"] == debians


def test_an_external_registry_takes_a_way_out_and_no_registry(equipped: Path) -> None:
    way_out = add_program(equipped, "slirp4netns")
    found = require("192.168.1.10:5000", str(equipped))
    assert (found["slirp4netns"], "registry" in found) == (way_out, False)


def test_a_registry_of_our_own_takes_no_way_out(equipped: Path) -> None:
    add_program(equipped, "docker-registry")
    assert "slirp4netns" not in require(None, str(equipped))


def test_all_that_is_missing_is_named_with_its_packages_once_each(tmp_path: Path) -> None:
    with pytest.raises(TestbedError) as caught:
        require(None, str(tmp_path))
    assert str(caught.value) == (
        "the testbed needs executables this machine lacks: dockerd, containerd, containerd-shim-runc-v2, runc, "
        "docker-proxy, iptables, ip, nsenter, unshare, setsid, mount, umount, registry. Run scripts/setup (it starts "
        "no service), or install the Debian packages docker.io containerd runc iptables iproute2 util-linux mount "
        "docker-registry and repeat."
    )


def test_only_what_is_missing_is_named(equipped: Path) -> None:
    with pytest.raises(TestbedError, match=r"lacks: slirp4netns\. .* packages slirp4netns and repeat"):
        require("192.168.1.10:5000", str(equipped))


def test_runc_is_offered_first_then_what_is_installed_then_what_was_added(tmp_path: Path) -> None:
    for name in ("youki", "crun", "runc", "runsc", "kata-runtime", "another"):
        add_program(tmp_path, name)
    offered = runtimes({"crun-1.28": Path("/opt/crun")}, str(tmp_path))
    assert list(offered) == ["runc", "crun", "youki", "runsc", "kata-runtime", "crun-1.28"]


def test_a_runtime_is_offered_with_its_path(tmp_path: Path) -> None:
    runc = add_program(tmp_path, "runc")
    assert runtimes({}, str(tmp_path)) == {"runc": runc}


def test_an_added_runtime_takes_the_place_of_an_installed_one(tmp_path: Path) -> None:
    add_program(tmp_path, "crun")
    assert runtimes({"crun": Path("/other/crun")}, str(tmp_path)) == {"crun": Path("/other/crun")}


def test_a_runtime_to_add_is_a_name_and_a_path(tmp_path: Path) -> None:
    program = add_program(tmp_path, "crun")
    assert parse_runtime(f"crun-1.28_a={program}") == ("crun-1.28_a", program)


def test_a_path_may_hold_the_sign_that_ends_a_name(tmp_path: Path) -> None:
    program = add_program(tmp_path, "a=b")
    assert parse_runtime(f"x={program}") == ("x", program)


def test_a_runtimes_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = add_program(tmp_path, "crun")
    monkeypatch.chdir(tmp_path)
    assert parse_runtime("x=crun") == ("x", program)


@pytest.mark.parametrize("text", ["", "crun", "crun=", "=/bin/sh", "-x=/bin/sh", "a b=/bin/sh", "a/b=/bin/sh"])
def test_what_is_no_name_and_path_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--add-runtime .*: write NAME=PATH, such as crun-1\.28="):
        parse_runtime(text)


def test_the_engines_own_name_cannot_be_taken() -> None:
    with pytest.raises(UsageError, match="the engine keeps the name runc for its own"):
        parse_runtime("runc=/bin/sh")


def test_a_runtime_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "crun").touch(mode=0o644)
    with pytest.raises(UsageError, match="crun is not an executable file"):
        parse_runtime(f"x={tmp_path / 'crun'}")


def test_a_folder_is_no_runtime(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an executable file"):
        parse_runtime(f"x={tmp_path}")
