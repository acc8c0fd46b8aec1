"""Cold starts in other people's test suites: the ``coldstart`` fixture.

::

    def test_cold_start(coldstart):
        r = coldstart.measure(image="app:pr", runtime="crun", ready="http:8080/health", runs=10)
        assert r.ready.upper_ms < 500

Where pytest-benchmark is installed, each test's first measurement is one of its benchmarks, a round a start: its JSON,
storage, ``--benchmark-compare`` and ``--benchmark-compare-fail`` work as ever. Nothing of coldstart is imported before
a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from coldstart.model.options import ContainerOptions
    from coldstart.runner.place import Place
    from coldstart.store.reader import StoredRun

_Level = TypeVar("_Level", bound=str)

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_FEWEST = 6  # an interval of a median at 95 % needs as many


class VirtualTimer:
    """A timer for pytest-benchmark, in seconds, that moves only when told to."""

    __name__ = "cold_start_phase"  # what pytest-benchmark's output calls it

    def __init__(self) -> None:
        self._now_ns = 0

    def __call__(self) -> float:
        """Seconds since the last `reset`."""
        return self._now_ns / _NS_PER_S

    def advance(self, ns: int) -> None:
        """Let ``ns`` pass."""
        self._now_ns += ns

    def reset(self) -> None:
        """Back to 0, so that no digit of the next round is lost."""
        self._now_ns = 0


VIRTUAL = VirtualTimer()


def replay_rounds(benchmark: Any, values_ns: Sequence[int]) -> None:
    """Make the values a benchmark's rounds; its timer has to be `VIRTUAL`."""
    waiting = iter(values_ns)
    benchmark.pedantic(lambda: VIRTUAL.advance(next(waiting)), setup=VIRTUAL.reset, rounds=len(values_ns), iterations=1)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A phase's median over ``n`` starts in ms, with the bounds of its 95 % interval."""

    median_ms: float
    lower_ms: float
    upper_ms: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured. ``ready`` is end-to-end: from the first request to the first sign of readiness.

    ``unpack`` lies inside ``pull`` and is ``None`` where no source tells it, as in a start that pulled nothing;
    ``path`` is the run's folder, for ``coldstart report``.
    """

    ready: Timing
    pull: Timing
    unpack: Timing | None
    create: Timing
    init: Timing
    readiness: Timing
    path: Path


class ColdStart:
    """Measures images on this machine's engine: the testbed's, or the user's own."""

    def __init__(self, results: Path, stack: ExitStack) -> None:
        self._results = results
        self._stack = stack
        self._place: Place | None = None
        self.fed: Any = None  # the benchmark that the next measurement becomes

    def measure(  # noqa: PLR0913  what a start is said to be, by name
        self,
        image: str,
        *,
        ready: str,
        runtime: str = "runc",
        runs: int = 10,
        tier: str = "warm",
        network: str = "bridge",
        env: Sequence[str] = (),
        command: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        timeout: str = "30s",
    ) -> Result:
        """Start ``image`` ``runs`` times in one cold tier, after one start that is left out, as ``coldstart run`` does.

        ``image`` is a name, an archive or a registry's reference; ``ready`` a probe (``http:8080/``, ``log:TEXT``,
        ``exit`` …); ``tier`` one of absent, cached, warm; ``env`` are ``NAME=value``, or ``NAME`` to pass the caller's;
        ``options`` are an experiment file's ``[options]``: ``{"memory": "64m", "user": "1000", "cap_drop": ["ALL"]}``.

        Raises:
            UsageError: something of this is not understood, or fewer than 6 runs: no interval could be made.
            ColdstartError: the machine cannot do it; the message has the remedy.
            InvalidEnvironmentError: contaminated: more than a tenth of the starts had to be repeated, not cold, not
                quiet or throttled, as ``coldstart run`` has it.
            AssertionError: a start failed. What failed is never a timing, nor silently left out.
        """
        from coldstart.errors import UsageError  # noqa: PLC0415  a suite that measures nothing pays nothing

        if runs < _FEWEST:
            raise UsageError(f"runs={runs}: an interval needs {_FEWEST} starts at least.")
        run = self._recorded(
            image,
            ready=ready,
            runtime=runtime,
            runs=runs,
            tier=tier,
            network=network,
            env=tuple(env),
            command=tuple(command),
            options=options or {},
            timeout=timeout,
        )
        return self._result(run)

    def _recorded(self, image: str, **said: Any) -> StoredRun:
        from coldstart.model.probe import ProbeSpec  # noqa: PLC0415  as in measure
        from coldstart.plan.levels import parse_networks, parse_tiers  # noqa: PLC0415
        from coldstart.plan.overrides import Overrides, ad_hoc  # noqa: PLC0415
        from coldstart.runner.place import open_place  # noqa: PLC0415
        from coldstart.runner.prepare import prepare  # noqa: PLC0415
        from coldstart.runner.recording import record_run  # noqa: PLC0415
        from coldstart.units import parse_duration_ns  # noqa: PLC0415

        overrides = Overrides(
            runtime=(said["runtime"],),
            tier=_one("tier", parse_tiers(said["tier"])),
            network=_one("network", parse_networks(said["network"])),
            runs=said["runs"],
            warmup=1,
            timeout_ns=parse_duration_ns(said["timeout"]),
            options=_options(said),
        )
        experiment = ad_hoc(image, ProbeSpec.parse(said["ready"]), overrides)
        if self._place is None:
            self._place = self._stack.enter_context(
                open_place(experiment.engine, asked_for=True, purpose="pytest", progress=_say_nothing)
            )
        prepared = prepare(self._place, experiment, _say_nothing, required_tiers=True)
        with closing(prepared):
            return record_run(prepared, self._results)

    def _result(self, run: StoredRun) -> Result:
        from coldstart.cli._finish import check_end  # noqa: PLC0415  as in measure
        from coldstart.errors import InvalidEnvironmentError  # noqa: PLC0415
        from coldstart.model.repeats import repeats_of  # noqa: PLC0415
        from coldstart.model.timeline import phases_of, shared_profile  # noqa: PLC0415

        check_end(run.samples, f"The starts so far are kept in {run.path}.")
        counted = [sample for sample in run.samples if not sample.trial.warmup]
        repeats = repeats_of(run.samples)
        failed = [sample for sample in counted if sample.outcome.is_failure]
        if failed:
            raise AssertionError(
                f"{len(failed)} of {len(counted)} starts failed, {failed[-1].outcome}: {failed[-1].reason} ({run.path})"
            )
        if unseen := [sample for sample in counted if sample.outcome.is_unseen]:
            raise InvalidEnvironmentError(
                f"{len(unseen)} of {len(counted)} starts were not observed, or coldstart itself failed in them, "
                f"{unseen[-1].outcome}: {unseen[-1].reason} ({run.path})"
            )
        for why in repeats.never_cold.values():
            raise InvalidEnvironmentError(
                f"{run.manifest.experiment.image} could not be proved cold: {why} ({run.path})."
            )
        if repeats.is_contaminated:
            raise InvalidEnvironmentError(
                f"contaminated, for more than a tenth is too much: {repeats.disturbance}. End what else runs here, and "
                f"measure again ({run.path})."
            )
        profile = shared_profile(counted)
        phases = [found for sample in counted if (found := phases_of(sample, profile=profile)) is not None]
        if len(phases) < _FEWEST:
            raise AssertionError(f"only {len(phases)} starts were made before the run ended ({run.path})")
        e2e_ns = [one.e2e_ns for one in phases]
        if self.fed is not None:
            benchmark, self.fed = self.fed, None
            benchmark.extra_info.update({"run": str(run.path), "source": profile or counted[0].source})
            replay_rounds(benchmark, e2e_ns)
        unpacks = [one.unpack_ns for one in phases if one.unpack_ns is not None]
        return Result(
            ready=_timing(e2e_ns),
            pull=_timing([one.pull_ns for one in phases]),
            unpack=_timing(unpacks) if len(unpacks) == len(phases) else None,
            create=_timing([one.create_ns for one in phases]),
            init=_timing([one.init_ns for one in phases if one.init_ns is not None]),
            readiness=_timing([one.readiness_ns for one in phases if one.readiness_ns is not None]),
            path=run.path,
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where runs are kept."""
    group = parser.getgroup("coldstart")
    group.addoption(
        "--coldstart-results",
        type=Path,
        default=None,
        metavar="DIR",
        help="Where the coldstart fixture keeps its runs (default: results, beside pytest's configuration).",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make tests that measure benchmarks of pytest-benchmark's, if it is there: their timer is the samples'."""
    if not config.pluginmanager.hasplugin("benchmark"):
        return
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if _asks_for_ours(item):
            own = item.get_closest_marker("benchmark")
            said = {"group": "cold start", **(own.kwargs if own else {}), "timer": VIRTUAL}
            item.add_marker(pytest.mark.benchmark(**said), append=False)  # in front: pytest-benchmark reads one
            if "benchmark" not in names:
                names.append("benchmark")


def _asks_for_ours(item: pytest.Item) -> bool:
    """Whether ``coldstart`` is this module's fixture to the test: a suite may have one of its own by that name."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {}).get("coldstart", ())
    return bool(definitions) and definitions[-1].func.__module__ == __name__


@pytest.fixture(scope="session")
def _coldstart_session(request: pytest.FixtureRequest) -> Iterator[ColdStart]:
    results = request.config.getoption("--coldstart-results") or request.config.rootpath / "results"
    with ExitStack() as stack:
        yield ColdStart(results, stack)


@pytest.fixture
def coldstart(_coldstart_session: ColdStart, request: pytest.FixtureRequest) -> ColdStart:
    """Cold starts of images on this machine: see `ColdStart.measure`."""
    has_benchmark = request.config.pluginmanager.hasplugin("benchmark")
    workers = getattr(request.config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        pytest.fail(
            f"coldstart measures alone on a machine, and pytest-xdist runs {workers} tests at a time here: what they "
            "do would be in its times. Run the tests that measure by themselves: pytest -n 0.",
            pytrace=False,
        )
    _coldstart_session.fed = request.getfixturevalue("benchmark") if has_benchmark else None
    return _coldstart_session


def _timing(values_ns: Sequence[int]) -> Timing:
    from coldstart.analyse.estimate import median_interval  # noqa: PLC0415  as in measure

    found = median_interval(values_ns)
    assert found.lower is not None
    assert found.upper is not None
    return Timing(
        median_ms=found.value / _NS_PER_MS,
        lower_ms=found.lower / _NS_PER_MS,
        upper_ms=found.upper / _NS_PER_MS,
        n=found.n,
    )


def _one(factor: str, levels: tuple[_Level, ...]) -> tuple[_Level, ...]:
    """One level, for a timing is of one cell: of several, a mixture of them would be said to be one."""
    from coldstart.errors import UsageError  # noqa: PLC0415  as in measure

    if len(levels) != 1:
        raise UsageError(
            f"{factor}={','.join(levels)!r}: one measurement is of one {factor}; call measure once for each."
        )
    return levels


def _options(said: Mapping[str, Any]) -> ContainerOptions:
    from coldstart.errors import UsageError  # noqa: PLC0415  as in measure
    from coldstart.plan.containers import passed_on  # noqa: PLC0415
    from coldstart.plan.experiment import parse_options  # noqa: PLC0415

    own = dict(said["options"])
    if twice := sorted({"env", "command"} & own.keys()):
        raise UsageError(f"options: {twice[0]} is a parameter of its own: measure(…, {twice[0]}=…).")
    env = [passed_on(entry, "env") for entry in said["env"]]
    return parse_options({**own, "env": env, "command": list(said["command"])}, "options")


def _say_nothing(_text: str) -> None:
    """Pytest shows what is asserted, and no progress."""
