"""The way out: there while asked for, closed afterwards. A program of ours stands for slirp4netns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from coldstart.errors import RegistryUnreachableError, TestbedError
from coldstart.testbed import egress as module
from coldstart.testbed import registry, shell
from coldstart.testbed.config import Layout, Testbed
from coldstart.testbed.egress import egress, start_permanent
from tests.unit.testbed.records import add_program, make_testbed

# Says in a file what it was called with, then that it is ready, and lives until told to end.
SLIRP = """#!{python} -IS
import os, select, signal, sys
{at_start}
fds = dict(word[2:].split("=") for word in sys.argv if word.startswith("--") and "-fd=" in word)
with open("{record}", "w") as record:
    print(os.getpid(), os.getsid(0), os.environ.get("COLDSTART_TESTBED"), *sys.argv[1:], file=record)
os.write(int(fds["ready-fd"]), b"1")
select.select([int(fds["exit-fd"])], [], [])
"""


class Slirp:
    """What stands for slirp4netns."""

    def __init__(self, programs: Path, record: Path) -> None:
        self.programs = programs
        self.record = record
        self.install()

    def install(self, at_start: str = "") -> None:
        """Put it in place; ``at_start`` is what it does before all else."""
        text = SLIRP.format(python=sys.executable, record=self.record, at_start=at_start)
        add_program(self.programs, "slirp4netns", text)

    @property
    def words(self) -> list[str]:
        """Its process, session and mark, and the words it was called with."""
        return self.record.read_text().split()


@pytest.fixture
def slirp(programs: Path, tmp_path: Path) -> Slirp:
    """It comes up and lives until told to end."""
    return Slirp(programs, tmp_path / "record")


@pytest.fixture
def testbed(layout: Layout) -> Testbed:
    """A testbed with a registry of its own."""
    layout.log.mkdir()
    return make_testbed(layout.root)


def open_and_close(testbed: Testbed) -> None:
    """Have a way out for an instant."""
    with egress(testbed):
        """Only opened."""


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_there_is_a_way_out_for_the_block(slirp: Slirp, testbed: Testbed) -> None:
    with egress(testbed):
        assert is_alive(int(slirp.words[0]))


def test_the_way_out_is_closed_afterwards(slirp: Slirp, testbed: Testbed) -> None:
    open_and_close(testbed)
    assert not is_alive(int(slirp.words[0]))


def test_the_way_out_is_closed_after_an_error(slirp: Slirp, testbed: Testbed) -> None:
    with pytest.raises(RuntimeError), egress(testbed):
        raise RuntimeError
    assert not is_alive(int(slirp.words[0]))


def test_the_way_out_leads_from_the_engines_namespace(slirp: Slirp, testbed: Testbed) -> None:
    open_and_close(testbed)
    options = [word for word in slirp.words[3:] if "-fd=" not in word]
    assert options == ["--configure", "--mtu=65520", "--netns-type=path", str(testbed.engine_netns), "tap0"]


def test_the_way_out_is_marked_as_the_testbeds(slirp: Slirp, testbed: Testbed) -> None:
    open_and_close(testbed)
    assert slirp.words[2] == f"{testbed.id}:egress"


def test_the_way_out_is_not_closed_by_an_interrupt_at_our_terminal(slirp: Slirp, testbed: Testbed) -> None:
    open_and_close(testbed)
    assert slirp.words[0] == slirp.words[1]


def test_a_way_out_that_does_not_end_is_killed(slirp: Slirp, testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_END_TIMEOUT_S", 0.005)
    slirp.install("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with egress(testbed):
        pid = int(slirp.words[0])
    assert not is_alive(pid)


def test_a_way_out_that_does_not_come_up_is_an_error_with_its_last_words(slirp: Slirp, testbed: Testbed) -> None:
    slirp.install("print('no /dev/net/tun', file=sys.stderr); sys.exit(1)")
    with pytest.raises(TestbedError, match=r"slirp4netns did not come up\. Its log ends:\n  no /dev/net/tun"):
        open_and_close(testbed)


def test_a_way_out_that_stays_silent_is_an_error(
    slirp: Slirp, testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READY_TIMEOUT_S", 0.005)
    slirp.install("signal.pause()")
    with pytest.raises(TestbedError, match="did not come up"):
        open_and_close(testbed)


def test_a_way_out_that_says_anything_else_is_an_error(slirp: Slirp, testbed: Testbed) -> None:
    slirp.install("os.write = lambda fd, _, write=os.write: write(fd, b'0')")
    with pytest.raises(TestbedError, match="did not come up"):
        open_and_close(testbed)


@pytest.mark.parametrize("at_start", ["", "sys.exit(1)"])
def test_no_descriptor_is_left_open(slirp: Slirp, testbed: Testbed, at_start: str) -> None:
    slirp.install(at_start)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  names are compared, not paths
    try:
        open_and_close(testbed)
    except TestbedError:
        """It did not come up."""
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208  the same


@pytest.fixture
def _no_slirp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without it."""
    monkeypatch.setattr(module, "find", lambda *_: None)


