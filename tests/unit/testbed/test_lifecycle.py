"""What starting and removing decide by themselves; nothing here starts an engine."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from coldstart.errors import TestbedError, TestbedHeldError, UsageError
from coldstart.testbed import cgroups, daemon, executables, lifecycle, marker, processes
from coldstart.testbed.config import Layout, ProcessRef, Testbed, TestbedConfig, load_testbed, write_record
from coldstart.testbed.hold import hold
from coldstart.testbed.lifecycle import State, TestbedStatus, down, find, status, up
from coldstart.testbed.marker import MARKER, Claim, claim_folder, read_claim
from tests.unit.testbed.records import add_program, make_testbed, reference_to, signal_and_wait, tagged

DEAD = ProcessRef(pid=2**22 + 1, start_ticks=1, name="dockerd", role="engine")
"""No process can have that number (proc(5), pid_max)."""


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs to be root, but what is tested asks."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without privileges, whoever tests."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def said() -> list[str]:
    """What progress was told."""
    return []


def record(layout: Layout, **fields: Any) -> Testbed:
    """Write down a testbed that runs (this process stands for its engine) unless said otherwise."""
    layout.root.mkdir(exist_ok=True)
    claim_folder(layout.root, layout.id)
    testbed = make_testbed(layout.root, **{"processes": (reference_to(os.getpid(), "engine"),), **fields})
    write_record(layout.state, testbed)
    return testbed


@pytest.mark.usefixtures("as_user")
def test_starting_needs_root(root: Path, said: list[str]) -> None:
    with pytest.raises(TestbedError, match=r"needs root, .* repeat with sudo, or .* DOCKER_HOST"):
        up(TestbedConfig(root=root), said.append)


@pytest.mark.usefixtures("as_user")
def test_removing_needs_root(root: Path, said: list[str]) -> None:
    with pytest.raises(TestbedError, match="needs root"):
        down(root, said.append)


@pytest.mark.usefixtures("as_user")
def test_a_refused_start_leaves_nothing(root: Path, said: list[str]) -> None:
    with pytest.raises(TestbedError):
        up(TestbedConfig(root=root), said.append)
    assert not root.exists()


def test_without_a_record_there_is_no_testbed(layout: Layout) -> None:
    assert find(layout.root) is None


def test_a_testbed_whose_processes_run_is_found(layout: Layout) -> None:
    testbed = record(layout)
    assert find(layout.root) == testbed


def test_a_testbed_is_not_found_if_one_of_its_processes_is_gone(layout: Layout) -> None:
    record(layout, processes=(reference_to(os.getpid()), DEAD))
    assert find(layout.root) is None


def test_a_record_that_cannot_be_read_is_an_error(layout: Layout) -> None:
    layout.state.write_text("{")
    with pytest.raises(TestbedError, match="coldstart testbed down"):
        find(layout.root)


def test_where_nothing_is_a_testbed_is_down(root: Path) -> None:
    assert status(root) == TestbedStatus(state=State.DOWN, root=Path(os.path.realpath(root)))


def test_asking_for_the_status_makes_nothing(root: Path) -> None:
    status(root)
    assert not root.exists()


def test_a_start_that_did_not_end_is_a_broken_testbed(layout: Layout) -> None:
    claim_folder(layout.root, layout.id)
    found = status(layout.root)
    assert (found.state, found.problems) == (State.BROKEN, ("an earlier start or removal did not end",))


def test_processes_without_a_record_are_a_broken_testbed(layout: Layout) -> None:
    with tagged(layout, processes.ENGINE) as pid:
        found = status(layout.root)
    assert (found.state, found.problems) == (State.BROKEN, (f"sleep (process {pid}) was left running",))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[Path]]:
    """Let the engine answer or not; the sockets it was asked at."""
    asked: list[Path] = []

    def answer_with(answer: bool) -> list[Path]:
        def answers(docker_socket: Path) -> bool:
            asked.append(docker_socket)
            return answer

        monkeypatch.setattr(daemon, "answers", answers)
        return asked

    return answer_with


def add_socket(layout: Layout) -> None:
    """A file that stands for the engine's socket."""
    layout.run.mkdir()
    layout.socket.touch()


