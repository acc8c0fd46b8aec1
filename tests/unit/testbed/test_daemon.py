"""The engine's configuration and the words it is started with; none is started here."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import msgspec
import pytest

from coldstart.errors import TestbedError
from coldstart.testbed import daemon, mounts, processes, shell
from coldstart.testbed.config import REGISTRY_ADDRESS, Layout
from coldstart.testbed.daemon import answers, config, follow_script, foreign_mounts, script, wait_ready
from coldstart.testbed.marker import claim_folder
from coldstart.testbed.mounts import Mount
from tests.unit.testbed.records import add_program, tagged

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


def mount(point: Path, kind: str = "ext4") -> Mount:
    """Something mounted there."""
    return Mount(device="8:1", point=point, kind=kind, source="x")


V1 = (mount(Path("/sys/fs/cgroup/memory"), "cgroup"),)
V2 = (mount(Path("/sys/fs/cgroup/unified"), "cgroup2"),)
HYBRID = (*V1, *V2)


def configuration(layout: Layout, **runtimes: Path) -> dict[str, Any]:
    """The configuration with a data-root of ``/d``."""
    return config(layout, Path("/d"), REGISTRY_ADDRESS, runtimes)


def test_the_engine_keeps_to_our_folders(layout: Layout) -> None:
    found = configuration(layout)
    assert [found[key] for key in ("hosts", "pidfile", "data-root", "exec-root")] == [
        [f"unix://{layout.root}/run/docker.sock"],
        f"{layout.root}/run/docker.pid",
        "/d",
        f"{layout.root}/run/exec",
    ]


def test_containers_are_in_our_cgroup(layout: Layout) -> None:
    found = configuration(layout)
    assert (found["cgroup-parent"], found["exec-opts"]) == (f"/{layout.name}", ["native.cgroupdriver=cgroupfs"])


def test_the_registry_needs_no_certificate(layout: Layout) -> None:
    assert "198.18.0.2:5000" in configuration(layout)["insecure-registries"]


def test_nothing_that_stands_before_the_registry_needs_a_certificate_either(layout: Layout) -> None:
    assert "198.18.0.0/30" in configuration(layout)["insecure-registries"]


def test_layers_are_folders_whose_steps_are_logged(layout: Layout) -> None:
    found = configuration(layout)
    assert (found["features"], found["debug"]) == ({"containerd-snapshotter": False}, True)


def test_runtimes_are_offered_but_for_the_engines_own(layout: Layout) -> None:
    found = configuration(layout, runc=Path("/usr/bin/runc"), crun=Path("/usr/bin/crun"))
    assert found["runtimes"] == {"crun": {"path": "/usr/bin/crun"}}


def test_containers_ask_the_way_out_for_names(layout: Layout) -> None:
    assert configuration(layout)["dns"] == ["10.0.2.3"]


def lines(layout: Layout, *table: Mount) -> list[str]:
    """What runs before the engine."""
    return script(layout, iter(table)).splitlines()


def test_the_script_is_one_a_shell_understands(layout: Layout) -> None:
    subprocess.run(["sh", "-n"], input=script(layout, HYBRID), text=True, check=True)


def test_the_script_ends_at_its_first_error(layout: Layout) -> None:
    assert lines(layout)[0] == "set -e"


def test_the_script_becomes_the_engine_in_our_network(layout: Layout) -> None:
    run = f"{layout.root}/run"
    assert lines(layout)[-1] == f"exec nsenter --net={run}/netns/engine dockerd --config-file {run}/daemon.json"


def test_a_path_with_spaces_stays_one_word() -> None:
    run = "/a b/run"
    assert lines(Layout(Path("/a b")))[-1] == (
        f"exec nsenter --net='{run}/netns/engine' dockerd --config-file '{run}/daemon.json'"
    )


def test_the_engine_has_an_empty_run_that_carries_our_name(layout: Layout) -> None:
    assert f"mount -t tmpfs -o mode=755 {layout.name} /run" in lines(layout)


@pytest.mark.parametrize("name", ["etc", "opt"])
def test_what_the_engine_writes_into_system_folders_stays_in_memory(layout: Layout, name: str) -> None:
    over = f"/run/coldstart-over/{name}"
    found = lines(layout)
    at = found.index(f"mkdir -p {over}/upper {over}/work")
    assert found[at + 1] == (
        f"[ ! -d /{name} ] || mount -t overlay -o lowerdir=/{name},upperdir={over}/upper,workdir={over}/work "
        f"coldstart /{name}"
    )


def test_the_hosts_resolver_is_replaced_only_when_etc_is_our_own(layout: Layout) -> None:
    found = lines(layout)
    overlaid = next(index for index, line in enumerate(found) if line.endswith("coldstart /etc"))
    assert found.index("rm -f /etc/resolv.conf") > overlaid


def test_names_are_asked_for_on_the_way_out(layout: Layout) -> None:
    found = lines(layout)
    assert found[found.index("rm -f /etc/resolv.conf") + 1] == "echo nameserver 10.0.2.3 > /etc/resolv.conf"


@pytest.mark.parametrize(("table", "there"), [(HYBRID, True), (V1, False), (V2, False)])
def test_the_empty_hierarchy_of_a_hybrid_is_taken_away(layout: Layout, table: tuple[Mount, ...], there: bool) -> None:
    assert ("umount /sys/fs/cgroup/unified" in lines(layout, *table)) is there


def test_the_engine_sees_no_apparmor_to_load_its_profile_into(layout: Layout) -> None:
    security = mount(Path("/sys/kernel/security"), "securityfs")
    found = lines(layout, security)
    assert found.index("umount -l /sys/kernel/security") < found.index(f"mount -t tmpfs -o mode=755 {layout.name} /run")
    assert not any("security" in line for line in lines(layout))


@pytest.fixture
def neighbour(tmp_path: Path) -> Path:
    """Another testbed's root, with a mount below it."""
    claim_folder(tmp_path / "n", "neighbour")
    return tmp_path / "n"


