"""Every readiness probe through ``coldstart run`` on the real engine, and what it says when there is no readiness.

No image of the catalogue sends READY=1, and busybox has no client for datagrams but one: its ``logger`` writes each
message to /dev/log as one datagram, lines and all. With /dev/log linked to $NOTIFY_SOCKET, that is sd_notify.
"""

from __future__ import annotations

import re
from pathlib import Path

import docker
import pytest

from coldstart.images.bases import BaseSource, ensure_base
from coldstart.model.sample import Outcome, Sample
from coldstart.store.reader import newest_run, open_run
from coldstart.testbed.config import Testbed, TestbedConfig
from tests.archives import with_healthcheck
from tests.engine.command_line import Cli

pytestmark = pytest.mark.engine

SERVE = r"""
cat > /answer <<'END'
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf 'HTTP/1.0 204 No Content\r\n\r\n'
END
echo listening
exec nc -lk -p 8080 -e sh /answer
"""
READY_LATER = "sleep 0.3; touch /ready; exec sleep 60"
SEND_READY = 'logger "from the app\nREADY=1"; exec sleep 60'
AS_NOBODY = f"ln -s $NOTIFY_SOCKET /dev/log; exec su nobody -s /bin/sh -c '{SEND_READY}'"


@pytest.fixture
def cli(testbed: Testbed, tmp_path: Path) -> Cli:
    return Cli(testbed, tmp_path / "results")


def once(cli: Cli, image: str, ready: str, script: str, *options: str) -> tuple[Sample, str]:
    """The one sample of a warm start of that script, and what was said."""
    warm = ("--tier", "warm", "-n", "1", *options)
    code, said = cli.run("--image", image, "--ready", ready, *warm, "--", "sh", "-c", script)
    samples = [sample for sample in cli.samples() if sample.outcome is not Outcome.NOT_QUIET]
    assert len(samples) == 1, said
    assert code == (0 if samples[0].outcome is Outcome.OK else 4), said
    return samples[0], said


@pytest.fixture(scope="module")
def base(testbed_config: TestbedConfig) -> Path:
    """The archive of Alpine's userland."""
    return ensure_base(testbed_config.cache, "alpine", "linux/amd64", BaseSource.AUTO, lambda _: None).archive


@pytest.fixture(scope="module")
def shell(base: Path) -> str:
    """An image that runs commands."""
    return str(base)


