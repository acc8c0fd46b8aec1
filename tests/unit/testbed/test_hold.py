"""One user at a time, within a process and across processes."""

from __future__ import annotations

import os
import pwd
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import flock
from pathlib import Path

import pytest

from coldstart.errors import TestbedError, TestbedHeldError, UnsafeFileError
from coldstart.testbed import hold as module
from coldstart.testbed.config import Layout
from coldstart.testbed.hold import Holder, hold, hold_engine, holder_of, user_name

HOLD_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from coldstart.testbed.hold import hold, hold_engine
with hold(Path(sys.argv[2]), "run article") if sys.argv[1] == "testbed" else hold_engine(sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_process(what: str, where: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a ``testbed`` or an ``engine`` until it is killed, at the end at the latest."""
    words = [sys.executable, "-c", HOLD_UNTIL_KILLED, what, str(where)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def try_to_hold(root: Path) -> None:
    """Hold for an instant."""
    with hold(root, "second"):
        """Only held."""


def try_to_hold_engine(url: str) -> None:
    """Hold for an instant."""
    with hold_engine(url):
        """Only held."""


@pytest.fixture
def url(root: Path) -> str:
    """The address of an engine that nobody else means."""
    return f"unix://{root}/docker.sock"


def test_a_holder_is_who_holds_it(layout: Layout) -> None:
    with hold(layout.root, "first") as holder:
        assert (holder.pid, holder.user, holder.purpose) == (os.getpid(), user_name(), "first")


def test_a_holder_tells_since_when_in_utc(layout: Layout) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    with hold(layout.root, "first") as holder:
        assert before <= datetime.fromisoformat(holder.since) <= datetime.now(UTC)


def test_a_holder_is_named_in_words() -> None:
    holder = Holder(pid=7, user="ada", purpose="run article", since="2026-11-24T05:15:30+00:00")
    assert str(holder) == "process 7 of ada (run article, since 2026-11-24T05:15:30+00:00)"


def test_a_second_one_is_told_who_the_first_is(layout: Layout) -> None:
    with (
        hold(layout.root, "first") as holder,
        pytest.raises(TestbedHeldError, match=rf"held by process {holder.pid} of .* \(first, .*COLDSTART_STATE_DIR"),
    ):
        try_to_hold(layout.root)


def test_a_second_one_does_not_wipe_out_the_firsts_name(layout: Layout) -> None:
    with hold(layout.root, "first") as holder:
        with pytest.raises(TestbedHeldError):
            try_to_hold(layout.root)
        assert holder_of(layout.root) == holder


def test_a_holder_who_has_not_written_their_name_yet_is_somebody(layout: Layout) -> None:
    with hold(layout.root, "first"):
        os.truncate(layout.hold, 0)
        with pytest.raises(TestbedHeldError, match="held by somebody"):
            try_to_hold(layout.root)


def test_anybody_can_see_who_holds_it(layout: Layout) -> None:
    with hold(layout.root, "first") as holder:
        assert holder_of(layout.root) == holder


def test_a_shorter_name_leaves_nothing_of_a_longer_one(layout: Layout) -> None:
    layout.hold.write_text("x" * 1000)
    with hold(layout.root, "first") as holder:
        assert holder_of(layout.root) == holder


def test_nobody_holds_it_afterwards(layout: Layout) -> None:
    try_to_hold(layout.root)
    assert holder_of(layout.root) is None


def test_no_name_is_left_afterwards(layout: Layout) -> None:
    try_to_hold(layout.root)
    assert layout.hold.read_bytes() == b""


def test_it_can_be_held_again(layout: Layout) -> None:
    try_to_hold(layout.root)
    try_to_hold(layout.root)


def test_it_is_let_go_of_after_an_error(layout: Layout) -> None:
    with pytest.raises(RuntimeError), hold(layout.root, "first"):
        raise RuntimeError
    assert holder_of(layout.root) is None


def test_it_is_held_across_processes(layout: Layout) -> None:
    with (
        another_process("testbed", layout.root) as other,
        pytest.raises(TestbedHeldError, match=rf"held by process {other.pid} of .*\(run article"),
    ):
        try_to_hold(layout.root)


def test_the_dead_do_not_hold_it(layout: Layout) -> None:
    with another_process("testbed", layout.root) as other:
        other.kill()
        other.wait()
        assert holder_of(layout.root) is None


def test_what_the_dead_held_can_be_held(layout: Layout) -> None:
    with another_process("testbed", layout.root) as other:
        other.kill()
        other.wait()
        try_to_hold(layout.root)


def test_a_process_that_was_started_meanwhile_does_not_keep_hold(layout: Layout) -> None:
    """The lock would live on in a daemon that inherited its descriptor."""
    with hold(layout.root, "first"):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        assert holder_of(layout.root) is None
    finally:
        child.kill()
        child.wait()


def test_without_a_testbed_there_is_nothing_to_hold(root: Path) -> None:
    with pytest.raises(TestbedError, match=rf"no testbed in {root}\. Start one: coldstart testbed up"):
        try_to_hold(root)


def test_a_file_is_no_testbed_to_hold(root: Path) -> None:
    root.touch()
    with pytest.raises(TestbedError, match="no testbed in"):
        try_to_hold(root)


def test_without_a_testbed_nobody_holds_it(root: Path) -> None:
    assert holder_of(root) is None


def test_a_testbed_that_is_not_for_this_user_asks_for_root(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(TestbedError, match=r"hold\.json: permission denied\. Run as root"):
        try_to_hold(layout.root)


@pytest.mark.parametrize("anew", [True, False])
def test_a_testbed_that_was_removed_meanwhile_is_not_held(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """It goes between our opening its file and our locking it; another may already be in its place."""

    def remove_first(descriptor: int, operation: int) -> None:
        layout.hold.unlink()
        if anew:
            layout.hold.touch()
        flock(descriptor, operation)

    monkeypatch.setattr(module, "flock", remove_first)
    with pytest.raises(TestbedError, match=r"was just removed\. Start it: coldstart testbed up"):
        try_to_hold(layout.root)


def test_who_called_sudo_is_the_user() -> None:
    assert user_name({"SUDO_USER": "ada"}) == "ada"


@pytest.mark.parametrize("environ", [{}, {"SUDO_USER": ""}])
def test_without_sudo_the_processs_user_is(environ: dict[str, str]) -> None:
    name = f"user {os.getuid()}"
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        """A container's user without a name."""
    assert user_name(environ) == name


def test_a_user_without_a_name_goes_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_123)
    assert user_name({}) == "user 4000123"


def test_a_second_one_on_an_engine_is_told_which_process_the_first_is(url: str) -> None:
    with (
        hold_engine(url),
        pytest.raises(TestbedHeldError, match=rf"the engine at {url} is being measured by process {os.getpid()}\."),
    ):
        try_to_hold_engine(url)


def test_an_engine_is_held_across_processes(url: str) -> None:
    with (
        another_process("engine", url) as other,
        pytest.raises(TestbedHeldError, match=rf"by process {other.pid}\. Wait for it"),
    ):
        try_to_hold_engine(url)


def test_the_dead_do_not_hold_an_engine(url: str) -> None:
    with another_process("engine", url) as other:
        other.kill()
        other.wait()
        try_to_hold_engine(url)


def test_an_engine_can_be_held_again(url: str) -> None:
    try_to_hold_engine(url)
    try_to_hold_engine(url)


def test_an_engine_is_let_go_of_after_an_error(url: str) -> None:
    with pytest.raises(RuntimeError), hold_engine(url):
        raise RuntimeError
    try_to_hold_engine(url)


def test_two_engines_are_held_side_by_side(url: str) -> None:
    with hold_engine(url):
        try_to_hold_engine(f"{url}-2")


def test_a_held_engine_is_held_in_no_file(layout: Layout) -> None:
    with hold_engine(f"unix://{layout.root}/docker.sock"):
        assert list(layout.root.iterdir()) == []


def test_a_process_that_was_started_meanwhile_does_not_keep_hold_of_an_engine(url: str) -> None:
    with hold_engine(url):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        try_to_hold_engine(url)
    finally:
        child.kill()
        child.wait()


def test_a_holder_that_ended_this_instant_is_unknown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "listener_pid", lambda _: None)
    with hold_engine(url), pytest.raises(TestbedHeldError, match="by process unknown"):
        try_to_hold_engine(url)


def test_an_engine_that_cannot_be_held_for_another_reason_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(PermissionError):
        try_to_hold_engine(url)


def test_nobody_else_can_lock_the_file_of_a_hold(layout: Layout) -> None:
    layout.hold.touch(0o644)  # an older version's
    with hold(layout.root, "first"):
        assert layout.hold.stat().st_mode & 0o777 == 0o600


def test_a_hold_is_not_written_through_a_link(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    layout.hold.symlink_to(tmp_path / "precious")
    with pytest.raises(UnsafeFileError, match="is a link"):
        try_to_hold(layout.root)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_testbed_in_a_folder_that_others_can_write_to_is_not_held(layout: Layout) -> None:
    layout.root.chmod(0o777)
    with pytest.raises(TestbedError, match="can be written to by other users"):
        try_to_hold(layout.root)


def test_it_is_held_though_there_is_no_room_for_the_holders_name(layout: Layout) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with hold(layout.root, "test"), pytest.raises(TestbedHeldError, match="is held by somebody"):
            try_to_hold(layout.root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
