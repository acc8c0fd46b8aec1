"""The kinds of faults, how one is injected, and what is judged afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.fault_ground import HANG, Ended, Ground, most_failed
from benchmarks.fault_proxy import FaultProxy, Misbehaviour, Wanted
from coldstart.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_OK
from coldstart.testbed import lifecycle
from coldstart.testbed.config import Layout, ProcessRef

_INTERPRETER_S = 0.3  # before that it is Python's own beginning that a signal meets
_SIGNAL_LIMIT_S = 20.0
_RUN_LIMIT_S = 75.0  # its budget of 30 s, a start and its take-down, and to spare
_DOWN_EVERY = 4
_DISK_MB = {"results": 1, "state": 400, "cache": 64}

_FAILED = frozenset({EXIT_OK, EXIT_ENVIRONMENT})
_STOPPED = frozenset({EXIT_OK, EXIT_INTERRUPTED})


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One injected fault: what it was, how the run ended, and what was found wrong with that."""

    number: int
    kind: str
    seed: int
    detail: str
    instant_ms: int
    exit_code: int | None
    seconds: float
    announced: int
    stored: int
    findings: tuple[str, ...]
    last_line: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of a kind."""

    kind: str
    faults: int
    exit_codes: dict[str, int]
    samples_lost: int
    unreadable_runs: int
    leftovers: int
    hangs: int
    tracebacks: int
    other_findings: int


@dataclass
class Scene:
    """One fault as it happens: what its run is given, and what it does to it."""

    ground: Ground
    rng: random.Random
    process: subprocess.Popen[bytes] | None = None
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    runtime: str = "runc"
    stdout: Path | None = None
    layout: Layout | None = None
    disk: Path | None = None  # a small file system that this fault fills, mounted until it is over
    detail: str = ""
    stopped: list[ProcessRef] = field(default_factory=list)
    strike_at: Callable[[], None] = lambda: None

    @property
    def pid(self) -> int:
        """The run's."""
        assert self.process is not None
        return self.process.pid


