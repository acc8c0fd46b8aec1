"""Where faults are injected: a testbed of its own, runs on it, and what is looked at after each."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coldstart.errors import ColdstartError
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.model.sample import Outcome, Sample
from coldstart.store.reader import open_run
from coldstart.testbed import processes
from coldstart.testbed.config import Layout, ProcessRef, TestbedConfig
from coldstart.trace import tracefs

_MARK = "COLDSTART_FAULTS"
_ENDED = re.compile(r"^\[ *\d+/\d+\] block ", re.MULTILINE)  # a sample that the run says has ended
_UP_LIMIT_S = 120.0
_DOWN_LIMIT_S = 60.0
_CLEAN_S = 6.0  # a clean run's length on a quiet machine; limits grow with it on a busy or slow one
_UNMEASURED = 10.0  # how many times as slow a machine may be before its pace is known
_START_LIMIT_S = 5.0
_BUDGET_S = 30.0
HANG = "6417"  # seconds that a hung runtime sleeps: a number to be found by


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; ``code`` is ``None`` where it had to be killed."""

    code: int | None
    seconds: float
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """What it said last."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1][:300] if lines else ""


@dataclass
class Ground:
    """The folders, the image, and how long a clean run takes here."""

    root: Path
    cache: Path
    work: Path
    image: Path
    clean_s: float = _UNMEASURED * _CLEAN_S
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    runs: list[int] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def open(cls, root: Path, cache: Path) -> Iterator[Ground]:
        """With one clean run on it, by which the limits are set; nothing of it is left afterwards."""
        machine = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "linux/arm/v7")
        image = ensure_base(cache, "alpine", machine, BaseSource.AUTO, lambda _: None).archive
        work = root.with_name(f"{root.name}-work")
        shutil.rmtree(work, ignore_errors=True)
        (work / "tmp").mkdir(parents=True)
        ground = cls(root=root, cache=cache, work=work, image=image)
        try:
            ground.down()
            ground.up()
            begun = time.monotonic()
            ended = ground.wait(ground.start(), _UP_LIMIT_S)
            assert ended.code == 0, f"a clean run failed: {ended.err}"
            ground.clean_s = time.monotonic() - begun
            ground.clear_results()
            yield ground
        finally:
            ground.down()
            shutil.rmtree(work, ignore_errors=True)

    @property
    def layout(self) -> Layout:
        """The testbed's."""
        return Layout.of(self.root)

    @property
    def results(self) -> Path:
        """Where runs are stored."""
        return self.work / "results"

    @property
    def slowness(self) -> float:
        """How many times as long everything may take: 1 on a quiet machine, more by as much as a clean run took."""
        return max(1.0, self.clean_s / _CLEAN_S)

    def limits(self) -> tuple[str, ...]:
        """The run's own limits, for one start and in all, at this machine's pace."""
        start_s, budget_s = (round(limit_s * self.slowness) for limit_s in (_START_LIMIT_S, _BUDGET_S))
        return "--timeout", f"{start_s}s", "--budget", f"{budget_s}s"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our own state and cache, temporary files where they can be counted, and a mark that children inherit."""
        return {
            **os.environ,
            "COLDSTART_STATE_DIR": str(self.root),
            "COLDSTART_CACHE_DIR": str(self.cache),
            "TMPDIR": str(self.work / "tmp"),
            _MARK: self.mark,
            **(more or {}),
        }

    def start(
        self,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        *,
        runtime: str = "runc",
        stdout: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """A short run in the background: two blocks of two cells."""
        command = [
            *(sys.executable, "-m", "coldstart", "run", "--image", str(self.image), "--runtime", runtime),
            *("--ready", "exit", "--tier", "absent,warm", "-n", "2", "-w", "0", *self.limits()),
            *("--results", str(self.results), *arguments, "--", "sleep", "0.2"),
        ]
        out, err = stdout or self.work / "out", self.work / "err"
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                command, env=self.environment(environment), stdout=to_out, stderr=to_err, stdin=subprocess.DEVNULL
            )
        self.runs.append(process.pid)
        return process

    def wait(self, process: subprocess.Popen[bytes], limit_s: float) -> Ended:
        """Until it ends, or is killed after ``limit_s``."""
        begun = time.monotonic()
        try:
            code: int | None = process.wait(limit_s * self.slowness)
        except subprocess.TimeoutExpired:
            code = None
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        return Ended(
            code=code, seconds=time.monotonic() - begun, out=_text(self.work / "out"), err=_text(self.work / "err")
        )

    def command(self, *arguments: str, limit_s: float, environment: Mapping[str, str] | None = None) -> Ended:
        """Any other command, to its end."""
        begun = time.monotonic()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "coldstart", *arguments],
                env=self.environment(environment),
                capture_output=True,
                timeout=limit_s * self.slowness,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            out, err = ((said or b"").decode(errors="replace") for said in (error.stdout, error.stderr))
            return Ended(code=None, seconds=time.monotonic() - begun, out=out, err=err)
        return Ended(
            code=done.returncode,
            seconds=time.monotonic() - begun,
            out=done.stdout.decode(errors="replace"),
            err=done.stderr.decode(errors="replace"),
        )

    def up(self, *arguments: str) -> None:
        """Bring the testbed up."""
        ended = self.command("testbed", "up", *arguments, limit_s=_UP_LIMIT_S)
        assert ended.code == 0, f"testbed up: {ended.last_line}"

    def down(self, environment: Mapping[str, str] | None = None) -> Ended:
        """Take it down, whatever state it is in."""
        return self.command("testbed", "down", limit_s=_DOWN_LIMIT_S, environment=environment)

    def is_up(self) -> bool:
        """Whether there is a testbed."""
        return self.layout.state.exists()

    def process(self, *names: str, layout: Layout | None = None) -> ProcessRef | None:
        """One of the testbed's processes of such a name."""
        short = {name[:15] for name in names}  # what the kernel keeps of a name
        return next((ref for ref in processes.find(layout or self.layout) if ref.name[:15] in short), None)

    def clear_results(self) -> None:
        """Forget the runs."""
        shutil.rmtree(self.results, ignore_errors=True)

    def leftovers(self, layout: Layout | None = None) -> list[str]:
        """What is still there of the testbed and its runs, once it is down."""
        layout = layout or self.layout
        roots = (str(layout.root), str(self.work))
        found = [f"process {ref.pid} {ref.name}" for ref in processes.find(layout)]
        found += [f"process {pid} {name}" for pid, name in self._marked()]
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            _, _, _, source, point, *rest = line.split()
            if layout.name in rest or any(_is_below(path, root) for path in (source, point) for root in roots):
                found.append(f"mount {point}")
        found += [f"loop device {path}" for path in _loops(layout.root)]
        found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**/{layout.name}")]
        found += [
            f"trace instance {name}" for name in _instances() if name in {f"coldstart-{pid}" for pid in self.runs}
        ]
        found += [f"temporary file {path.name}" for path in (self.work / "tmp").iterdir()]
        if layout.root.exists():
            found.append(f"folder {layout.root}")
        return found

    def _marked(self) -> Iterator[tuple[int, str]]:
        """Processes that inherited our mark, or sleep as a hung runtime does."""
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if f"{_MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0") or (
                    HANG.encode() in words
                ):
                    yield int(folder.name), (folder / "comm").read_text().strip()

    @staticmethod
    def announced(ended: Ended) -> int:
        """Samples that the run said had ended."""
        return len(_ENDED.findall(ended.err))

    def stored(self) -> tuple[tuple[Sample, ...], list[str]]:
        """The samples of all runs in the results folder, and the runs that cannot be read."""
        samples: list[Sample] = []
        unreadable: list[str] = []
        for folder in sorted(self.results.glob("*/run.json")):
            try:
                samples += open_run(folder.parent).samples
            except ColdstartError as error:
                unreadable.append(f"unreadable run: {error}"[:300])
                continue
            exported = self.command("export", str(folder.parent), "--format", "csv", limit_s=20)
            if exported.code != 0:
                unreadable.append(f"export ended with {exported.code}: {exported.last_line}"[:300])
        return tuple(samples), unreadable


def most_failed(samples: Sequence[Sample]) -> bool:
    """Whether more starts failed than were timed."""
    ended = [sample for sample in samples if not sample.outcome.is_requeued]
    return sum(sample.outcome is Outcome.OK for sample in ended) * 2 < len(ended)


def ground_config() -> TestbedConfig:
    """The root and cache of the environment, a testbed of its own beside the user's."""
    config = TestbedConfig.from_environment()
    named = os.environ.get("COLDSTART_STATE_DIR")
    return TestbedConfig(
        root=Path(named) if named else config.root.with_name(f"{config.root.name}-faults"), cache=config.cache
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _loops(root: Path) -> list[str]:
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if _is_below(path.read_text().strip(), str(root)):
                found.append(path.parts[3])
    return found


def _instances() -> list[str]:
    try:
        root, mount = tracefs._tracefs()  # noqa: SLF001  it alone knows where instances are
    except ColdstartError:
        return []
    try:
        return [path.name for path in (root / "instances").iterdir()]
    finally:
        if mount is not None:
            os.close(mount)
