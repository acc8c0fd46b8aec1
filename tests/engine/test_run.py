"""``coldstart run`` on the real engine, as its users type it: what is stored is true, and what goes wrong is told."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import docker
import msgspec
import pytest

from coldstart.images.archive import write_archive
from coldstart.images.bases import BaseSource, ensure_base
from coldstart.images.layers import new_layer
from coldstart.model.cell import Tier
from coldstart.model.image import Image
from coldstart.model.sample import Outcome, Sample
from coldstart.model.timeline import ADDENDS, PULL_PARTS, phases_of
from coldstart.store.frames import COLUMNS
from coldstart.store.reader import StoredRun, newest_run, open_run
from coldstart.testbed import lifecycle
from coldstart.testbed.config import Testbed, TestbedConfig
from tests.engine.command_line import Cli

pytestmark = pytest.mark.engine

PROMISED = (
    *("run_id", "block", "position", "outcome", "reason"),
    *("engine", "runtime", "workload", "variant", "tier", "network", "source"),
    *("e2e_ns", "pull_ns", "create_ns", "init_ns", "readiness_ns", "gap_ns", "download_ns", "unpack_ns", "register_ns"),
    *("pull_download_only_ns", "pull_overlap_ns", "pull_unpack_only_ns", "pull_register_only_ns", "pull_other_ns"),
    *("unattributed_ns", "bytes_received", "layers_unpacked", "image_compressed_bytes", "image_unpacked_bytes"),
)
_AARCH64_ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01\x00\x00\x00" + bytes(40)


@pytest.fixture
def cli(testbed: Testbed, tmp_path: Path) -> Cli:
    return Cli(testbed, tmp_path / "results")


@pytest.fixture
def client(testbed: Testbed) -> Iterator[docker.APIClient]:
    """The testbed's engine, swept of what a test put there."""
    client = docker.APIClient(base_url=testbed.docker_host, version="auto")
    yield client
    for container in client.containers(all=True):
        client.remove_container(container["Id"], force=True)
    client.close()


@pytest.fixture(scope="module")
def shell(testbed_config: TestbedConfig) -> str:
    """An archive of an image that runs commands."""
    return str(ensure_base(testbed_config.cache, "alpine", "linux/amd64", BaseSource.AUTO, lambda _: None).archive)


@pytest.fixture(scope="module")
def tiers(testbed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredRun, Path]:
    """A run of every tier with both runtimes, and its table."""
    folder = tmp_path_factory.mktemp("tiers")
    cli = Cli(testbed, folder / "results")
    code, said = cli.run("tiers", "-n", "2", "-w", "1", "--export-csv", str(folder / "tiers.csv"))
    assert code == 0, said
    return open_run(newest_run(cli.results)), folder / "tiers.csv"


def _of(run: StoredRun, tier: Tier) -> tuple[Sample, ...]:
    found = tuple(sample for sample in run.samples if sample.trial.cell.tier is tier)
    assert len(found) == 6
    return found


def _image(run: StoredRun) -> Image:
    (image,) = run.manifest.images
    return image


def test_every_start_of_a_quiet_machine_is_ok_or_was_repeated(tiers: tuple[StoredRun, Path]) -> None:
    assert {sample.outcome for sample in tiers[0].samples} <= {Outcome.OK, Outcome.NOT_QUIET}
    assert sum(sample.outcome is Outcome.OK for sample in tiers[0].samples) == 18


def test_absent_is_proved_by_the_registrys_log_to_the_byte(tiers: tuple[StoredRun, Path]) -> None:
    image = _image(tiers[0])
    for sample in _of(tiers[0], Tier.ABSENT):
        assert sample.proof is not None
        assert (sample.proof.blob_gets, sample.proof.blob_bytes) == (len(image.layers) + 1, image.blob_bytes)
        assert sorted(sample.proof.blob_digests or ()) == sorted(
            [image.image_id, *(layer.digest or "" for layer in image.layers)]
        )
        assert sample.proof.layers_unpacked == len(image.layers)
        assert sample.proof.image_present is False


def test_what_was_unpacked_is_what_the_engine_counted(tiers: tuple[StoredRun, Path]) -> None:
    unpacked_bytes = _image(tiers[0]).unpacked_bytes
    assert unpacked_bytes is not None
    for sample in _of(tiers[0], Tier.ABSENT):
        assert unpacked_bytes <= (sample.bytes_unpacked or 0) < 1.1 * unpacked_bytes
        assert sample.files_unpacked is None


