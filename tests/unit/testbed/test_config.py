"""A testbed's names and paths, what may be asked of it, and the record of it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from coldstart.errors import TestbedError, UsageError
from coldstart.testbed.config import (
    DEFAULT_CACHE,
    DEFAULT_ROOT,
    Layout,
    ProcessRef,
    Testbed,
    TestbedConfig,
    decode_path,
    encode_record,
    load_testbed,
    write_record,
)
from tests.unit.testbed.records import make_testbed

LONGEST = 107 - len("/run/exec/containerd/containerd-debug.sock")
"""Bytes of a root's path that leave room for the engine's longest socket (unix(7): 108 with a NUL)."""


def test_a_root_is_made_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert Layout.of(Path("r")) == Layout.of(root)


def test_a_root_behind_a_link_is_the_same_testbed(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert Layout.of(root.parent / "link").id == Layout.of(root).id


def test_another_root_is_another_testbed(root: Path) -> None:
    assert Layout.of(root).id != Layout.of(root.parent / "s").id


def test_an_id_is_eight_digits_of_the_paths_hash() -> None:
    """Sha256 of ``/var/lib/coldstart``: it must never change, or nobody finds their testbed again."""
    assert Layout(Path("/var/lib/coldstart")).id == "290b0544"


def test_cgroups_and_mounts_are_named_after_the_id(root: Path) -> None:
    assert Layout.of(root).name == f"coldstart-{Layout.of(root).id}"


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("state", "state.json"),
        ("hold", "hold.json"),
        ("run", "run"),
        ("log", "log"),
        ("data", "data"),
        ("loop_file", "data.ext4"),
        ("exec_root", "run/exec"),
        ("socket", "run/docker.sock"),
        ("engine_netns", "run/netns/engine"),
        ("registry_netns", "run/netns/registry"),
    ],
)
def test_everything_is_below_the_root(what: str, where: str) -> None:
    assert getattr(Layout(Path("/r")), what) == Path("/r") / where


def test_a_root_with_room_for_the_engines_sockets_is_taken() -> None:
    path = Path("/" + "r" * (LONGEST - 1))
    assert Layout.of(path).root == path


def test_a_root_too_long_for_the_engines_sockets_is_refused() -> None:
    with pytest.raises(UsageError, match=r"too long a path .* Choose a shorter COLDSTART_STATE_DIR"):
        Layout.of(Path("/" + "r" * LONGEST))


def test_a_paths_length_is_that_of_its_bytes() -> None:
    with pytest.raises(UsageError, match="too long a path"):
        Layout.of(Path("/" + "ü" * (LONGEST // 2 + 1)))


@pytest.mark.parametrize("hidden", ["/run", "/etc", "/opt", "/proc", "/sys", "/dev"])
def test_a_root_the_engine_would_see_otherwise_is_refused(hidden: str) -> None:
    with pytest.raises(UsageError, match=rf"COLDSTART_STATE_DIR .*the testbed's engine has its own {hidden}\."):
        Layout.of(Path(hidden) / "coldstart")


def test_a_link_to_a_place_the_engine_would_see_otherwise_is_refused(root: Path) -> None:
    root.symlink_to("/run/coldstart")
    with pytest.raises(UsageError, match="has its own /run"):
        Layout.of(root)


def test_a_place_that_is_only_named_alike_is_taken() -> None:
    assert Layout.of(Path("/optional")).root == Path("/optional")


def test_with_nothing_asked_for_the_default_folders_are_used() -> None:
    assert TestbedConfig.from_environment({}).root == DEFAULT_ROOT


def test_the_environment_names_the_folders() -> None:
    config = TestbedConfig.from_environment({"COLDSTART_STATE_DIR": "/a", "COLDSTART_CACHE_DIR": "/b"})
    assert (config.root, config.cache) == (Path("/a"), Path("/b"))


def test_an_empty_state_folder_is_none() -> None:
    assert TestbedConfig.from_environment({"COLDSTART_STATE_DIR": ""}).root == DEFAULT_ROOT


@pytest.mark.parametrize("environ", [{}, {"COLDSTART_CACHE_DIR": ""}, {"XDG_CACHE_HOME": "/home/me/c"}])
def test_roots_cache_is_the_machines(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert TestbedConfig.from_environment(environ).cache == DEFAULT_CACHE


def test_a_users_cache_is_where_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert TestbedConfig.from_environment({"XDG_CACHE_HOME": "/home/me/c"}).cache == Path("/home/me/c/coldstart")


def test_a_users_cache_is_at_home_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/me")
    assert TestbedConfig.from_environment({}).cache == Path("/home/me/.cache/coldstart")


def test_what_was_not_asked_for_stays_open() -> None:
    config = TestbedConfig.from_environment({})
    assert (config.runtimes, config.data_root, config.registry) == ({}, None, None)


def test_runtimes_that_were_asked_for_are_kept() -> None:
    assert TestbedConfig.from_environment({}, runtimes={"x": Path("/x")}).runtimes == {"x": Path("/x")}


def test_a_data_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = TestbedConfig.from_environment({}, data_root=Path("data")).data_root
    assert found == Path(os.path.realpath(tmp_path / "data"))


def test_a_data_root_the_engine_would_see_otherwise_is_refused() -> None:
    with pytest.raises(UsageError, match="--data-root /opt/data: the testbed's engine has its own /opt"):
        TestbedConfig.from_environment({}, data_root=Path("/opt/data"))


@pytest.mark.parametrize("address", ["192.168.1.10:5000", "registry.lan:1", "192.168.1.10:65535"])
def test_a_registrys_address_is_a_host_and_a_port(address: str) -> None:
    assert TestbedConfig.from_environment({}, registry=address).registry == address


@pytest.mark.parametrize(
    "address",
    ["", "host", ":5000", "host:", "host:0", "host:65536", "host:-1", "host:http", "host:٣", "http://host:80", "a/b:5"],
)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(UsageError, match=r"--registry .*: write HOST:PORT, such as 192\.168\.1\.10:5000"):
        TestbedConfig.from_environment({}, registry=address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3"])
def test_a_registry_on_this_machine_cannot_be_meant_by_loopback(host: str) -> None:
    with pytest.raises(UsageError, match="Name this machine by its address on the network"):
        TestbedConfig.from_environment({}, registry=f"{host}:5000")


def test_a_configuration_leads_to_its_layout(root: Path) -> None:
    assert TestbedConfig(root=root).layout == Layout.of(root)


@pytest.mark.parametrize("host", ["[::1]", "[2001:db8::1]", "[::ffff:192.168.1.10]"])
def test_a_registry_by_its_ipv6_address_is_refused_since_nothing_would_reach_it(host: str) -> None:
    with pytest.raises(UsageError, match=r"speaks IPv4 only\. Name the registry by its IPv4 address"):
        TestbedConfig.from_environment({}, registry=f"{host}:5000")


def test_the_registrys_blobs_are_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    assert (
        TestbedConfig(cache=tmp_path / "link").registry_storage == Path(os.path.realpath(tmp_path)) / "cache/registry"
    )


def test_an_engines_address_is_that_of_its_socket(root: Path) -> None:
    assert make_testbed(root).docker_host == f"unix://{Layout.of(root).socket}"


def test_a_record_is_read_as_it_was_written(layout: Layout) -> None:
    ref = ProcessRef(pid=7, start_ticks=8, name="dockerd", role="engine")
    testbed = make_testbed(layout.root, processes=(ref,), loop_device="/dev/loop0", registry_log=None)
    write_record(layout.state, testbed)
    assert load_testbed(layout) == testbed


def test_a_record_replaces_the_one_before_and_leaves_nothing_beside_it(layout: Layout) -> None:
    write_record(layout.state, make_testbed(layout.root, storage="before"))
    write_record(layout.state, make_testbed(layout.root, storage="after"))
    assert [path.name for path in layout.root.iterdir()] == ["state.json"]


def test_a_record_is_written_for_people_too(tmp_path: Path) -> None:
    write_record(tmp_path / "x", ProcessRef(pid=7, start_ticks=8, name="dockerd"))
    assert (tmp_path / "x").read_text().splitlines()[:2] == ["{", '  "pid": 7,']


def test_a_record_ends_with_a_line_end(tmp_path: Path) -> None:
    write_record(tmp_path / "x", ProcessRef(pid=7, start_ticks=8, name="dockerd"))
    assert (tmp_path / "x").read_text().endswith("}\n")


def test_a_reader_never_sees_half_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while the new one is being written leaves the old one."""
    (tmp_path / "x").write_text("before")

    def crash(_: Path, __: Path) -> None:
        raise OSError(5, "I/O error")

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match="I/O error"):
        write_record(tmp_path / "x", ProcessRef(pid=7, start_ticks=8, name="dockerd"))
    assert (tmp_path / "x").read_text() == "before"


def test_only_paths_are_written_as_text_of_our_own() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        encode_record(object())


def test_only_paths_are_read_from_text_of_our_own() -> None:
    with pytest.raises(NotImplementedError, match="Layout"):
        decode_path(Layout, "/x")


def test_without_a_record_there_is_no_testbed(layout: Layout) -> None:
    assert load_testbed(layout) is None


def test_where_a_file_is_there_is_no_testbed(root: Path) -> None:
    root.touch()
    assert load_testbed(Layout.of(root)) is None


@pytest.mark.parametrize("text", ["", "{", "{}", '{"id": 7}'])
def test_a_record_that_cannot_be_read_is_named_with_the_remedy(layout: Layout, text: str) -> None:
    layout.state.write_text(text)
    with pytest.raises(TestbedError, match=r"state\.json: .*coldstart testbed down"):
        load_testbed(layout)


def test_a_field_of_a_later_version_is_no_obstacle(layout: Layout) -> None:
    record = msgspec.json.decode(encode_record(make_testbed(layout.root)))
    layout.state.write_bytes(msgspec.json.encode({**record, "later": 1}))
    assert isinstance(load_testbed(layout), Testbed)
