"""Docker's wire formats."""

from __future__ import annotations

import pytest

from coldstart.engines.base import ContainerSpec, ContainerState, Health
from coldstart.engines.progress import layer_events, pull_error
from coldstart.engines.wire import container_state, create_body, lines, message_of, unframed, wall_ns
from coldstart.errors import EngineError
from coldstart.model.cell import Network
from coldstart.model.options import ContainerOptions
from tests.unit.factories import make_image


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-02T00:00:00.000000007Z", 86_400_000_000_007),
        ("2026-11-24T04:41:02.621628842Z", 1_795_495_262_621_628_842),
        ("1970-01-01T02:00:01.5+02:00", 1_500_000_000),
        ("1969-12-31T19:30:01-04:30", 1_000_000_000),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_an_instant_keeps_its_nanoseconds(text: str, expected: int | None) -> None:
    assert wall_ns(text) == expected


def test_a_bare_container_is_asked_for_with_runtime_network_and_our_label_only() -> None:
    image = make_image()
    body = create_body(ContainerSpec(image=image, runtime="crun", network=Network.NONE))
    assert body == {
        "Image": image.reference,
        "Labels": {"coldstart.container": "coldstart"},
        "HostConfig": {"Runtime": "crun", "NetworkMode": "none"},
    }


def test_every_option_reaches_docker_under_its_own_name() -> None:
    options = ContainerOptions(
        env=("A=1", "B"),
        volumes=("/a:/b:ro", "/c:/d", "/e:/f:Z"),
        devices=("/dev/x", "/dev/y:/dev/z:r"),
        memory_bytes=512,
        cpus=0.5,
        cpuset_cpus="0-1",
        command=("sh", "-c", "true"),
        user="1000:50",
        entrypoint=("/bin/tini", "--"),
        workdir="/app",
        hostname="box",
        tmpfs=("/tmp", "/run:size=1m,mode=755"),
        shm_bytes=1024,
        read_only=True,
        init=True,
        privileged=True,
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        security_opt=("no-new-privileges",),
        ulimits=("nofile=1024:2048", "core=-1"),
        add_hosts=("db:10.0.0.5",),
        dns=("10.0.0.1",),
        dns_options=("ndots:1",),
        labels=("a=b=c", "d="),
    )
    body = create_body(ContainerSpec(image=make_image(), runtime="runc", network=Network.HOST, options=options))
    host = body.pop("HostConfig")
    body.pop("Image")
    assert body == {
        "Env": ["A=1", "B"],
        "Cmd": ["sh", "-c", "true"],
        "Entrypoint": ["/bin/tini", "--"],
        "User": "1000:50",
        "WorkingDir": "/app",
        "Hostname": "box",
        "Labels": {"a": "b=c", "d": "", "coldstart.container": "coldstart"},
    }
    assert host == {
        "Runtime": "runc",
        "NetworkMode": "host",
        "Memory": 512,
        "NanoCpus": 500_000_000,
        "CpusetCpus": "0-1",
        "ShmSize": 1024,
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}, {"Name": "core", "Soft": -1, "Hard": -1}],
        "Mounts": [
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
            {"Type": "bind", "Source": "/c", "Target": "/d", "ReadOnly": False},
        ],
        "Binds": ["/e:/f:Z"],
        "Devices": [
            {"PathOnHost": "/dev/x", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"},
            {"PathOnHost": "/dev/y", "PathInContainer": "/dev/z", "CgroupPermissions": "r"},
        ],
        "Tmpfs": {"/tmp": "", "/run": "size=1m,mode=755"},
        "ReadonlyRootfs": True,
        "Init": True,
        "Privileged": True,
        "CapAdd": ["NET_ADMIN"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ExtraHosts": ["db:10.0.0.5"],
        "Dns": ["10.0.0.1"],
        "DnsOptions": ["ndots:1"],
    }


def test_a_running_container_has_no_end_and_the_address_of_its_network() -> None:
    state = container_state(
        {
            "State": {
                "Running": True,
                "Pid": 7,
                "StartedAt": "1970-01-01T00:00:01Z",
                "FinishedAt": "0001-01-01T00:00:00Z",
                "ExitCode": 0,
                "Error": "",
            },
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        }
    )
    assert (state.running, state.pid, state.started_wall_ns, state.address) == (True, 7, 1_000_000_000, "172.17.0.2")
    assert (state.finished_wall_ns, state.exit_code) == (None, None)


def test_a_created_container_has_neither_start_nor_exit_code() -> None:
    never = "0001-01-01T00:00:00Z"
    state = container_state(
        {"State": {"Running": False, "Pid": 0, "StartedAt": never, "FinishedAt": never, "ExitCode": 0}}
    )
    assert (state.started_wall_ns, state.exit_code, state.pid, state.address) == (None, None, None, None)


def test_an_ended_container_has_its_exit_code() -> None:
    at = "1970-01-01T00:00:01Z"
    state = container_state({"State": {"Running": False, "Pid": 0, "StartedAt": at, "FinishedAt": at, "ExitCode": 3}})
    assert (state.exit_code, state.finished_wall_ns) == (3, 1_000_000_000)


def _state(health: object) -> ContainerState:
    never = "0001-01-01T00:00:00Z"
    state = {"Running": True, "Pid": 7, "StartedAt": never, "FinishedAt": never, "ExitCode": 0, "Health": health}
    return container_state({"State": state})


@pytest.mark.parametrize("health", [None, {"Status": "none", "FailingStreak": 0, "Log": None}])
def test_a_container_without_a_health_check_has_no_health(health: object) -> None:
    assert _state(health).health is None


def test_before_the_first_check_nothing_is_known_but_that_it_starts() -> None:
    assert _state({"Status": "starting", "FailingStreak": 0, "Log": []}).health == Health(status="starting")


def _check(second: int, code: int, end: str = "") -> dict[str, object]:
    return {"Start": f"1970-01-01T01:00:0{second}+01:00", "End": end, "ExitCode": code, "Output": f"{code}\n"}


def test_health_has_the_last_checks_words_and_when_the_last_failure_and_the_first_pass_after_it_began() -> None:
    checks = [_check(1, 0), _check(2, 1), _check(3, 0), _check(4, 0)]
    health = _state({"Status": "healthy", "FailingStreak": 0, "Log": checks}).health
    assert health == Health(status="healthy", failed_wall_ns=2_000_000_000, passed_wall_ns=3_000_000_000, output="0\n")


def test_health_has_the_length_of_the_shortest_check_whose_end_is_known() -> None:
    ends = ["1970-01-01T00:00:01.5Z", "1970-01-01T00:00:02.2Z", "1970-01-01T00:00:00Z", ""]
    checks = [_check(second, 0, end) for second, end in enumerate(ends, start=1)]
    health = _state({"Status": "healthy", "FailingStreak": 0, "Log": checks}).health
    assert health is not None
    assert (health.shortest_ns, health.passed_wall_ns) == (200_000_000, 1_000_000_000)


def test_frames_cut_anywhere_give_the_output_back() -> None:
    framed = b"\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02cd"
    pieces = [framed[:5], framed[5:13], framed[13:]]
    assert b"".join(unframed(iter(pieces))) == b"ab\ncd"


def test_a_last_line_without_newline_counts() -> None:
    assert list(lines(iter([b"a\nb", b"c\nd"]))) == [b"a", b"bc", b"d"]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b'{"message":"no \\"such\\" image"}', 'no "such" image'), (b"plain", "plain"), (b"", "no reason given")],
)
def test_an_error_says_what_the_engine_said(body: bytes, message: str) -> None:
    assert message_of(body) == message