def test_cached_is_proved_by_no_page_in_memory_and_no_byte_moved(tiers: tuple[StoredRun, Path]) -> None:
    for sample in _of(tiers[0], Tier.CACHED):
        assert sample.proof is not None
        assert (sample.proof.resident_bytes, sample.proof.blob_gets, sample.proof.image_present) == (0, 0, True)


def test_warm_is_proved_by_an_earlier_start_and_no_byte_moved(tiers: tuple[StoredRun, Path]) -> None:
    for sample in _of(tiers[0], Tier.WARM):
        assert sample.proof is not None
        assert (sample.proof.warm_starts or 0) >= 1
        assert (sample.proof.blob_gets, sample.proof.image_present) == (0, True)
        assert (sample.proof.resident_bytes or 0) >= 0.95 * (sample.proof.warmed_bytes or 1) > 1_000_000


def test_a_cached_start_reads_from_the_disk_and_a_warm_one_does_not(tiers: tuple[StoredRun, Path]) -> None:
    """The proof's own proof: evicted pages have to come from somewhere."""
    read = {
        tier: min(sample.conditions.disk_read_bytes or 0 for sample in _of(tiers[0], tier))
        for tier in (Tier.CACHED, Tier.WARM)
    }
    assert read[Tier.CACHED] > 1_000_000
    assert read[Tier.WARM] < read[Tier.CACHED]


def test_phases_add_up_to_the_ns(tiers: tuple[StoredRun, Path]) -> None:
    for sample in tiers[0].samples:
        phases = phases_of(sample)
        if phases is None:
            continue
        assert phases.e2e_ns == sum(getattr(phases, name) for name in ADDENDS)
        assert phases.pull_ns == sum(getattr(phases, name) or 0 for name in PULL_PARTS)
        assert phases.init_ns is not None
        assert 0 < phases.init_ns < phases.e2e_ns


def test_every_layer_of_a_pull_has_its_spans_and_a_pull_of_none_has_none(tiers: tuple[StoredRun, Path]) -> None:
    for sample in _of(tiers[0], Tier.ABSENT):
        phases = phases_of(sample)
        assert phases is not None
        assert min(phases.download_ns or 0, phases.unpack_ns or 0, phases.register_ns or 0) > 0
    for sample in _of(tiers[0], Tier.WARM):
        phases = phases_of(sample)
        assert phases is not None
        assert (phases.pull_ns, phases.unpack_ns) == (0, 0)


def test_the_table_has_the_columns_users_were_promised_and_a_row_a_sample(tiers: tuple[StoredRun, Path]) -> None:
    with tiers[1].open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0])[: len(PROMISED)] == PROMISED
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(tiers[0].samples)
    assert all(int(row["e2e_ns"]) == sum(int(row[name]) for name in ADDENDS) for row in rows if row["outcome"] == "ok")


def test_the_manifest_names_engine_runtimes_and_images_so_that_they_can_be_had_again(
    tiers: tuple[StoredRun, Path],
) -> None:
    manifest = tiers[0].manifest
    assert [facts.name for facts in manifest.runtimes] == ["crun", "runc"]
    assert all(len(facts.sha256 or "") == 64 and facts.version for facts in manifest.runtimes)
    assert (manifest.registry.link, manifest.engine.where) == ("local link", "testbed")
    image = _image(tiers[0])
    assert image.reference.endswith(f"@{image.digest}")
    assert image.provenance


def test_a_run_leaves_no_container(tiers: tuple[StoredRun, Path], client: docker.APIClient) -> None:
    assert tiers[0].samples
    assert client.containers(all=True) == []


@pytest.mark.parametrize(("network", "ready"), [("host", "http:8080/"), ("none", "log:listening"), ("none", "exit")])
def test_other_networks_and_probes(cli: Cli, testbed: Testbed, shell: str, network: str, ready: str) -> None:
    image = ("--image", shell) if ready == "exit" else ("--image", f"{testbed.registry_address}/coldstart/hello:alpine")
    command = ("--", "true") if ready == "exit" else ()
    code, said = cli.run(*image, "--ready", ready, "--network", network, "--tier", "warm", "-n", "1", *command)
    assert (code, [sample.outcome for sample in cli.samples()]) == (0, [Outcome.OK]), said


