"""The testbed on this machine: it leaves the host as it was, whatever happens to it, and its user is alone on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from coldstart.engines import connect
from coldstart.engines.base import EngineAddress
from coldstart.engines.netns import inside
from coldstart.errors import TestbedError, TestbedHeldError
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.images.host import engine_client, platform_of
from coldstart.testbed import lifecycle, processes
from coldstart.testbed.config import RESOLVER, Layout, Testbed, TestbedConfig
from coldstart.testbed.hold import hold
from coldstart.testbed.lifecycle import State
from tests.engine import host_snapshot

pytestmark = pytest.mark.engine

ROOT = Path("/var/lib/coldstart-test-2")


@pytest.fixture
def config(testbed_config: TestbedConfig, tmp_path: Path) -> Iterator[TestbedConfig]:
    """Another testbed than the one the session shares, with a registry storage of its own; down before and after."""
    own = msgspec.structs.replace(testbed_config, root=ROOT, cache=tmp_path / "cache")
    lifecycle.down(ROOT, _silent)
    yield own
    lifecycle.down(ROOT, _silent)


def _silent(_: str) -> None:
    """Say nothing."""


def _coldstart(*arguments: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "coldstart", *arguments],
        env={**os.environ, "COLDSTART_STATE_DIR": str(ROOT), "COLDSTART_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_comes_up_where_systemd_has_mounted_a_bpf_filesystem(config: TestbedConfig, tmp_path: Path) -> None:
    """It refuses names with a dot, and so to be asked for our marker."""
    bpf = tmp_path / "bpf"
    bpf.mkdir()
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", 'mount -t bpf bpf "$0" && exec "$@"', str(bpf)),
            *(sys.executable, "-m", "coldstart", "testbed", "up"),
        ],
        env={**os.environ, "COLDSTART_STATE_DIR": str(ROOT), "COLDSTART_CACHE_DIR": str(config.cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert lifecycle.find(ROOT) is not None


def test_the_host_is_the_same_before_up_and_after_down(config: TestbedConfig) -> None:
    before = host_snapshot.take()
    lifecycle.up(config, _silent)
    lifecycle.down(config.root, _silent)
    assert host_snapshot.difference(before, host_snapshot.take()) == []


def test_a_snapshot_sees_a_testbed_that_is_up(config: TestbedConfig) -> None:
    """Otherwise the test above could not fail."""
    before = host_snapshot.take()
    lifecycle.up(config, _silent)
    seen = {line.split(":")[0] for line in host_snapshot.difference(before, host_snapshot.take())}
    assert {"+ mount", "+ process"} <= seen


def test_while_it_is_up_no_link_route_firewall_or_sysctl_of_the_host_differs(config: TestbedConfig) -> None:
    kinds = ("link", "address", "route", "netns", "firewall", "sysctl", "docker's own")
    before = [line for line in host_snapshot.take() if line.startswith(kinds)]
    lifecycle.up(config, _silent)
    after = [line for line in host_snapshot.take() if line.startswith(kinds)]
    assert host_snapshot.difference(tuple(before), tuple(after)) == []


@contextlib.contextmanager
def _stick(folder: Path, *, within: tuple[str, ...] = ()) -> Iterator[Path]:
    """A file system of its own on a loop device, mounted at ``folder``; the file that says it is in use."""
    disk = folder.with_name("disk")
    with disk.open("wb") as file:
        file.truncate(8 * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    folder.mkdir()
    subprocess.run([*within, "mount", "-o", "loop", disk, folder], check=True)
    try:
        yield next(
            backing
            for backing in Path("/sys/block").glob("loop*/loop/backing_file")
            if backing.read_text().strip() == str(disk)
        )
    finally:
        subprocess.run([*within, "umount", folder], check=False, capture_output=True)


def _is_released(device: Path) -> bool:
    """Whether the loop device let go of its file, which it does once nobody has it mounted."""
    deadline = time.monotonic() + 10
    while device.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not device.exists()


def test_a_stick_that_the_host_unmounts_is_released_though_the_testbed_is_up(
    config: TestbedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever folder it was started: daemons that stay in it would keep the stick, too."""
    folder = tmp_path / "my stick"
    with _stick(folder) as device:
        monkeypatch.chdir(folder)
        lifecycle.up(config, _silent)
        monkeypatch.chdir("/")
        subprocess.run(["umount", folder], check=True)
        assert _is_released(device)
        assert lifecycle.status(config.root).state is State.UP