def test_a_progress_message_counts_from_the_piece_that_completed_it() -> None:
    events = layer_events(
        [
            (1, b'{"status":"Pulling from t","id":"1"}\r\n{"status":"Downloading","prog'),
            (2, b'ressDetail":{},"id":"ab"}\r\n'),
            (3, b'{"status":"Pull complete","progressDetail":{},"id":"ab"}\r\n{"status":"Digest: x"}\r\n'),
        ]
    )
    assert [tuple(event) for event in events] == [(2, "ab", "Downloading"), (3, "ab", "Pull complete")]


def test_a_pull_that_failed_after_it_began_has_its_error() -> None:
    assert pull_error(b'{"status":"x"}\r\n{"errorDetail":{},"error":"no space left on device"}\r\n') == (
        "no space left on device"
    )
    assert pull_error(b'{"status":"x"}\r\n') is None


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\n\n\r"])
def test_a_progress_message_may_end_by_either_character(end: bytes) -> None:
    pieces = [b'{"status":"Downloading","progressDetail":{},"id":"a"}' + end, b'{"error":"bad"}' + end]
    assert [tuple(event) for event in layer_events(enumerate(pieces))] == [(0, "a", "Downloading")]
    assert pull_error(b"".join(pieces)) == "bad"


def test_the_last_progress_message_may_end_with_the_connection() -> None:
    text = b'{"status":"x"}\n{"status":"Pull complete","progressDetail":{},"id":"a"}'
    assert [tuple(event) for event in layer_events([(7, text)])] == [(7, "a", "Pull complete")]


@pytest.mark.parametrize(
    "text",
    [
        b"<html>\n",
        b"[1]\n",
        b'"id"\n',
        b'{"id": 7, "status": "x", "progressDetail": {}}\n',
        b'{"error": {"a": 1}}\n',
        b"[" * 100_000 + b"\n",
        b'{"id":' + b'[{"a":' * 100_000,
        b"\xff\n",
        b"x" * (2 << 20),
    ],
)
def test_progress_that_is_no_message_is_the_engines_error(text: bytes) -> None:
    with pytest.raises(EngineError, match="not JSON"):
        layer_events([(1, text)])
    with pytest.raises(EngineError, match="not JSON"):
        pull_error(text)
