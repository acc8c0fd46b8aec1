"""The harness of injected faults: which fault comes when, what its table counts, and what counts as lost."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.fault_ground import Ended, Ground, most_failed
from benchmarks.fault_proxy import FaultProxy, Misbehaviour, Wanted
from benchmarks.faults import Fault, Scene, findings_of_run, kinds, of_the_host, order, table
from coldstart.model.sample import Outcome
from coldstart.testbed.config import Layout
from tests.unit.factories import make_sample

BODY = b"0123456789"


def ended(code: int | None = 0, err: str = "", out: str = "") -> Ended:
    return Ended(code=code, seconds=1.0, out=out, err=err)


def fault(kind: str, *findings: str, code: int | None = 0, announced: int = 2, stored: int = 2) -> Fault:
    return Fault(
        number=0,
        kind=kind,
        seed=1,
        detail="",
        instant_ms=1,
        exit_code=code,
        seconds=1.0,
        announced=announced,
        stored=stored,
        findings=findings,
        last_line="",
    )


def test_each_kind_comes_once_in_every_round_in_an_order_of_its_own() -> None:
    names = [kind.name for kind in kinds()]
    first, second = (
        [kind.name for number, kind in order(7, 2 * len(names)) if number // len(names) == turn] for turn in (0, 1)
    )
    assert sorted(first) == sorted(second) == sorted(names)
    assert first != second
    assert len(set(names)) == len(names)


def test_the_same_seed_gives_the_same_faults_however_many_are_wanted() -> None:
    few, many = list(order(7, 5)), list(order(7, 50))
    assert [(number, kind.name) for number, kind in few] == [(number, kind.name) for number, kind in many[:5]]


def test_every_kind_of_the_issue_is_there() -> None:
    names = " | ".join(kind.name for kind in kinds())
    for process in ("dockerd", "containerd", "shim", "registry"):
        assert f"kill -9 of {process}" in names
        assert f"SIGSTOP of {process}" in names
    for word in ("SIGHUP", "SIGTERM", "SIGINT", "results", "state", "cache", "reset", "corrupt", "401", "404", "500",
                 "hang", "crash", "lie"):  # fmt: skip
        assert word in names


@pytest.mark.parametrize(
    ("found", "announced", "stored", "what"),
    [
        (ended(), 2, 2, []),
        (ended(), 2, 3, []),
        (ended(), 3, 2, ["samples lost"]),
        (ended(None), 0, 0, ["hang"]),
        (ended(1, err="x"), 0, 0, ["exit code 1"]),
        (ended(err="Traceback (most recent call last)\n"), 0, 0, ["traceback"]),
        (ended(out="unexpected error (KeyError: 1)"), 0, 0, ["traceback"]),
    ],
)
def test_what_is_wrong_with_an_end_is_named(found: Ended, announced: int, stored: int, what: list[str]) -> None:
    said = list(findings_of_run(frozenset({0, 4}), found, announced, stored))
    assert [one.partition(":")[0].partition(",")[0] for one in said] == what


def test_samples_that_a_run_said_had_ended_are_counted() -> None:
    said = "making network namespaces\n[1/4] block 0  docker/a  1 s\n[ 2/14] block 0  b\nrun [3/4] block\n"
    assert Ground.announced(ended(err=said)) == 2


class Left(Ground):
    """A ground whose testbed is down and left these behind."""

    left: tuple[str, ...] = ()

    def down(self, environment: Mapping[str, str] | None = None) -> Ended:
        """At once."""
        del environment
        return ended()

    def leftovers(self, layout: Layout | None = None) -> list[str]:
        """As they were set."""
        del layout
        return list(self.left)


def scene(used: Ground, disk: Path | None = None) -> Scene:
    return Scene(ground=used, rng=random.Random(1), disk=disk)  # noqa: S311  instants, not secrets


def ground(tmp_path: Path, *left: str) -> Left:
    (tmp_path / "tmp").mkdir()
    made = Left(root=tmp_path / "root", cache=tmp_path / "cache", work=tmp_path, image=tmp_path / "image")
    made.left = left
    return made


@pytest.mark.parametrize("disk", ["state", "results", "cache"])
def test_of_a_full_disk_all_but_the_disk_itself_is_a_leftover(tmp_path: Path, disk: str) -> None:
    place = tmp_path / disk
    inside = (f"folder {place}/testbed", f"mount {place}/testbed/netns/engine", f"loop device {place}/disk")
    used = ground(tmp_path, f"mount {place}", *inside)
    assert list(of_the_host(used, scene(used, place))) == [f"leftover: {one}" for one in inside]


def test_a_mount_left_by_an_earlier_fault_is_a_leftover_of_any_other_kind(tmp_path: Path) -> None:
    used = ground(tmp_path, f"mount {tmp_path}/state")
    assert list(of_the_host(used, scene(used))) == [f"leftover: mount {tmp_path}/state"]


@pytest.mark.parametrize(("clean_s", "limits"), [(3.0, ("5s", "30s")), (6.0, ("5s", "30s")), (60.0, ("50s", "300s"))])
def test_a_runs_own_limits_grow_with_what_a_clean_run_takes_here(
    tmp_path: Path, clean_s: float, limits: tuple[str, str]
) -> None:
    used = ground(tmp_path)
    used.clean_s = clean_s
    assert used.limits() == ("--timeout", limits[0], "--budget", limits[1])


def test_the_clean_run_whose_pace_is_to_be_measured_is_given_ten_times_the_time(tmp_path: Path) -> None:
    assert ground(tmp_path).slowness == 10


def test_more_failed_than_timed_starts_are_most() -> None:
    ok, failed = make_sample(), make_sample(outcome=Outcome.PULL_FAILED, reason="no")
    requeued = make_sample(outcome=Outcome.NOT_QUIET, reason="busy")
    assert most_failed([ok, failed, failed, requeued])
    assert not most_failed([ok, failed, requeued])
    assert not most_failed([])


def test_the_table_has_one_row_for_each_kind_with_its_counts() -> None:
    rows = table(
        [
            fault("b", "leftover: mount /x", "leftover: process 1", code=4),
            fault("b", "hang: still running", code=None, announced=3, stored=1),
            fault("a", "traceback: x", "unreadable run: y", "export ended with 4: z", "exit code 1: w", code=1),
        ]
    )
    assert [row.kind for row in rows] == ["a", "b"]
    a, b = rows
    assert (a.tracebacks, a.unreadable_runs, a.other_findings, a.exit_codes) == (1, 2, 1, {"1": 1})
    assert (b.faults, b.leftovers, b.hangs, b.samples_lost, b.other_findings) == (2, 2, 1, 2, 0)
    assert b.exit_codes == {"4": 1, "killed": 1}


class Registry(BaseHTTPRequestHandler):
    """A registry with one blob, sent some time after the answer's head where its path says so."""

    def do_GET(self) -> None:
        """Answer everything with it."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if self.path.endswith("late"):
            time.sleep(0.1)
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[tuple[FaultProxy, Callable[..., tuple[int, bytes]]]]:
    """A proxy in front of a registry, and how to ask through it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = FaultProxy(f"127.0.0.1:{server.server_address[1]}")
    with made.listening(None, "127.0.0.1", 0) as port:

        def ask(path: str, timeout_s: float = 30) -> tuple[int, bytes]:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read()

        yield made, ask
    server.shutdown()
    server.server_close()


