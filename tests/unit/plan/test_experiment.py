"""experiment.toml: read strictly, refused with the file, the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import ColdstartError, InputFileError, UnknownNameError
from coldstart.model.cell import Network, Tier
from coldstart.model.experiment import Experiment
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.plan.experiment import catalogue, load_experiment, parse_experiment
from coldstart.plan.schedule import cells

MINIMAL = """\
name = "mine"
runs = 5
[factors]
runtime = ["runc"]
workload = ["hello"]
variant = ["alpine"]
tier = ["warm"]
"""

FULL = """\
name = "mine"
description = "what it shows"
runs = 5
warmup = 2
timeout = "1m30s"
ready = "http:8080/health"
targets = ["article"]
egress = true

[factors]
engine = ["docker", "podman"]
runtime = ["runc", "crun"]
workload = ["hello"]
variant = ["alpine", "scratch"]
tier = ["absent", "warm"]
network = ["bridge", "host"]

[options]
memory = "512m"
cpus = 0.5
cpuset_cpus = "0-1"
env = ["A=1", "EMPTY="]
volumes = ["/a:/b:ro"]
devices = ["/dev/null"]
command = ["/server", "--fast"]
user = "1000"
entrypoint = "/init"
workdir = "/app"
hostname = "box"
tmpfs = ["/run"]
shm_size = "1m"
read_only = true
init = true
privileged = true
cap_add = ["NET_ADMIN"]
cap_drop = ["ALL"]
security_opt = ["no-new-privileges"]
mounts = ["type=bind,src=/c,dst=/d"]
ulimits = ["nofile=9"]
add_hosts = ["db:10.0.0.5"]
dns = ["10.0.0.1"]
dns_options = ["ndots:1"]
labels = ["a=b"]
"""


def parse(text: str) -> Experiment:
    return parse_experiment(text.encode(), "mine.toml")


def refusal(text: str) -> str:
    with pytest.raises(InputFileError) as caught:
        parse(text)
    return str(caught.value)


def _replaced(line: str) -> list[str]:
    """The minimal experiment's lines without the one of ``line``'s key."""
    key = line.partition("=")[0].strip()
    return [own for own in MINIMAL.splitlines() if own.partition("=")[0].strip() != key]


def with_line(line: str) -> str:
    """The minimal experiment with a top-level line."""
    return "\n".join([line, *_replaced(line)])


def with_factor(line: str) -> str:
    """The minimal experiment with a line of its last table, the factors."""
    return "\n".join([*_replaced(line), line])


def with_option(line: str) -> str:
    return f"{MINIMAL}[options]\n{line}\n"


def test_every_key_is_understood() -> None:
    assert parse(FULL) == Experiment(
        name="mine",
        description="what it shows",
        engine=("docker", "podman"),
        runtime=("runc", "crun"),
        workload=("hello",),
        variant=("alpine", "scratch"),
        tier=(Tier.ABSENT, Tier.WARM),
        network=(Network.BRIDGE, Network.HOST),
        runs=5,
        warmup=2,
        ready=ProbeSpec(kind="http", port=8080, argument="/health"),
        timeout_ns=90_000_000_000,
        targets=("article",),
        egress=True,
        options=ContainerOptions(
            env=("A=1", "EMPTY="),
            volumes=("/a:/b:ro", "/c:/d"),
            devices=("/dev/null",),
            memory_bytes=536_870_912,
            cpus=0.5,
            cpuset_cpus="0-1",
            command=("/server", "--fast"),
            user="1000",
            entrypoint=("/init",),
            workdir="/app",
            hostname="box",
            tmpfs=("/run",),
            shm_bytes=1024 * 1024,
            read_only=True,
            init=True,
            privileged=True,
            cap_add=("NET_ADMIN",),
            cap_drop=("ALL",),
            security_opt=("no-new-privileges",),
            ulimits=("nofile=9",),
            add_hosts=("db:10.0.0.5",),
            dns=("10.0.0.1",),
            dns_options=("ndots:1",),
            labels=("a=b",),
        ),
    )


def test_what_is_left_out_has_the_documented_defaults() -> None:
    assert parse(MINIMAL) == Experiment(
        name="mine",
        runtime=("runc",),
        workload=("hello",),
        variant=("alpine",),
        tier=(Tier.WARM,),
        engine=("docker",),
        network=(Network.BRIDGE,),
        runs=5,
        warmup=0,
        timeout_ns=30_000_000_000,
    )


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parse_experiment(b"\xef\xbb\xbf" + MINIMAL.encode(), "mine.toml").name == "mine"


def test_a_whole_number_of_cpus_is_a_number_of_cpus() -> None:
    assert parse(with_option("cpus = 2")).options.cpus == 2


# --- keys ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_line("rums = 5"), "mine.toml: unknown key 'rums'; did you mean 'runs'? Known: "),
        (MINIMAL + 'runtmie = ["x"]', "mine.toml: factors: unknown key 'runtmie'; did you mean 'runtime'? Known: "),
        (with_option('mem = "1g"'), "mine.toml: options: unknown key 'mem'; did you mean 'memory'? Known: "),
    ],
)
def test_an_unknown_key_is_answered_with_its_place_and_the_nearest(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_key_outside_its_table_is_told_where_it_belongs() -> None:
    assert refusal('tier = ["warm"]\n' + MINIMAL).endswith("It belongs under [factors].")


def test_of_several_unknown_keys_always_the_same_one_is_named() -> None:
    assert "unknown key 'aaa'" in refusal("zzz = 1\nbbb = 1\naaa = 1\nccc = 1\n" + MINIMAL)


@pytest.mark.parametrize("key", ["name", "runs"])
def test_a_missing_key_is_named(key: str) -> None:
    text = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key))
    assert refusal(text) == f"mine.toml: Object missing required field '{key}'."


@pytest.mark.parametrize("key", ["runtime", "workload", "variant", "tier"])
def test_a_missing_factor_is_named(key: str) -> None:
    text = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key))
    assert refusal(text) == f"mine.toml: factors: Object missing required field '{key}'."


def test_an_experiment_without_factors_is_refused() -> None:
    assert "missing required field 'factors'" in refusal('name = "x"\nruns = 1\n')


# --- types and values ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_line('runs = "5"'), "mine.toml: runs: Expected 'int', got 'str'."),
        (with_line("runs = true"), "mine.toml: runs: Expected 'int', got 'bool'."),
        (with_line("runs = 2.5"), "mine.toml: runs: Expected 'int', got 'float'."),
        (with_line("name = 7"), "mine.toml: name: Expected 'str', got 'int'."),
        (with_line("description = 2026-01-01"), "mine.toml: description: Expected 'str', got 'date'."),
        (with_line("timeout = 30"), "mine.toml: timeout: Expected 'str', got 'int'."),
        (with_factor('tier = "warm"'), "mine.toml: factors.tier: Expected 'array', got 'str'."),
        (with_factor('tier = ["warm", 1]'), "mine.toml: factors.tier[1]: Expected 'str', got 'int'."),
        ('factors = 1\nname = "x"\nruns = 1', "mine.toml: factors: Expected 'object', got 'int'."),
        ("options = []\n" + MINIMAL, "mine.toml: options: Expected 'object', got 'array'."),
        (with_option("memory = 512"), "mine.toml: options.memory: Expected 'str | null', got 'int'."),
        (with_option("env = {A = 1}"), "mine.toml: options.env: Expected 'array', got 'object'."),
    ],
)
def test_a_wrong_type_is_named_with_its_key(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_line("runs = 0"), "mine.toml: runs: 0 runs cannot be measured"),
        (with_line("runs = 999999999999999999"), "mine.toml: runs: 999999999999999999 runs cannot"),
        (with_line("warmup = -1"), "mine.toml: warmup: -1 warm-up blocks cannot be run"),
        (with_line('timeout = "soon"'), "mine.toml: timeout: 'soon' is not a duration"),
        (with_line('timeout = "0s"'), "mine.toml: timeout: a timeout of nothing"),
        (with_line('ready = "http"'), "mine.toml: ready: ready 'http': http needs the container's port"),
        (with_line('name = ""'), "mine.toml: name: '' cannot be a file's name"),
        (with_line('name = "../../etc"'), "mine.toml: name: '../../etc' cannot be a file's name"),
        (with_line(f'name = "{"a" * 65}"'), "mine.toml: name: 'aaa"),
        (with_line('targets = ["a", "a"]'), "mine.toml: targets: target 'a' is given twice"),
        (with_line('targets = ["../x"]'), "mine.toml: targets: '../x' cannot be a target"),
        (with_factor("runtime = []"), "mine.toml: factors.runtime: no runtime is given; name at least one."),
        (with_factor('runtime = ["a,b"]'), "mine.toml: factors.runtime: 'a,b' cannot be a runtime"),
        (with_factor('runtime = ["a", "a"]'), "mine.toml: factors.runtime: runtime 'a' is given twice"),
        (with_factor("tier = []"), "mine.toml: factors.tier: no tier is given"),
        (with_option('memory = "lots"'), "mine.toml: options: memory: 'lots' is not a size"),
        (with_option('memory = "0"'), "mine.toml: options: memory 0: Docker's least is 6m."),
        (with_option("cpus = nan"), "mine.toml: options: cpus nan: write a number of CPUs above 0"),
        (with_option("cpus = inf"), "mine.toml: options: cpus inf: write a number of CPUs above 0"),
        (with_option("cpus = 0"), "mine.toml: options: cpus 0: write a number of CPUs above 0"),
        (with_option('env = ["HOME"]'), "mine.toml: options.env: 'HOME' has no value. Write NAME=value."),
        (with_option('volumes = ["data:/d"]'), "mine.toml: options: volumes 'data:/d': write an absolute host folder"),
        (with_option('dns = ["x"]'), "mine.toml: options: dns: 'x' is not an IP address."),
        (with_option('env = ["=x"]'), "mine.toml: options: env: '=x' is not an environment variable; write NAME=value"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_key(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('tier = ["cashed"]', r"mine.toml: factors.tier: unknown tier 'cashed'; did you mean 'cached'\?"),
        ('network = ["hots"]', r"mine.toml: factors.network: unknown network 'hots'; did you mean 'host'\?"),
    ],
)
def test_an_unknown_level_is_answered_with_its_place_and_the_nearest(line: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        parse(with_factor(line))


# --- not even TOML ---


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("runs = 1\nruns = 2\n", "mine.toml:2:"),
        ("name = \n", "mine.toml:1"),
        ("a = 1\n\nb = [1,\n", "mine.toml:"),
        ("\x00", "mine.toml:1:1: is not TOML"),
        ("just words", "mine.toml:1:"),
    ],
)
def test_a_syntax_error_names_its_line(text: str, place: str) -> None:
    assert refusal(text).startswith(place)


def test_a_file_that_is_not_utf_8_names_its_line() -> None:
    with pytest.raises(InputFileError, match=r"mine\.toml:2: is not UTF-8 text\."):
        parse_experiment(b'name = "x"\ndescription = "caf\xe9"\n', "mine.toml")


def test_a_file_nested_without_end_is_refused() -> None:
    assert "is nested too deeply" in refusal("a = " + "[" * 100_000)


@given(st.binary(max_size=60))
def test_no_bytes_at_all_cause_anything_but_a_message(data: bytes) -> None:
    with pytest.raises(ColdstartError):
        parse_experiment(data, "mine.toml")


@given(st.data())
def test_no_mangled_experiment_causes_anything_but_a_message(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(FULL)))
    cut = data.draw(st.integers(0, 20))
    text = FULL[:at] + data.draw(st.text("=[]{}\"'\n,.#x9", max_size=5)) + FULL[at + cut :]
    try:
        parse(text)
    except ColdstartError as error:
        assert str(error).startswith("mine.toml")  # noqa: PT017  any other exception is the failure


# --- catalogue and paths ---


def test_the_catalogue_has_article_and_tiers() -> None:
    assert {"article", "tiers"} <= set(catalogue())


@pytest.mark.parametrize("name", catalogue())
def test_an_experiment_of_the_catalogue_is_called_what_its_file_is(name: str) -> None:
    assert load_experiment(name).name == name


def test_article_is_two_runtimes_by_four_variants_by_three_tiers() -> None:
    article = load_experiment("article")
    assert {(cell.runtime, cell.variant, cell.tier) for cell in cells(article)} == {
        (runtime, variant, tier)
        for runtime in ("runc", "crun")
        for variant in ("single-stage", "multi-stage", "alpine", "distroless")
        for tier in Tier
    }


def test_article_is_measured_twenty_times_against_the_articles_targets() -> None:
    article = load_experiment("article")
    assert (article.runs, article.targets) == (20, ("article",))


def test_tiers_is_one_image_in_three_tiers_with_two_runtimes() -> None:
    assert {(cell.variant, cell.runtime, cell.tier) for cell in cells(load_experiment("tiers"))} == {
        ("alpine", runtime, tier) for runtime in ("runc", "crun") for tier in Tier
    }


def test_an_unknown_experiment_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown experiment 'artcle'; did you mean 'article'\?"):
        load_experiment("artcle")


def test_a_path_is_read_from_there(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(MINIMAL)
    assert load_experiment(str(tmp_path / "x.toml")).name == "mine"


def test_a_bare_file_name_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "article.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    assert load_experiment("article.toml").name == "mine"


def test_a_file_that_is_not_there_is_told_with_the_names_that_are(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"x\.toml: cannot be read: No such file.*known by name: .*article"):
        load_experiment(str(tmp_path / "x.toml"))


def test_a_folder_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read: it is a folder"):
        load_experiment(f"{tmp_path}/")


def test_a_path_no_file_system_has_is_refused() -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        load_experiment("/a\x00b.toml")


def test_a_folder_is_relative_to_the_experiments_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(with_factor('workload = ["./app", "hello"]'))
    experiment = load_experiment(str(path))
    assert (experiment.workload, experiment.folders) == (("app", "hello"), {"app": str(tmp_path / "app")})


def test_two_folders_of_one_name_are_refused_with_their_key() -> None:
    told = refusal(with_factor('workload = ["./a/app", "./b/app"]'))
    assert told.startswith("mine.toml: factors.workload: workload 'app' is given twice")


def test_the_documented_example_is_an_experiment() -> None:
    example = load_experiment(str(Path(__file__).parents[3] / "docs" / "workloads" / "greeter.toml"))
    assert example.workload == ("greeter", "hello")


@pytest.mark.parametrize("name", ["variants", "runtimes"])
def test_the_catalogues_comparisons_have_all_workloads(name: str) -> None:
    assert load_experiment(name).workload == ("hello", "api", "inference")