Surroundings = Callable[[Scene], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of fault.

    ``own`` lets the run bring up and take down its testbed itself; ``spoils`` says that the testbed is of no use
    afterwards; ``since_strike`` counts the limit from the fault, not from the run's beginning.
    """

    name: str
    strike: Callable[[Scene], None]
    allowed: frozenset[int]
    surroundings: Surroundings = lambda _: contextlib.nullcontext()
    own: bool = False
    spoils: bool = False
    limit_s: float = _RUN_LIMIT_S


def inject(ground: Ground, kind: Kind, number: int, seed: int) -> Fault:
    """Inject one fault, and judge what became of the run, its samples and the host."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311  instants, not secrets
    scene = Scene(ground=ground, rng=rng)
    findings: list[str] = []
    ground.clear_results()
    if kind.own and ground.is_up():
        ground.down()
    instant_s = 0.0
    with kind.surroundings(scene):
        if not kind.own and not ground.is_up():
            ground.up()
        scene.process = ground.start(scene.arguments, scene.environment, runtime=scene.runtime, stdout=scene.stdout)
        instant_s = _wait_for_the_instant(scene, kind)
        kind.strike(scene)
        ended = ground.wait(scene.process, kind.limit_s)
        for ref in scene.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(ref.pid, signal.SIGCONT)
        samples, unreadable = ground.stored()
        announced = ground.announced(ended)
        findings += [*findings_of_run(kind.allowed, ended, announced, len(samples)), *unreadable]
        if ended.code == EXIT_OK and most_failed(samples):
            findings.append("ended with 0 though most starts failed")
        must_go = kind.spoils or kind.own or scene.layout is not None or number % _DOWN_EVERY == 0
        if must_go:
            findings += of_the_host(ground, scene)
    return Fault(
        number=number,
        kind=kind.name,
        seed=seed,
        detail=scene.detail,
        instant_ms=round(instant_s * 1000),
        exit_code=ended.code,
        seconds=round(instant_s + ended.seconds, 2),
        announced=announced,
        stored=len(samples),
        findings=tuple(findings),
        last_line=ended.last_line,
    )


def _wait_for_the_instant(scene: Scene, kind: Kind) -> float:
    """Some time between the run's beginning and the end that a clean one has, with its testbed's if it has its own."""
    assert scene.process is not None
    longest = scene.ground.clean_s * (1.4 if kind.own else 0.9)
    instant_s = scene.rng.uniform(_INTERPRETER_S, longest)
    begun = time.monotonic()
    while time.monotonic() - begun < instant_s and scene.process.poll() is None:
        time.sleep(0.005)
    return time.monotonic() - begun


def findings_of_run(allowed: frozenset[int], ended: Ended, announced: int, stored: int) -> Iterator[str]:
    """What is wrong with how a run ended and what it stored, each beginning with what the table counts."""
    if ended.code is None:
        yield f"hang: still running {ended.seconds:.0f} s after the fault"
    elif ended.code not in allowed:
        yield f"exit code {ended.code}: {ended.last_line}"
    said = ended.out + ended.err
    if "Traceback (most recent call last)" in said:
        yield f"traceback: {ended.last_line}"
    if "unexpected error" in said:
        yield f"traceback, in a file: {ended.last_line}"
    if announced > stored:
        yield f"samples lost: {announced} were said to have ended, {stored} are stored"


def of_the_host(ground: Ground, scene: Scene) -> Iterator[str]:
    """Take the testbed down, and what is wrong with that or still there, besides the disk that the fault filled."""
    environment = scene.environment
    ended = ground.down(environment)
    if ended.code != EXIT_OK:
        yield f"hang: testbed down ended with {ended.code}: {ended.last_line}"
    if "Traceback" in ended.err:
        yield f"traceback: testbed down: {ended.last_line}"
    left = [one for one in ground.leftovers(scene.layout) if one != f"mount {scene.disk}"]
    for one in left:
        yield f"leftover: {one}"
    if left:
        ground.down(environment)
        for path in (ground.work / "tmp").iterdir():
            path.unlink() if path.is_file() else None


def table(faults: Sequence[Fault]) -> tuple[Row, ...]:
    """One row for each kind, in the order in which they came."""
    return tuple(
        _row(name, [fault for fault in faults if fault.kind == name])
        for name in sorted({fault.kind for fault in faults})
    )


def _row(name: str, faults: Sequence[Fault]) -> Row:
    codes: dict[str, int] = {}
    for fault in faults:
        code = "killed" if fault.exit_code is None else str(fault.exit_code)
        codes[code] = codes.get(code, 0) + 1
    starts = ("samples lost", "unreadable run", "export ended", "leftover", "hang", "traceback")
    counts = {word: sum(one.startswith(word) for fault in faults for one in fault.findings) for word in starts}
    return Row(
        kind=name,
        faults=len(faults),
        exit_codes=codes,
        samples_lost=sum(max(0, fault.announced - fault.stored) for fault in faults),
        unreadable_runs=counts["unreadable run"] + counts["export ended"],
        leftovers=counts["leftover"],
        hangs=counts["hang"],
        tracebacks=counts["traceback"],
        other_findings=sum(not one.startswith(starts) for fault in faults for one in fault.findings),
    )


def kinds() -> tuple[Kind, ...]:
    """Every kind."""
    return (*_of_the_harness(), *_of_daemons(), *_of_disks(), *_of_the_registry(), *_of_runtimes())


# --- the harness ----------------------------------------------------------------------------------------------------


def _of_the_harness() -> Iterator[Kind]:
    for own, where in ((False, ""), (True, ", testbed of its own")):
        killed = frozenset({EXIT_OK, -signal.SIGKILL})
        yield Kind(name=f"kill -9 of the run{where}", strike=_send(signal.SIGKILL), allowed=killed, own=own)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            yield Kind(
                name=f"{number.name} to the run{where}",
                strike=_send(number),
                allowed=_STOPPED,
                own=own,
                limit_s=_SIGNAL_LIMIT_S,
            )
    yield Kind(
        name="SIGINT twice to the run", strike=_send(signal.SIGINT, 2), allowed=_STOPPED, limit_s=_SIGNAL_LIMIT_S
    )
    yield Kind(name="SIGSTOP of the run, then SIGCONT", strike=_pause_run, allowed=_FAILED)


def _send(number: signal.Signals, times: int = 1) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        for turn in range(times):
            if turn:
                time.sleep(scene.rng.uniform(0, 0.5))
            _signal(scene.pid, number)

    return strike


def _pause_run(scene: Scene) -> None:
    _signal(scene.pid, signal.SIGSTOP)
    time.sleep(scene.rng.uniform(0.2, 2))
    _signal(scene.pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# --- the testbed's processes ----------------------------------------------------------------------------------------


_PROCESSES = {
    "dockerd": ("dockerd",),
    "containerd": ("containerd", "docker-containerd"),
    "shim": ("containerd-shim-runc-v2", "containerd-shim"),
    "registry": ("docker-registry", "registry"),
}


def _of_daemons() -> Iterator[Kind]:
    for name, named in _PROCESSES.items():
        for what, strike in (
            ("kill -9", _strike_process(named, signal.SIGKILL)),
            ("SIGSTOP", _strike_process(named, signal.SIGSTOP)),
            ("SIGSTOP, then SIGCONT,", _strike_process(named, signal.SIGSTOP, pause=True)),
        ):
            yield Kind(name=f"{what} of {name}", strike=strike, allowed=_FAILED, spoils=True)


def _strike_process(names: tuple[str, ...], number: int, *, pause: bool = False) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        assert scene.process is not None
        found = None
        while found is None and scene.process.poll() is None:  # a shim lives only while its container does
            found = scene.ground.process(*names)
        if found is None:
            scene.detail = "the run had ended"
            return
        scene.detail = f"{found.name}"
        _signal(found.pid, number)
        if pause:
            time.sleep(scene.rng.uniform(0.2, 3))
            _signal(found.pid, signal.SIGCONT)
        elif number == signal.SIGSTOP:
            scene.stopped.append(found)

    return strike


# --- disks ----------------------------------------------------------------------------------------------------------


def _of_disks() -> Iterator[Kind]:
    for name, own in (("results", False), ("state", True), ("cache", True)):
        yield Kind(
            name=f"full disk: {name}",
            strike=_fill(name),
            allowed=_FAILED,
            surroundings=_disk(name),
            own=own,
        )
    yield Kind(
        name="full disk: standard output",
        strike=lambda _: None,
        allowed=frozenset({EXIT_ENVIRONMENT}),
        surroundings=_full_stdout,
    )


def _disk(name: str) -> Surroundings:
    @contextlib.contextmanager
    def mounted(scene: Scene) -> Iterator[None]:
        place = scene.ground.work / name
        place.mkdir(exist_ok=True)
        size = f"size={_DISK_MB[name]}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], check=True, capture_output=True)
        scene.disk = place
        if name == "state":
            root = place / "testbed"
            scene.environment["COLDSTART_STATE_DIR"] = str(root)
            scene.layout = Layout.of(root)
        if name == "cache":
            scene.environment["COLDSTART_CACHE_DIR"] = str(place)
        try:
            yield
        finally:
            scene.ground.down(scene.environment)
            subprocess.run(["umount", "--lazy", str(place)], check=False, capture_output=True)

    return mounted


def _fill(name: str) -> Callable[[Scene], None]:
    def strike(scene: Scene) -> None:
        path = scene.ground.work / name / "filler"
        left = scene.rng.choice((0, 0, 4096, 65536))
        piece = b"\0" * 4096
        with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
            while True:
                file.write(piece)
        with contextlib.suppress(OSError):
            os.truncate(path, max(0, path.stat().st_size - left))
        scene.detail = f"{left} bytes left"

    return strike


@contextlib.contextmanager
def _full_stdout(scene: Scene) -> Iterator[None]:
    scene.stdout = Path("/dev/full")
    yield


# --- the registry's answers -----------------------------------------------------------------------------------------


def _of_the_registry() -> Iterator[Kind]:
    for behaviour in Misbehaviour:
        yield Kind(
            name=f"registry answers: {behaviour}",
            strike=lambda scene: scene.strike_at(),
            allowed=_FAILED,
            surroundings=_badly_answered(behaviour),
        )


def _badly_answered(behaviour: Misbehaviour) -> Surroundings:
    @contextlib.contextmanager
    def served(scene: Scene) -> Iterator[None]:
        if not scene.ground.is_up():
            scene.ground.up()
        testbed = lifecycle.find(scene.ground.root)
        assert testbed is not None
        assert testbed.registry_netns is not None
        proxy = FaultProxy(testbed.registry_address)
        wanted = scene.rng.choice(list(Wanted))
        times = scene.rng.choice((1, 2, 1000))

        def strike() -> None:
            proxy.misbehave(behaviour, wanted, times)

        scene.strike_at, scene.detail = strike, f"{wanted.strip('/')}, {times} times"
        with proxy.serving(testbed.registry_netns):
            yield

    return served


# --- runtimes -------------------------------------------------------------------------------------------------------


_WRAPPER = """#!/bin/sh
mode=$(cat {mode} 2>/dev/null)
for a; do case "$a" in create|start|state|kill|delete) verb=$a; break;; esac; done
case "$mode" in
"hang $verb") exec sleep {hang};;
"crash $verb") kill -9 $$;;
"fail $verb") echo "made to fail" >&2; exit 1;;
"lie $verb") exit 0;;
"garbage $verb") echo '{{"]'; exit 0;;
"late $verb") {real} "$@"; code=$?; sleep 2; exit $code;;
"wrong $verb") {real} "$@"; exit 3;;
esac
exec {real} "$@"
"""
_MODES = ("hang", "crash", "fail", "lie", "garbage", "late", "wrong")


def _of_runtimes() -> Iterator[Kind]:
    for mode in _MODES:
        yield Kind(
            name=f"runtime: {mode}",
            strike=lambda scene: scene.strike_at(),
            allowed=_FAILED,
            surroundings=_bad_runtime(mode),
            spoils=True,
        )


def _bad_runtime(mode: str) -> Surroundings:
    @contextlib.contextmanager
    def offered(scene: Scene) -> Iterator[None]:
        ground = scene.ground
        if ground.is_up():
            ground.down()
        verb = scene.rng.choice(("create", "start", "state", "kill", "delete"))
        wrapper, told = ground.work / "bad-runtime", ground.work / "mode"
        real = subprocess.run(
            ["sh", "-c", "command -v runc"], capture_output=True, text=True, check=True
        ).stdout.strip()
        told.write_text("")
        wrapper.write_text(_WRAPPER.format(mode=told, hang=HANG, real=real))
        wrapper.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        ground.up("--add-runtime", f"bad={wrapper}")

        def strike() -> None:
            told.write_text(f"{mode} {verb}\n")

        scene.strike_at, scene.detail, scene.runtime = strike, verb, "bad"
        yield

    return offered


def order(seed: int, count: int) -> Iterator[tuple[int, Kind]]:
    """The kinds of ``count`` faults: each once in every round, the rounds in random order."""
    every = kinds()
    for number in range(count):
        turn, place = divmod(number, len(every))
        shuffled = list(every)
        random.Random(f"{seed}/round {turn}").shuffle(shuffled)  # noqa: S311  an order, not a secret
        yield number, shuffled[place]