def test_it_is_released_too_where_mounts_propagate_as_systemd_has_it(config: TestbedConfig, tmp_path: Path) -> None:
    with subprocess.Popen(["unshare", "--mount", "--propagation", "shared", "sleep", "600"]) as host:
        within = ("nsenter", f"--mount=/proc/{host.pid}/ns/mnt", "--wdns=/")
        while Path(f"/proc/{host.pid}/comm").read_text().strip() != "sleep":
            time.sleep(0.01)
        try:
            with _stick(tmp_path / "stick", within=within) as device:
                up = [*within, sys.executable, "-m", "coldstart", "testbed"]
                environment = {
                    **os.environ,
                    "COLDSTART_STATE_DIR": str(ROOT),
                    "COLDSTART_CACHE_DIR": str(config.cache),
                }
                before = subprocess.check_output([*within, "cat", "/proc/self/mountinfo"], text=True)
                subprocess.run([*up, "up"], env=environment, check=True, capture_output=True)
                subprocess.run([*within, "umount", tmp_path / "stick"], check=True)
                assert _is_released(device)
                subprocess.run([*up, "down"], env=environment, check=True, capture_output=True)
                after = subprocess.check_output([*within, "cat", "/proc/self/mountinfo"], text=True)
                assert [line for line in after.splitlines() if line not in before] == []
        finally:
            host.kill()


def test_up_twice_gives_the_testbed_that_is_up(config: TestbedConfig) -> None:
    first = lifecycle.up(config, _silent)
    said: list[str] = []
    assert (lifecycle.up(config, said.append), said) == (first, [])


def test_down_twice_is_fine_and_says_that_there_was_none(config: TestbedConfig) -> None:
    lifecycle.up(config, _silent)
    assert (lifecycle.down(config.root, _silent), lifecycle.down(config.root, _silent)) == (True, False)


def test_a_second_up_that_asks_for_something_else_is_told_what_runs(config: TestbedConfig, tmp_path: Path) -> None:
    lifecycle.up(config, _silent)
    with pytest.raises(TestbedError, match=r"data-root .* Remove it first"):
        lifecycle.up(msgspec.structs.replace(config, data_root=tmp_path / "elsewhere"), _silent)


def test_every_installed_runtime_and_every_added_one_is_offered(config: TestbedConfig) -> None:
    crun = shutil.which("crun")
    assert crun is not None
    bed = lifecycle.up(msgspec.structs.replace(config, runtimes={"crun-again": Path(crun)}), _silent)
    engine = connect("docker", EngineAddress(url=bed.docker_host, where="testbed"))
    assert {"runc", "crun", "crun-again"} <= {facts.name for facts in engine.runtimes()}
    engine.close()


