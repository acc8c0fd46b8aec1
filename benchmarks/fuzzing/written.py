"""What people write: experiments, targets, workloads, options, and times that other tools measured."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from benchmarks.fuzzing.mutations import NASTY_TEXTS, mutated_text
from benchmarks.fuzzing.target import Files, Rng, Target, as_json, as_text, placed
from coldstart.discovery import catalogue_dir
from coldstart.errors import ColdstartError


def _catalogue(part: str, pattern: str) -> Callable[[], list[str]]:
    return cache(lambda: [path.read_text() for path in sorted(catalogue_dir(part).glob(pattern))])


_EXPERIMENTS = _catalogue("experiments", "*.toml")


@cache
def _claims() -> list[str]:
    """Every targets file, with its first claims: all of them would take ten times as long to read."""
    texts = [path.read_text() for path in sorted(catalogue_dir("targets").glob("*.toml"))]
    return ["[[target]]".join(text.split("[[target]]")[:4]) for text in texts]


_OPTIONS_TOML = """
[options]
env = ["A=1", "B"]
volumes = ["/data:/data:ro"]
devices = ["/dev/null"]
memory = "64m"
cpus = 0.5
command = ["sh", "-c", "true"]
"""


def _experiment(rng: Rng) -> Files:
    text = rng.choice(_EXPERIMENTS()) + rng.choice(("", _OPTIONS_TOML))
    return {"x.toml": as_text(rng, text)}


def _read_experiment(files: Files, folder: Path) -> object:
    from coldstart.plan.experiment import load_experiment  # noqa: PLC0415  only what is fuzzed is imported

    placed(files, folder)
    return load_experiment(str(folder / "x.toml"))


def _read_targets(files: Files, folder: Path) -> object:
    from coldstart.analyse.targets import read_targets  # noqa: PLC0415  as above

    placed(files, folder)
    return read_targets(folder / "x.toml")


def _workload(rng: Rng) -> Files:
    chosen = rng.choice(sorted(catalogue_dir("workloads").glob("*/workload.toml"))).parent
    files = {f"w/{chosen.name}/{path.name}": b"" for path in chosen.iterdir() if path.is_file()}
    return {**files, f"w/{chosen.name}/workload.toml": as_text(rng, (chosen / "workload.toml").read_text())}


def _read_workload(files: Files, folder: Path) -> object:
    from coldstart.images.catalogue import load_workload  # noqa: PLC0415  as above

    placed(files, folder)
    return load_workload(next((folder / "w").glob("*/workload.toml")))


_OPTION_VALUES = {
    "volume": "/data:/data:ro",
    "device": "/dev/null:/dev/x:rwm",
    "memory": "512m",
    "cpuset_cpus": "0-1,3",
    "ready": "http:8080/health",
    "duration": "1h30m",
    "bytes": "64Mi",
    "levels": "runc,crun",
    "slowdown": "absent=10%",
    "limit": "+5%",
    "env": "NAME=value",
    "ulimit": "nofile=1024:2048",
    "tmpfs": "/scratch:size=64m",
    "add_host": "db:10.0.0.1",
    "reference": "localhost:5000/team/app:1.2@sha256:" + "a" * 64,
}


def _option(rng: Rng) -> Files:
    name = rng.choice(list(_OPTION_VALUES))
    value = mutated_text(rng, _OPTION_VALUES[name]) if rng.random() < 0.7 else rng.choice(NASTY_TEXTS)
    return {"name": name.encode(), "value": value[:4000].encode("utf-8", "surrogatepass")}


def _read_option(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    name, value = files["name"].decode(), files["value"].decode("utf-8", "surrogatepass")
    parse = _parsers().get(name)
    return _container_options(**{name: value}) if parse is None else parse(value)


@cache
def _parsers() -> dict[str, Callable[[str], object]]:
    """What reads the options that are not the container's."""
    from coldstart.analyse.counters import Limit  # noqa: PLC0415  as above
    from coldstart.cli._contenders import rule_of  # noqa: PLC0415
    from coldstart.images.intake import names_of  # noqa: PLC0415
    from coldstart.model.probe import ProbeSpec  # noqa: PLC0415
    from coldstart.units import parse_bytes, parse_duration_ns  # noqa: PLC0415

    return {
        "ready": lambda text: str(ProbeSpec.parse(text)),
        "duration": parse_duration_ns,
        "bytes": parse_bytes,
        "levels": _all_levels,
        "slowdown": lambda text: rule_of((text,), 0.01),
        "limit": lambda text: Limit(counter="pull-bytes", text=text).bound(1000),
        "reference": names_of,
    }


def _all_levels(text: str) -> object:
    from coldstart.plan.levels import parse_levels, parse_networks, parse_tiers  # noqa: PLC0415  as above

    for parse in (parse_tiers, parse_networks):
        with contextlib.suppress(ColdstartError):
            parse(text)
    return parse_levels("runtime", text)


def _container_options(**said: object) -> object:
    from coldstart.cli._containers import parse_container_options  # noqa: PLC0415  as above

    lists = {name for name, value in _no_options().items() if value == ()}
    values = {name: (value,) if name in lists else value for name, value in said.items()}
    return parse_container_options({**_no_options(), **values}, ())


@cache
def _no_options() -> dict[str, object]:
    """What the command line parses to where nothing is said."""
    from coldstart.cli.run import command  # noqa: PLC0415  as above

    return dict(command.make_context("run", []).params)


_ENV_FILE = '# comment\nNAME=value\nEMPTY=\nUNSET\nSPACED=a b c\nQUOTED="x"\n\nPATH=/usr/bin:/bin\n'


def _read_env_file(files: Files, folder: Path) -> object:
    placed(files, folder)
    return _container_options(env_file=folder / "env")


_HYPERFINE = {
    "results": [
        {"command": "a", "mean": 1.0, "times": [1.0, 1.1, 0.9, 1.2, 1.0, 1.1], "exit_codes": [0, 0, 0, 0, 1, 0]},
        {"command": "b", "times": [2.0, 2.1, 2.2, 1.9, 2.0, 2.1]},
    ]
}
_TIMES = (
    "name,seconds,outcome,warmup\n" + "".join(f"app,{1 + n / 100},ok,false\n" for n in range(12)) + "app,,exited,\n"
)


def _times(rng: Rng) -> Files:
    if rng.random() < 0.5:
        return {"x.json": as_json(rng, _HYPERFINE)}
    return {"x.csv": as_text(rng, _TIMES)}


def _read_times(files: Files, folder: Path) -> object:
    from coldstart.analyse.stored import conclude_times  # noqa: PLC0415  as above
    from coldstart.model.rule import Rule  # noqa: PLC0415
    from coldstart.report.comparison import verdict_section  # noqa: PLC0415
    from coldstart.report.markdown import render_section  # noqa: PLC0415
    from coldstart.store.imported import read_times  # noqa: PLC0415

    placed(files, folder)
    times = read_times(folder / next(iter(files)))
    verdict = conclude_times(times, times, Rule(), names=("a", "b"))
    return render_section(verdict_section(verdict, None))


TARGETS = (
    Target("experiments", 8, _experiment, _read_experiment),
    Target("targets", 8, lambda rng: {"x.toml": as_text(rng, rng.choice(_claims()))}, _read_targets),
    Target("workloads", 6, _workload, _read_workload),
    Target("options", 8, _option, _read_option),
    Target("env files", 5, lambda rng: {"env": as_text(rng, _ENV_FILE)}, _read_env_file),
    Target("times of other tools", 8, _times, _read_times),
)