def test_a_testbed_whose_engine_answers_is_up(layout: Layout, answering: Callable[[bool], list[Path]]) -> None:
    testbed = record(layout)
    add_socket(layout)
    asked = answering(True)
    assert status(layout.root) == TestbedStatus(state=State.UP, root=layout.root, testbed=testbed)
    assert asked == [layout.socket]


def test_a_testbed_whose_engine_does_not_answer_is_broken(
    layout: Layout, answering: Callable[[bool], list[Path]]
) -> None:
    record(layout)
    add_socket(layout)
    answering(False)
    found = status(layout.root)
    assert (found.state, found.problems) == (State.BROKEN, ("the engine does not answer",))


def test_who_may_not_ask_the_engine_is_told_that_it_is_up(
    layout: Layout, answering: Callable[[bool], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(layout)
    add_socket(layout)
    answering(False)
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (layout.socket, os.W_OK))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert status(layout.root).state is State.UP


def test_root_asks_an_engine_whose_socket_is_gone(layout: Layout, answering: Callable[[bool], list[Path]]) -> None:
    record(layout)
    answering(False)
    if os.geteuid() == 0:
        assert status(layout.root).problems == ("the engine does not answer",)


def test_a_testbed_that_lost_a_process_is_broken_and_its_engine_not_asked(
    layout: Layout, answering: Callable[[bool], list[Path]]
) -> None:
    record(layout, processes=(reference_to(os.getpid()), DEAD))
    add_socket(layout)
    asked = answering(False)
    found = status(layout.root)
    assert (found.state, found.problems, asked) == (State.BROKEN, (f"dockerd (process {DEAD.pid}) is gone",), [])


def test_the_status_tells_who_holds_a_testbed(layout: Layout) -> None:
    with hold(layout.root, "run article") as holder:
        assert status(layout.root).holder == holder


def check_same(root: Path, **asked: Any) -> None:
    """Ask for this of a testbed with runc, crun, its own registry and its own data-root."""
    lifecycle._check_same(TestbedConfig(root=root, **asked), make_testbed(root))


def test_a_testbed_that_runs_serves_who_asks_for_nothing(root: Path) -> None:
    check_same(root)


def test_a_testbed_that_runs_serves_who_asks_for_what_it_has(root: Path) -> None:
    testbed = make_testbed(root)
    check_same(
        root,
        runtimes={"crun": Path("/usr/bin/crun")},
        data_root=testbed.data_root,
        registry=testbed.registry_address,
    )


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        ({"runtimes": {"crun": Path("/opt/crun")}}, "runtime crun=/opt/crun"),
        ({"runtimes": {"youki": Path("/youki")}}, "runtime youki=/youki"),
        ({"data_root": Path("/d")}, r"data-root /d \(it has .*/r/data\)"),
        ({"registry": "r:5"}, r"registry r:5 \(it has 198\.18\.0\.2:5000\)"),
    ],
)
def test_a_testbed_that_runs_without_what_was_asked_for_is_an_error_that_says_so(
    root: Path, asked: dict[str, Any], difference: str
) -> None:
    with pytest.raises(TestbedError, match=rf"is up without what was asked for: {difference}\. Remove it first"):
        check_same(root, **asked)


def test_all_that_a_testbed_lacks_is_named(root: Path) -> None:
    with pytest.raises(TestbedError, match=r"runtime x=/x, data-root /d .*, registry r:5 "):
        check_same(root, runtimes={"x": Path("/x")}, data_root=Path("/d"), registry="r:5")


def test_no_data_root_asked_for_is_fine(layout: Layout) -> None:
    lifecycle._check_data_root(layout, None)


def test_a_data_root_beside_the_root_is_fine(layout: Layout, tmp_path: Path) -> None:
    lifecycle._check_data_root(layout, tmp_path / "data")