def test_a_data_root_asked_for_is_used_and_emptied_again(config: TestbedConfig, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    bed = lifecycle.up(msgspec.structs.replace(config, data_root=folder), _silent)
    used = (bed.data_root, any(folder.iterdir()))
    lifecycle.down(config.root, _silent)
    assert (used, list(folder.iterdir())) == ((folder, True), [])


def test_a_data_root_that_holds_something_else_is_refused_and_left_alone(config: TestbedConfig, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    with pytest.raises(TestbedError, match="no marker of ours, so it is left alone"):
        lifecycle.up(msgspec.structs.replace(config, data_root=tmp_path), _silent)
    assert (tmp_path / "theirs").read_text() == "precious"


def test_who_comes_second_is_told_who_holds_it(config: TestbedConfig) -> None:
    lifecycle.up(config, _silent)
    with hold(config.root, "measuring"):
        second = _coldstart("testbed", "down", cache=config.cache)
        _, said = second.communicate()
    assert second.returncode == 4
    assert f"is held by process {os.getpid()} of " in said
    assert "(measuring, since" in said
    assert lifecycle.status(config.root).state is State.UP


def test_a_held_testbed_is_not_repaired_under_its_holder(config: TestbedConfig) -> None:
    lifecycle.up(config, _silent)
    with hold(config.root, "measuring"), pytest.raises(TestbedHeldError):
        lifecycle.down(config.root, _silent)


@pytest.mark.parametrize("victim", ["dockerd", "containerd", "docker-registry"])
def test_down_after_a_kill_leaves_the_host_as_it_was(config: TestbedConfig, victim: str) -> None:
    before = host_snapshot.take()
    lifecycle.up(config, _silent)
    for ref in processes.find(Layout.of(config.root)):
        if ref.name == victim[:15]:
            os.kill(ref.pid, signal.SIGKILL)
    lifecycle.down(config.root, _silent)
    assert host_snapshot.difference(before, host_snapshot.take()) == []


def test_a_killed_engine_is_told_by_status_and_repaired_by_up(config: TestbedConfig) -> None:
    bed = lifecycle.up(config, _silent)
    os.kill(bed.processes[-1].pid, signal.SIGKILL)
    while processes.is_alive(bed.processes[-1]):
        time.sleep(0.01)
    broken = lifecycle.status(config.root)
    lifecycle.up(config, _silent)
    assert (broken.state, lifecycle.status(config.root).state) == (State.BROKEN, State.UP)
    assert "is gone" in broken.problems[0]


@pytest.mark.parametrize(
    "step", ["making network namespaces", "starting the registry", "preparing storage", "starting the engine"]
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_up_that_is_ended_midway_leaves_what_down_removes(
    config: TestbedConfig, step: str, number: signal.Signals
) -> None:
    before = host_snapshot.take()
    starting = _coldstart("testbed", "up", cache=config.cache)
    assert starting.stderr is not None
    next(line for line in starting.stderr if line.startswith(step))
    starting.send_signal(number)
    starting.communicate()
    assert starting.returncode == (-9 if number is signal.SIGKILL else 130)
    lifecycle.down(config.root, _silent)
    assert host_snapshot.difference(before, host_snapshot.take()) == []


def test_an_up_that_is_interrupted_cleans_up_by_itself(config: TestbedConfig) -> None:
    before = host_snapshot.take()
    starting = _coldstart("testbed", "up", cache=config.cache)
    assert starting.stderr is not None
    next(line for line in starting.stderr if line.startswith("starting the engine"))
    starting.send_signal(signal.SIGINT)
    starting.communicate()
    assert host_snapshot.difference(before, host_snapshot.take()) == []
    assert not ROOT.exists()


def test_a_down_that_is_killed_is_finished_by_the_next(config: TestbedConfig) -> None:
    before = host_snapshot.take()
    lifecycle.up(config, _silent)
    ending = _coldstart("testbed", "down", cache=config.cache)
    assert ending.stderr is not None
    next(line for line in ending.stderr if line.startswith("ending the engine"))
    ending.kill()
    ending.communicate()
    lifecycle.down(config.root, _silent)
    assert host_snapshot.difference(before, host_snapshot.take()) == []


def test_a_run_is_taken_down_though_ctrl_c_ends_what_reads_its_messages_first(
    config: TestbedConfig, testbed_config: TestbedConfig, testbed: Testbed, tmp_path: Path
) -> None:
    with engine_client(testbed.docker_host) as client:
        platform = platform_of(client)
    base = ensure_base(testbed_config.cache, "alpine", platform, BaseSource.AUTO, _silent)
    what = f"--image {base.archive} --ready log:never --timeout 20s --tier warm --runtime runc -n 1 -- sleep 60"
    over, held = os.pipe()  # by all of the pipeline, until its last process has ended
    pipeline = subprocess.Popen(
        ["sh", "-c", f"{sys.executable} -m coldstart run {what} 2>&1 | tee log"],
        env={**os.environ, "COLDSTART_STATE_DIR": str(ROOT), "COLDSTART_CACHE_DIR": str(config.cache)},
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        pass_fds=(held,),
    )
    os.close(held)
    log = tmp_path / "log"
    while pipeline.poll() is None and not (log.exists() and "1 cells," in log.read_text()):
        time.sleep(0.05)
    assert lifecycle.find(ROOT) is not None
    os.killpg(pipeline.pid, signal.SIGINT)
    assert os.read(over, 1) == b""
    os.close(over)
    pipeline.wait()
    assert not ROOT.exists()


def test_the_resolvers_address_refuses_at_once_and_more_often_than_the_kernel_would_by_itself(testbed: Testbed) -> None:
    """Another error would be waited beyond, and the kernel by itself limits such answers to one a second."""
    begin = time.monotonic()
    for _ in range(20):
        with inside(testbed.engine_netns):
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with asking:
            asking.settimeout(2)
            asking.connect((RESOLVER, 53))
            asking.send(b"?")
            with pytest.raises(ConnectionRefusedError):
                asking.recv(100)
    assert time.monotonic() - begin < 10  # 20 s at the kernel's own pace