@pytest.mark.usefixtures("_no_slirp")
def test_without_slirp4netns_there_is_no_way_out(testbed: Testbed) -> None:
    with pytest.raises(TestbedError, match=r"building needs slirp4netns, .*Run scripts/setup"):
        open_and_close(testbed)


@pytest.mark.usefixtures("_no_slirp")
def test_a_missing_program_leaves_no_descriptor_open(testbed: Testbed) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  names are compared, not paths
    with pytest.raises(TestbedError):
        open_and_close(testbed)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208  the same


def test_a_testbed_with_an_external_registry_keeps_the_way_out_it_has(slirp: Slirp, testbed: Testbed) -> None:
    open_and_close(make_testbed(testbed.root, registry_netns=None))
    assert not slirp.record.exists()


class Spawned:
    """Takes the place of starting a daemon, and keeps what it would have been started with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argv: list[str] = []
        self.options: dict[str, object] = {}
        monkeypatch.setattr(shell, "spawn", self)
        monkeypatch.setattr(module, "_POLL_S", 0)

    def __call__(self, argv: list[object], **options: object) -> None:
        """Keep."""
        self.argv, self.options = [str(word) for word in argv], options


class Registry:
    """An external registry that is reached at the third attempt; what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Path, str]] = []
        monkeypatch.setattr(registry, "check_external", self)

    def __call__(self, netns: Path, address: str) -> None:
        """Answer the third."""
        self.asked.append((netns, address))
        if len(self.asked) < 3:
            raise RegistryUnreachableError("no route to host")


def test_a_permanent_way_out_is_started_as_the_testbeds(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    spawned = Spawned(monkeypatch)
    Registry(monkeypatch)
    start_permanent(layout, "r:5", "/bin")
    assert (spawned.argv, spawned.options) == (
        ["slirp4netns", "--configure", "--mtu=65520", "--netns-type=path", str(layout.engine_netns), "tap0"],
        {"tag": f"{layout.id}:egress", "path": "/bin", "home": layout.run, "log": layout.log / "egress.log"},
    )


def test_a_permanent_way_out_is_waited_for_until_the_registry_is_reached(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spawned(monkeypatch)
    external = Registry(monkeypatch)
    start_permanent(layout, "r:5", "/bin")
    assert external.asked == [(layout.engine_netns, "r:5")] * 3


def test_a_registry_that_stays_out_of_reach_is_an_error(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    Spawned(monkeypatch)
    Registry(monkeypatch)
    monkeypatch.setattr(module, "_READY_TIMEOUT_S", -1)
    with pytest.raises(RegistryUnreachableError, match="no route to host"):
        start_permanent(layout, "r:5", "/bin")