@pytest.mark.parametrize("where", [".", "data", ".."])
def test_a_data_root_that_would_be_mixed_with_the_testbeds_state_is_refused(layout: Layout, where: str) -> None:
    path = Path(os.path.normpath(layout.root / where))
    with pytest.raises(UsageError, match=f"--data-root {path}: the testbed's own state is in {layout.root}"):
        lifecycle._check_data_root(layout, path)


def test_a_data_root_that_holds_anything_is_refused(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(TestbedError, match="has no marker of ours"):
        lifecycle._check_data_root(layout, tmp_path)


def test_a_testbed_cannot_do_without_engine_registry_and_way_out(layout: Layout, tmp_path: Path) -> None:
    """Another process of the engine, such as containerd, is started again by it."""
    sleeper = add_program(tmp_path, "dockerd", "#!/bin/sh\necho ready\nread -r never\n")
    with (
        tagged(layout, processes.ENGINE, sleeper) as engine,
        tagged(layout, processes.ENGINE),
        tagged(layout, processes.REGISTRY) as registry,
        tagged(layout, processes.EGRESS) as way_out,
        tagged(layout, processes.TOOL),
    ):
        assert {ref.pid for ref in lifecycle._daemons(layout)} == {engine, registry, way_out}


@pytest.mark.usefixtures("as_root")
def test_where_nothing_is_nothing_is_removed(root: Path, said: list[str]) -> None:
    removed = down(root, said.append)
    assert (removed, said, root.exists()) == (False, [], False)


@pytest.mark.usefixtures("as_root")
def test_a_testbed_is_removed_with_its_folder(layout: Layout, said: list[str]) -> None:
    layout.root.rmdir()
    record_in_a_folder_we_made(layout)
    assert down(layout.root, said.append)
    assert not layout.root.exists()


def record_in_a_folder_we_made(layout: Layout) -> None:
    """A testbed as a start leaves it that made its own folder."""
    claim_folder(layout.root, layout.id)
    write_record(layout.state, make_testbed(layout.root))
    layout.log.mkdir()


@pytest.mark.usefixtures("as_root")
def test_a_folder_that_was_given_is_left_empty(layout: Layout, said: list[str]) -> None:
    record(layout, processes=())
    down(layout.root, said.append)
    assert list(layout.root.iterdir()) == []


@pytest.mark.usefixtures("as_root")
def test_each_step_of_a_removal_is_told(layout: Layout, said: list[str]) -> None:
    record(layout, processes=())
    down(layout.root, said.append)
    assert said == ["ending the engine and what runs on it", f"removing {layout.root}"]


@pytest.mark.usefixtures("as_root")
def test_a_removal_ends_what_runs(layout: Layout, said: list[str]) -> None:
    record(layout, processes=())
    with tagged(layout, processes.ENGINE):
        down(layout.root, said.append)
        assert processes.find(layout) == ()


@pytest.mark.usefixtures("as_root")
def test_a_removal_removes_the_data_root_elsewhere(layout: Layout, tmp_path: Path, said: list[str]) -> None:
    marker.write(layout.root, Claim(id=layout.id, made=True, data_root=tmp_path / "data"))
    claim_folder(tmp_path / "data", layout.id)
    down(layout.root, said.append)
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("as_root")
def test_a_testbed_somebody_measures_on_is_not_removed(layout: Layout, said: list[str]) -> None:
    record(layout, processes=())
    with hold(layout.root, "run article"), pytest.raises(TestbedHeldError, match="run article"):
        down(layout.root, said.append)
    assert layout.state.exists()


@pytest.mark.usefixtures("as_root")
def test_a_folder_of_somebody_is_not_removed(layout: Layout, said: list[str]) -> None:
    (layout.root / "thesis").touch()
    with pytest.raises(TestbedError, match="has no marker of ours"):
        down(layout.root, said.append)
    assert (layout.root / "thesis").exists()


@pytest.mark.usefixtures("as_root")
def test_processes_of_a_testbed_that_lost_its_folder_are_ended(root: Path, said: list[str]) -> None:
    with tagged(Layout.of(root), processes.ENGINE):
        assert down(root, said.append)


@pytest.fixture
def equipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root, on a machine with all that a testbed needs, whose engine answers if there is one."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(daemon, "answers", lambda _: True)
    monkeypatch.setattr(executables, "require", lambda *_: {})


@pytest.mark.usefixtures("equipped")
def test_a_testbed_that_runs_is_returned(layout: Layout, said: list[str]) -> None:
    testbed = record(layout)
    assert up(TestbedConfig(root=layout.root), said.append) == testbed


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Layout]:
    """What was built anew; nothing is."""
    layouts: list[Layout] = []

    def build(layout: Layout, *_: object) -> Testbed:
        layouts.append(layout)
        return make_testbed(layout.root)

    monkeypatch.setattr(lifecycle, "_build", build)
    return layouts