def test_container_options_reach_the_container(cli: Cli, shell: str, tmp_path: Path) -> None:
    (tmp_path / "file.env").write_text("FROM_FILE=yes\n")
    check = 'test "$A$FROM_FILE" = byes && test -e /seen/file.env && test "$(nproc)" = 1 && test -c /dev/other'
    code, said = cli.run(
        *("--image", shell, "--ready", "exit", "--tier", "warm", "-n", "1", "--network", "none"),
        *("-e", "A=b", "--env-file", str(tmp_path / "file.env"), "-v", f"{tmp_path}:/seen:ro"),
        *("--memory", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "--device", "/dev/null:/dev/other"),
        *("--", "sh", "-c", check),
    )
    assert code == 0, said


def test_an_image_that_exits_at_once_is_told_with_its_last_line(cli: Cli, shell: str) -> None:
    code, said = cli.run(
        *(
            "--image",
            shell,
            "--ready",
            "http:80/",
            "--tier",
            "warm",
            "-n",
            "1",
            "--",
            "sh",
            "-c",
            "echo no disk; exit 3",
        )
    )
    (sample,) = cli.samples()
    assert (code, sample.outcome, sample.exit_code, sample.output_tail) == (4, Outcome.EXITED, 3, "no disk\n")
    assert "exited: it exited with code 3 before it was ready; its last line: no disk" in said.splitlines()[-1]


def test_a_wrong_port_is_told_with_the_ports_it_listens_on(cli: Cli, testbed: Testbed) -> None:
    code, said = cli.run(
        *("--image", f"{testbed.registry_address}/coldstart/hello:alpine", "--ready", "http:9999/"),
        *("--tier", "warm", "-n", "1", "--timeout", "500ms"),
    )
    (sample,) = cli.samples()
    assert (code, sample.outcome) == (4, Outcome.NEVER_READY)
    assert "Connection refused; it listens on 8080" in said.splitlines()[-1]


def test_an_image_for_another_architecture_is_told_as_such(cli: Cli, tmp_path: Path) -> None:
    with new_layer(tmp_path / "layer.tar") as layer:
        layer.add_file("app", _AARCH64_ELF, mode=0o755)
    write_archive(
        tmp_path / "app.tar",
        tag="app:arm",
        platform="linux/arm64",
        layers=[(tmp_path / "layer.tar", "made here")],
        config={"Entrypoint": ["/app"]},
    )
    asked = (
        *("--image", str(tmp_path / "app.tar"), "--ready", "http:80/", "--tier", "absent", "-n", "1"),
        *("--timeout", "1s"),
    )
    code, said = cli.run(*asked)
    assert (code, "is for linux/arm64, not for linux/amd64" in said) == (2, True)
    code, said = cli.run(*asked, "--platform", "linux/arm64")
    (sample,) = cli.samples()
    assert (code, sample.outcome) == (4, Outcome.WRONG_PLATFORM)
    assert "the image is for linux/arm64, this engine is linux/amd64" in said


def test_an_image_nobody_has_is_told_and_no_run_is_begun(cli: Cli) -> None:
    code, said = cli.run("--image", "nobody.invalid/app:1", "--ready", "http:80/", "-n", "1")
    assert (code, "nobody.invalid/app:1: no local image of that name" in said) == (4, True)
    assert not cli.results.exists()


def test_an_unknown_runtime_is_told_with_the_nearest_and_no_run_is_begun(cli: Cli) -> None:
    code, said = cli.run("tiers", "--runtime", "crum")
    assert (code, "unknown runtime 'crum'; did you mean 'crun'?" in said) == (2, True)
    assert not cli.results.exists()


def test_an_image_that_a_stopped_container_holds_is_never_called_absent(
    cli: Cli, client: docker.APIClient, tiers: tuple[StoredRun, Path]
) -> None:
    reference = _image(tiers[0]).reference
    client.pull(reference)
    held = client.create_container(reference)["Id"]
    code, said = cli.run("tiers", "--tier", "absent", "--runtime", "runc", "-n", "1", "-w", "0")
    samples = cli.samples()
    client.remove_container(held)
    assert (code, {sample.outcome for sample in samples}, len(samples)) == (4, {Outcome.NOT_COLD}, 3), said
    assert all(phases_of(sample) is None for sample in samples)


def test_ctrl_c_keeps_what_was_measured_and_resume_measures_the_rest(cli: Cli, client: docker.APIClient) -> None:
    running = cli.start("tiers", "--tier", "warm", "-n", "3", "-w", "0", "--seed", "7")
    assert running.stderr is not None
    next(line for line in running.stderr if line.startswith("[2/6]"))
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    kept = cli.samples()
    run_dir = newest_run(cli.results)
    assert (running.returncode, 2 <= len(kept) < 6, f"coldstart run --resume {run_dir}" in said) == (130, True, True)
    assert client.containers(all=True) == []
    code, said = cli.run("--resume", str(run_dir))
    resumed = cli.samples()
    assert (code, len(resumed), resumed[: len(kept)]) == (0, 6, kept), said
    assert len({(sample.trial.block, sample.trial.cell) for sample in resumed}) == 6