Proxied = tuple[FaultProxy, Callable[..., tuple[int, bytes]]]


def test_a_proxy_that_was_asked_for_nothing_passes_everything_on(proxy: Proxied) -> None:
    assert proxy[1]("/v2/a/blobs/1") == (200, BODY)


def test_only_the_wanted_requests_are_answered_badly_and_only_so_often(proxy: Proxied) -> None:
    made, ask = proxy
    made.misbehave(Misbehaviour.MISSING, Wanted.BLOBS, 1)
    assert [ask(path)[0] for path in ("/v2/a/manifests/1", "/v2/a/blobs/1", "/v2/a/blobs/1")] == [200, 404, 200]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [(Misbehaviour.UNAUTHORIZED, 401), (Misbehaviour.MISSING, 404), (Misbehaviour.BROKEN, 500)],
)
def test_a_refusal_has_its_code(proxy: Proxied, behaviour: Misbehaviour, code: int) -> None:
    made, ask = proxy
    made.misbehave(behaviour, Wanted.MANIFESTS, 9)
    assert ask("/v2/a/manifests/1")[0] == code


@pytest.mark.parametrize("name", ["1", "late"])
def test_a_corrupt_answer_is_as_long_and_another(proxy: Proxied, name: str) -> None:
    made, ask = proxy
    made.misbehave(Misbehaviour.CORRUPT, Wanted.BLOBS, 9)
    status, body = ask(f"/v2/a/blobs/{name}")
    assert (status, len(body)) == (200, len(BODY))
    assert body != BODY


@pytest.mark.parametrize("behaviour", [Misbehaviour.RESET, Misbehaviour.CUT, Misbehaviour.SILENT])
def test_an_answer_that_is_not_whole_is_an_error_to_who_asked(proxy: Proxied, behaviour: Misbehaviour) -> None:
    made, ask = proxy
    made.misbehave(behaviour, Wanted.BLOBS, 9)
    with pytest.raises((OSError, http.client.HTTPException)):
        ask("/v2/a/blobs/1", timeout_s=0.5 if behaviour is Misbehaviour.SILENT else 30)