def test_another_testbeds_mounts_are_foreign_last_first(layout: Layout, neighbour: Path) -> None:
    table = [mount(Path("/")), mount(neighbour / "data"), mount(neighbour / "data/overlay2/x/merged")]
    assert foreign_mounts(layout, iter(table)) == (neighbour / "data/overlay2/x/merged", neighbour / "data")


def test_another_testbeds_data_root_is_foreign(layout: Layout, neighbour: Path) -> None:
    assert foreign_mounts(layout, [mount(neighbour)]) == (neighbour,)


def test_our_own_mounts_are_not_foreign(layout: Layout) -> None:
    claim_folder(layout.root, layout.id)
    assert foreign_mounts(layout, [mount(layout.data)]) == ()


def test_our_own_mounts_are_not_foreign_where_our_root_is_in_another_testbeds(neighbour: Path) -> None:
    ours = Layout(neighbour / "ours")
    claim_folder(ours.root, ours.id)
    assert foreign_mounts(ours, [mount(ours.data)]) == ()


def test_a_mount_that_refuses_to_be_looked_into_is_nobodys(
    layout: Layout, neighbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bpf, real = Path("/sys/fs/bpf"), os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if Path(path).parent == bpf:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert foreign_mounts(layout, [mount(bpf), mount(neighbour)]) == (neighbour,)


def test_foreign_mounts_are_let_go_of_before_anything_else(layout: Layout, neighbour: Path) -> None:
    assert lines(layout, mount(neighbour / "a b"))[1] == f"umount -l '{neighbour}/a b' 2>/dev/null || :"


class Spawned:
    """Takes the place of starting a daemon, and keeps what it would have been started with."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.options: dict[str, Any] = {}
        self.before: list[tuple[list[str], dict[str, Any]]] = []

    def __call__(self, argv: list[str | Path], **options: Any) -> None:
        """Keep; the engine comes last."""
        self.before.extend(() if not self.argv else [(self.argv, self.options)])
        self.argv, self.options = [str(word) for word in argv], options


@pytest.fixture
def spawned(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Spawned:
    """The engine, had it been started."""
    layout.run.mkdir()
    spawned = Spawned()
    monkeypatch.setattr(shell, "spawn", spawned)
    monkeypatch.setattr(mounts, "read", lambda: HYBRID)
    daemon.start(
        layout, data_root=Path("/d"), registry_address=REGISTRY_ADDRESS, runtimes={"x": Path("/x")}, path="/bin"
    )
    return spawned


def test_the_engine_is_started_in_a_mount_namespace_of_its_own(layout: Layout, spawned: Spawned) -> None:
    assert spawned.argv == ["unshare", "--mount", "--propagation", "slave", "sh", f"{layout.root}/run/engine.sh"]


def test_the_engine_is_started_marked_logged_and_with_our_modprobe_first(layout: Layout, spawned: Spawned) -> None:
    assert spawned.options == {
        "tag": f"{layout.id}:engine",
        "path": f"{layout.root}/run/bin:/bin",
        "home": layout.run,
        "log": layout.log / "dockerd.log",
    }


# --- what the host unmounts ---


def test_before_the_engine_something_begins_to_watch_what_the_host_unmounts(layout: Layout, spawned: Spawned) -> None:
    ((argv, options),) = spawned.before
    assert argv[:2] == ["sh", "-c"]
    assert argv[2].startswith("exec findmnt --poll=umount ")
    assert argv[3] == f"{layout.root}/run/unmounted"
    assert stat.S_ISFIFO((layout.run / "unmounted").stat().st_mode)
    assert options["tag"] == f"{layout.id}:tool"  # not the engine's: that it lives says nothing of dockerd


def test_the_follower_is_started_in_the_engines_namespace_and_is_no_child_of_its(layout: Layout) -> None:
    run = f"{layout.root}/run"
    assert lines(layout)[-2] == (
        f"COLDSTART_TESTBED={layout.id}:tool setsid --fork sh {run}/follow.sh <> {run}/unmounted"
    )


@pytest.mark.usefixtures("spawned")
def test_the_followers_script_is_written_for_it(layout: Layout) -> None:
    assert (layout.run / "follow.sh").read_text() == follow_script(layout, Path("/d"))


def followed(tmp_path: Path, root: Path, named: str) -> list[str]:
    """What the follower of a testbed in ``root``, with its data in /mnt/ssd/data, would unmount."""
    umount = tmp_path / "umount"
    umount.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/done\n')
    umount.chmod(0o755)
    (tmp_path / "done").touch()
    subprocess.run(
        ["sh", "-c", follow_script(Layout(root), Path("/mnt/ssd/data"))],
        input=named,
        text=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    return (tmp_path / "done").read_text().splitlines()


def test_what_the_host_unmounts_is_unmounted_there_too(tmp_path: Path) -> None:
    named = "/mnt/stick\n/media/my\\x20stick\n/mnt/a\\x5cb\n"
    assert followed(tmp_path, Path("/var/lib/coldstart"), named) == [
        "-l -- /mnt/stick",
        "-l -- /media/my stick",
        "-l -- /mnt/a\\b",
    ]


def test_places_of_the_engines_own_and_what_its_data_lie_on_stay(tmp_path: Path) -> None:
    own = ["/run", "/run/x", "/etc/x", "/opt", "/proc/x", "/sys/fs/cgroup", "/dev/shm"]
    below = ["/srv/the state", "/srv/the state/data", "/srv", "/", "/mnt/ssd/data/x", "/mnt/ssd", "/mnt"]
    named = "".join(f"{point}\n" for point in [*own, *below]).replace(" ", "\\x20")
    assert followed(tmp_path, Path("/srv/the state"), named) == []


@pytest.mark.usefixtures("spawned")
def test_the_engines_configuration_is_written_for_it(layout: Layout) -> None:
    written = msgspec.json.decode((layout.run / "daemon.json").read_bytes())
    assert written == configuration(layout, x=Path("/x"))


@pytest.mark.usefixtures("spawned")
def test_the_engines_script_is_written_for_it(layout: Layout) -> None:
    assert (layout.run / "engine.sh").read_text() == script(layout, HYBRID)


@pytest.mark.parametrize(
    ("asked", "loaded"),
    [
        ("-va bridge br_netfilter", "-va bridge"),
        ("br_netfilter overlay", "overlay"),
        ("overlay", "overlay"),
    ],
)
@pytest.mark.usefixtures("spawned")
def test_our_modprobe_loads_all_but_what_would_change_the_hosts_bridges(
    layout: Layout, tmp_path: Path, asked: str, loaded: str
) -> None:
    add_program(tmp_path / "real", "modprobe", '#!/bin/sh\necho "$@"\n')
    ours = layout.run / "bin"
    said = subprocess.run(
        [ours / "modprobe", *asked.split()],
        env={"PATH": f"{ours}:{tmp_path / 'real'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"{loaded}\n"


@contextmanager
def engine(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """A server that gives one answer on a Unix socket; what it was asked."""
    asked: list[bytes] = []
    with socket(AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


@pytest.mark.parametrize(
    ("answer", "good"), [(OK, True), (OK.replace(b"200 OK", b"503 Busy"), False), (b"SSH-2.0\r\n", False), (b"", False)]
)
def test_an_engine_answers_if_it_says_that_all_is_well(layout: Layout, answer: bytes, good: bool) -> None:
    with engine(layout.root / "s", answer):
        assert answers(layout.root / "s") is good


def test_an_engine_is_asked_for_a_sign_of_life(layout: Layout) -> None:
    with engine(layout.root / "s", OK) as asked:
        answers(layout.root / "s")
    assert asked[0].startswith(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\n")


def test_where_nobody_listens_nobody_answers(layout: Layout) -> None:
    assert not answers(layout.root / "s")


def test_an_engine_that_answers_is_ready(layout: Layout) -> None:
    layout.run.mkdir()
    with engine(layout.socket, OK):
        wait_ready(layout)


def test_an_engine_that_ended_is_an_error_with_its_last_words(layout: Layout) -> None:
    layout.log.mkdir()
    (layout.log / "dockerd.log").write_text("failed to start daemon: no space left\n")
    with pytest.raises(TestbedError, match=r"dockerd ended at its start\. Its log ends:\n  failed to start daemon"):
        wait_ready(layout)


def test_an_engine_that_stays_silent_is_an_error(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_READY_TIMEOUT_NS", -1)
    with (
        tagged(layout, processes.ENGINE),
        pytest.raises(TestbedError, match=r"dockerd is not ready after 90 s\. Its log ends:\(no log\)"),
    ):
        wait_ready(layout)


def test_an_engine_is_waited_for_while_it_starts(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([False, False, True])
    asked: list[Path] = []

    def answers_at_last(path: Path) -> bool:
        asked.append(path)
        return next(said)

    monkeypatch.setattr(daemon, "answers", answers_at_last)
    monkeypatch.setattr(daemon, "_POLL_S", 0)
    with tagged(layout, processes.ENGINE):
        wait_ready(layout)
    assert asked == [layout.socket] * 3


def test_another_process_of_the_testbed_is_not_its_engine(layout: Layout) -> None:
    with tagged(layout, processes.REGISTRY), pytest.raises(TestbedError, match="ended at its start"):
        wait_ready(layout)