def test_two_runs_at_once_the_second_is_told_who_measures(cli: Cli) -> None:
    first = cli.start("tiers", "--tier", "warm", "-n", "20")
    assert first.stderr is not None
    next(line for line in first.stderr if line.startswith("["))
    code, said = cli.run("tiers", "-n", "1")
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert (code, first.returncode) == (4, 130)
    assert f"is held by process {first.pid} of " in said


def test_json_names_the_run_and_its_cells(cli: Cli) -> None:
    process = cli.start("tiers", "--tier", "warm", "--runtime", "crun", "-n", "1", "-w", "0", "--json")
    out, _ = process.communicate()
    summary = json.loads(out)
    assert (summary["path"], summary["cells"][0]["ok"]) == (str(newest_run(cli.results)), 1)


def test_an_engine_that_dies_is_told_and_nothing_before_it_is_lost(
    testbed_config: TestbedConfig, tmp_path: Path
) -> None:
    config = msgspec.structs.replace(testbed_config, root=Path("/var/lib/coldstart-test-3"))
    bed = lifecycle.up(config, lambda _: None)
    try:
        cli = Cli(bed, tmp_path / "results")
        running = cli.start("tiers", "--tier", "warm", "-n", "20", "-w", "0")
        assert running.stderr is not None
        next(line for line in running.stderr if line.startswith("[ 3/"))
        os.kill(next(ref.pid for ref in bed.processes if ref.name == "dockerd"), signal.SIGKILL)
        _, said = running.communicate()
        outcomes = [sample.outcome for sample in cli.samples()]
    finally:
        lifecycle.down(config.root, lambda _: None)
    assert (running.returncode, outcomes[:3], outcomes[-1]) == (4, [Outcome.OK] * 3, Outcome.ENGINE_LOST)
    assert "the engine was lost" in said.splitlines()[-1]
    assert "coldstart run --resume" in said.splitlines()[-1]


@pytest.fixture
def own_engine(testbed: Testbed, tmp_path: Path) -> Cli:
    """The testbed's engine, but reached as a user's own: nothing is known of it but its socket."""
    return Cli(testbed, tmp_path / "results", DOCKER_HOST=testbed.docker_host, COLDSTART_CACHE_DIR=str(tmp_path / "c"))


def test_a_users_own_engine_is_measured_and_left_without_the_image(
    own_engine: Cli, testbed: Testbed, client: docker.APIClient, tiers: tuple[StoredRun, Path]
) -> None:
    for listed in client.images(all=True):
        client.remove_image(listed["Id"], force=True)
    code, said = own_engine.run(
        *("--engine", "docker", "--image", f"{testbed.registry_address}/coldstart/hello:alpine"),
        *("--ready", "log:listening", "--tier", "absent,warm", "-n", "2"),
    )
    assert code == 0, said
    samples = own_engine.samples()
    assert {sample.outcome for sample in samples} == {Outcome.OK}
    absent = [sample for sample in samples if sample.trial.cell.tier is Tier.ABSENT]
    assert {sample.layers_unpacked for sample in absent} == {len(_image(tiers[0]).layers)}
    assert client.images() == []


def test_an_image_a_users_own_engine_had_is_never_removed(
    cli: Cli, own_engine: Cli, testbed: Testbed, client: docker.APIClient, shell: str
) -> None:
    taken_in = ("--image", shell, "--ready", "exit", "--tier", "warm", "-n", "1", "--network", "none", "--", "true")
    assert cli.run(*taken_in)[0] == 0
    (image,) = open_run(newest_run(cli.results)).manifest.images
    reference = image.reference.replace("@sha256:", ":sha256-")  # the tag that an import has
    assert reference.startswith(testbed.registry_address)
    client.pull(reference)
    code, said = own_engine.run(
        *("--engine", "docker", "--image", reference, "--ready", "exit", "--tier", "absent", "-n", "1", "--", "true")
    )
    still_there = [listed["Id"] for listed in client.images(reference)]
    client.remove_image(reference, force=True)
    assert (code, still_there) == (4, [image.image_id])
    assert "was in the engine before, and coldstart removes only what it pulled" in said