@pytest.mark.usefixtures("equipped")
def test_a_testbed_whose_engine_hangs_is_started_anew(
    layout: Layout, said: list[str], built: list[Layout], answering: Callable[[bool], list[Path]]
) -> None:
    record(layout)
    answering(False)
    up(TestbedConfig(root=layout.root), said.append)
    assert (built, said[0]) == ([layout], "the engine does not answer: starting the testbed anew")


@pytest.mark.usefixtures("equipped")
def test_a_testbed_with_a_stopped_daemon_is_started_anew(layout: Layout, said: list[str], built: list[Layout]) -> None:
    record(layout)
    with tagged(layout, processes.REGISTRY) as pid:
        signal_and_wait(pid, signal.SIGSTOP)
        up(TestbedConfig(root=layout.root), said.append)
    assert (built, said[0]) == ([layout], f"sleep (process {pid}) is stopped: starting the testbed anew")


@pytest.mark.usefixtures("equipped")
def test_a_testbed_whose_engine_hangs_is_left_alone_while_somebody_measures_on_it(
    layout: Layout, said: list[str], built: list[Layout], answering: Callable[[bool], list[Path]]
) -> None:
    record(layout)
    answering(False)
    with hold(layout.root, "run article"), pytest.raises(TestbedHeldError):
        up(TestbedConfig(root=layout.root), said.append)
    assert built == []


def test_a_stopped_process_is_ended_too(layout: Layout) -> None:
    with tagged(layout, processes.ENGINE) as engine, tagged(layout, processes.REGISTRY) as blobs:
        for pid in (engine, blobs):
            signal_and_wait(pid, signal.SIGSTOP)
        begin_ns = time.monotonic_ns()
        assert processes.end(layout) == 2
    assert time.monotonic_ns() - begin_ns < 10_000_000_000


@pytest.mark.usefixtures("equipped")
def test_a_testbed_that_runs_is_returned_while_somebody_measures_on_it(layout: Layout, said: list[str]) -> None:
    testbed = record(layout)
    with hold(layout.root, "run article"):
        assert up(TestbedConfig(root=layout.root), said.append) == testbed


@pytest.mark.usefixtures("equipped")
def test_a_testbed_that_runs_otherwise_than_asked_for_is_left_alone(layout: Layout, said: list[str]) -> None:
    testbed = record(layout)
    with pytest.raises(TestbedError, match="is up without what was asked for"):
        up(TestbedConfig(root=layout.root, registry="r:5"), said.append)
    assert load_testbed(layout) == testbed


@pytest.mark.usefixtures("equipped")
def test_a_damaged_testbed_somebody_measures_on_is_left_alone(layout: Layout, said: list[str]) -> None:
    record(layout, processes=(DEAD,))
    with hold(layout.root, "run article"), pytest.raises(TestbedHeldError, match="run article"):
        up(TestbedConfig(root=layout.root), said.append)
    assert layout.state.exists()


def let_build(monkeypatch: pytest.MonkeyPatch, build: Callable[[Layout], Testbed]) -> None:
    """Let a start build this."""
    monkeypatch.setattr(lifecycle, "_build", lambda layout, *_: build(layout))