@pytest.fixture(scope="module")
def checked(base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same with a HEALTHCHECK for /ready, every 20 ms."""
    return with_healthcheck(base, tmp_path_factory.mktemp("checked"), "test -e /ready")


@pytest.mark.parametrize(
    ("ready", "script"),
    [
        ("http:8080/", SERVE),
        ("tcp:8080", SERVE),
        ("log:listening", SERVE),
        ("exec:test -e /ready", READY_LATER),
        ("exec:sh -c 'test -e \"/ready\"'", READY_LATER),
        ("notify", f"ln -s $NOTIFY_SOCKET /dev/log; {SEND_READY}"),
        ("notify", AS_NOBODY),
        ("exit", "true"),
    ],
)
@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_container_becomes_ready_by_every_probe(cli: Cli, shell: str, ready: str, script: str, runtime: str) -> None:
    sample, said = once(cli, shell, ready, script, "--runtime", runtime)
    assert sample.outcome is Outcome.OK, said


def test_a_container_becomes_ready_when_it_is_healthy(cli: Cli, checked: str) -> None:
    sample, said = once(cli, checked, "healthcheck", READY_LATER)
    assert sample.outcome is Outcome.OK, said


def test_the_resolution_of_exec_holds_at_least_one_attempt(cli: Cli, shell: str) -> None:
    harness = once(cli, shell, "exec:test -e /ready", READY_LATER)[0].harness
    assert (harness.probe_attempts or 0) > 1
    assert (harness.probe_resolution_ns or 0) > 5_000_000  # entering a container takes longer than this


def test_the_resolution_of_a_healthcheck_is_no_less_than_its_interval(cli: Cli, checked: str) -> None:
    harness = once(cli, checked, "healthcheck", READY_LATER)[0].harness
    assert 20_000_000 <= (harness.probe_resolution_ns or 0) < 300_000_000


def test_a_notification_has_no_resolution_and_leaves_no_folder(cli: Cli, testbed: Testbed, shell: str) -> None:
    sample, _ = once(cli, shell, "notify", f"ln -s $NOTIFY_SOCKET /dev/log; {SEND_READY}")
    assert (sample.harness.probe_attempts, sample.harness.probe_resolution_ns) == (1, None)
    assert list(testbed.root.glob("coldstart-notify-*")) == []


def test_a_users_own_engine_can_be_notified_from(cli: Cli, testbed: Testbed, shell: str, tmp_path: Path) -> None:
    """There the socket is in the system's folder for temporary files."""
    once(cli, shell, "exit", "true")
    (image,) = open_run(newest_run(cli.results)).manifest.images
    reference = image.reference.replace("@sha256:", ":sha256-")  # the tag that an import has
    own = {"DOCKER_HOST": testbed.docker_host, "COLDSTART_CACHE_DIR": str(tmp_path / "cache")}
    cli.environment |= own
    sample, said = once(cli, reference, "notify", AS_NOBODY, "--engine", "docker")
    assert sample.outcome is Outcome.OK, said
    assert open_run(newest_run(cli.results)).manifest.engine.where == "user"


@pytest.mark.parametrize(
    ("ready", "script", "why"),
    [
        ("exec:test -e /never", "sleep 60", "exec:test -e /never: exit code 1"),
        ("exec:nosuch", "sleep 60", "exit code 12[67]; its last line: .*nosuch.*not found"),
        ("exec:sleep 60", "sleep 60", "exec:sleep 60: the command still ran"),
        ("notify", "sleep 60", "notify: no READY=1 came, nor anything else"),
        (
            "notify",
            'ln -s $NOTIFY_SOCKET /dev/log; logger "STATUS=soon"; sleep 60',
            "the last it sent was .*STATUS=soon",
        ),
    ],
)
def test_what_never_becomes_ready_is_told_why(
    cli: Cli, shell: str, testbed: Testbed, ready: str, script: str, why: str
) -> None:
    sample, said = once(cli, shell, ready, script, "--timeout", "700ms")
    assert sample.outcome is Outcome.NEVER_READY, said
    assert re.search(why, sample.reason or "")
    client = docker.APIClient(base_url=testbed.docker_host, version="auto")
    left = client.containers(all=True)
    client.close()
    assert (left, list(testbed.root.glob("coldstart-notify-*"))) == ([], [])


def test_an_image_without_a_healthcheck_is_refused_before_any_start(cli: Cli, shell: str) -> None:
    code, said = cli.run(
        *("--image", shell, "--ready", "healthcheck", "--tier", "warm", "-n", "1", "--", "sleep", "60")
    )
    assert (code, "the image has no HEALTHCHECK" in said) == (2, True), said


def test_an_unhealthy_container_is_not_waited_for(cli: Cli, base: Path, tmp_path: Path) -> None:
    failing = with_healthcheck(base, tmp_path, "echo no answer; exit 1", retries=2)
    sample, _ = once(cli, failing, "healthcheck", "exec sleep 60", "--timeout", "60s")
    assert sample.outcome is Outcome.NEVER_READY
    assert (sample.reason or "").startswith("healthcheck: unhealthy: ")
    assert "the last check said: no answer" in (sample.reason or "")


@pytest.mark.parametrize("ready", ["exec:true", "notify", "healthcheck"])
def test_a_container_that_ends_is_told_as_such(cli: Cli, checked: str, ready: str) -> None:
    sample, _ = once(cli, checked, ready, "echo no disk; exit 3", "--timeout", "60s")
    assert (sample.outcome, sample.exit_code) == (Outcome.EXITED, 3)