@pytest.mark.usefixtures("equipped")
def test_a_start_writes_down_what_it_built(root: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    let_build(monkeypatch, lambda layout: make_testbed(layout.root))
    built = up(TestbedConfig(root=root), said.append)
    assert load_testbed(Layout.of(root)) == built


@pytest.mark.usefixtures("equipped")
@pytest.mark.parametrize("error", [TestbedError("no"), KeyboardInterrupt()])
def test_a_start_that_fails_or_is_interrupted_leaves_nothing(
    root: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(layout: Layout) -> Testbed:
        (layout.root / "half").mkdir()
        raise error

    let_build(monkeypatch, fail)
    with pytest.raises(type(error)):
        up(TestbedConfig(root=root), said.append)
    assert not root.exists()


@pytest.mark.usefixtures("equipped")
def test_a_start_refuses_a_folder_of_somebody(layout: Layout, said: list[str]) -> None:
    (layout.root / "thesis").touch()
    with pytest.raises(TestbedError, match="has no marker of ours"):
        up(TestbedConfig(root=layout.root), said.append)


@pytest.mark.usefixtures("equipped", "built")
@pytest.mark.parametrize("registry", [None, "r:5"])
def test_a_start_refuses_a_cache_that_others_can_write_to_whatever_the_registry(
    root: Path, tmp_path: Path, said: list[str], registry: str | None
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(TestbedError, match="cache can be written to by other users"):
        up(TestbedConfig(root=root, cache=tmp_path / "cache", registry=registry), said.append)
    assert not root.exists()


@pytest.mark.usefixtures("equipped")
def test_a_start_refuses_its_data_root_before_it_makes_anything(root: Path, said: list[str]) -> None:
    with pytest.raises(UsageError, match="--data-root"):
        up(TestbedConfig(root=root, data_root=Path(os.path.realpath(root)) / "data"), said.append)
    assert not root.exists()


@pytest.mark.parametrize(("tools", "path"), [(Path("/tools"), "/tools:/usr/bin"), (None, "/usr/bin")])
@pytest.mark.usefixtures("equipped")
def test_tools_that_were_asked_for_are_found_before_the_machines_own(
    layout: Layout, said: list[str], monkeypatch: pytest.MonkeyPatch, tools: Path | None, path: str
) -> None:
    looked_in: list[str] = []
    monkeypatch.setattr(executables, "search_path", lambda: "/usr/bin")
    monkeypatch.setattr(executables, "require", lambda _, where: looked_in.append(where))
    record(layout)
    up(TestbedConfig(root=layout.root, tools=tools), said.append)
    assert looked_in == [path]


def renew(layout: Layout, said: list[str], **asked: Any) -> Claim:
    """Begin a start anew where an earlier one was."""
    return lifecycle._renewed_claim(layout, TestbedConfig(root=layout.root, **asked), said.append)


def test_a_new_start_removes_what_an_earlier_one_left_but_marker_and_hold(layout: Layout, said: list[str]) -> None:
    record(layout, processes=())
    layout.hold.touch()
    layout.log.mkdir()
    renew(layout, said)
    assert {path.name for path in layout.root.iterdir()} == {MARKER, "hold.json"}


def test_a_new_start_keeps_in_mind_who_made_the_folder(layout: Layout, said: list[str]) -> None:
    marker.write(layout.root, Claim(id=layout.id, made=True))
    assert renew(layout, said).made


def test_a_new_start_forgets_the_data_root_of_the_earlier_one(layout: Layout, tmp_path: Path, said: list[str]) -> None:
    marker.write(layout.root, Claim(id=layout.id, made=True, data_root=tmp_path / "old"))
    claim_folder(tmp_path / "old", layout.id)
    claim = renew(layout, said)
    assert (claim.data_root, (tmp_path / "old").exists()) == (None, False)


def test_what_an_earlier_start_left_is_told_of(layout: Layout, tmp_path: Path, said: list[str]) -> None:
    marker.write(layout.root, Claim(id=layout.id, made=True, data_root=tmp_path / "old"))
    claim_folder(tmp_path / "old", layout.id)
    renew(layout, said)
    assert said == ["removed what an earlier run left"]


def test_a_first_start_has_nothing_to_tell(layout: Layout, said: list[str]) -> None:
    claim_folder(layout.root, layout.id)
    renew(layout, said)
    assert said == []


def test_a_data_root_elsewhere_is_written_down_and_claimed(layout: Layout, tmp_path: Path, said: list[str]) -> None:
    claim_folder(layout.root, layout.id)
    renew(layout, said, data_root=tmp_path / "data")
    written, claimed = read_claim(layout.root), read_claim(tmp_path / "data")
    assert written is not None
    assert claimed is not None
    assert (written.data_root, claimed.id) == (tmp_path / "data", layout.id)


def test_the_controllers_that_were_given_before_are_written_down(
    layout: Layout, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "controllers", lambda _: {"/sys/fs/cgroup": ("cpu",)})
    claim_folder(layout.root, layout.id)
    assert renew(layout, said) == read_claim(layout.root)


def change(layout: Layout) -> None:
    """Change the testbed for an instant."""
    with lifecycle._changing(layout):
        """Only entered."""


def test_one_changes_a_testbed_at_a_time(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_LOCK_TIMEOUT_NS", -1)
    with (
        lifecycle._changing(layout),
        pytest.raises(TestbedError, match=f"another `coldstart testbed` is at work on {layout.root}"),
    ):
        change(layout)


def test_who_comes_second_waits_for_the_first(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    first = os.open(layout.root, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(first))
    change(layout)


def test_a_testbed_can_be_changed_again(layout: Layout) -> None:
    change(layout)
    change(layout)


def test_the_lock_leaves_no_trace(layout: Layout) -> None:
    change(layout)
    assert list(layout.root.iterdir()) == []


def test_a_testbed_that_was_removed_before_it_could_be_locked_is_an_error(root: Path) -> None:
    with pytest.raises(TestbedError, match=r"was removed by another `coldstart testbed down` meanwhile\. Repeat"):
        change(Layout.of(root))


@pytest.mark.parametrize("anew", [True, False])
def test_a_testbed_that_was_removed_while_it_was_locked_is_an_error(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    def remove_first(descriptor: int, operation: int) -> None:
        layout.root.rename(layout.root.with_name("removed"))
        if anew:
            layout.root.mkdir()
        fcntl.flock(descriptor, operation)

    monkeypatch.setattr(lifecycle, "flock", remove_first)
    with pytest.raises(TestbedError, match="was removed by another"):
        change(layout)


# --- full disks ---


def full(*_: object) -> NoReturn:
    """A disk on which there is no room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full")


@pytest.mark.usefixtures("equipped")
@pytest.mark.parametrize("room_for_nothing_at", ["hold", "_build", "write_record"])
def test_a_start_for_which_there_is_no_room_leaves_nothing(
    root: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, room_for_nothing_at: str
) -> None:
    monkeypatch.setattr(lifecycle, "_build", lambda *_: make_testbed(root))
    monkeypatch.setattr(lifecycle, room_for_nothing_at, full)
    with pytest.raises(OSError, match="No space left on device: '/full'"):
        up(TestbedConfig(root=root), said.append)
    assert not root.exists()
    assert list(root.parent.glob(".*")) == []


@pytest.mark.usefixtures("equipped")
def test_a_testbed_can_be_removed_from_a_full_disk(
    layout: Layout, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(layout)
    monkeypatch.setattr(lifecycle, "hold", full)
    assert down(layout.root, said.append)
    assert list(layout.root.iterdir()) == []


@pytest.mark.usefixtures("equipped")
def test_a_testbed_that_cannot_be_held_for_another_reason_is_left_alone(
    layout: Layout, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    record(layout)
    monkeypatch.setattr(lifecycle, "hold", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        down(layout.root, said.append)
    assert load_testbed(layout) is not None
