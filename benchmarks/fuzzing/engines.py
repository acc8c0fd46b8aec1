"""What engines, their logs and the kernel say."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.fuzzing.mutations import encoded, mutated_bytes, mutated_json
from benchmarks.fuzzing.runs import stored
from benchmarks.fuzzing.target import Files, Rng, Target, as_json, as_text, placed
from coldstart.errors import ColdstartError

_PULL = [
    {"status": "Pulling from app", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "0123456789ab"},
    {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "progress": "[=> ]", "id": "0123456789ab"},
    {"status": "Pull complete", "progressDetail": {}, "id": "0123456789ab"},
    {"status": "Digest: sha256:" + "0" * 64},
    {"errorDetail": {"message": "no"}, "error": "no"},
]


def _progress(rng: Rng) -> Files:
    lines = [encoded(rng, mutated_json(rng, one)) if rng.random() < 0.3 else json.dumps(one).encode() for one in _PULL]
    body = b"\r\n".join(lines) + b"\r\n"
    pieces = [body[at : at + 37] for at in range(0, min(len(body), 40_000), 37)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = head + chunked
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = mutated_bytes(rng, data)
    return {"answer": data[:60_000]}


def _read_progress(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    from coldstart.engines.http import Connection  # noqa: PLC0415  as above
    from coldstart.engines.progress import layer_events, pull_error  # noqa: PLC0415

    class Answering(Connection):
        def _connect(self, limit_s: float) -> socket.socket:
            ours, theirs = socket.socketpair()
            ours.settimeout(limit_s)
            theirs.sendall(files["answer"])
            theirs.shutdown(socket.SHUT_WR)
            engines.callback(theirs.close)
            return ours

    with contextlib.ExitStack() as engines:
        connection = Answering("unix:///nowhere")
        engines.callback(connection.close)
        with contextlib.suppress(ColdstartError):
            connection.request("GET", "/x").json()
        head, pieces = connection.stream("POST", "/images/create")
        received = list(enumerate(pieces))
        pull_error(b"".join(piece for _, piece in received))
        return head, layer_events(received)


_INSPECTED = {
    "State": {
        "Running": True,
        "Pid": 7,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-25T09:57:06.123456789Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {
            "Status": "healthy",
            "Log": [
                {
                    "Start": "2026-11-25T09:57:06.1+01:00",
                    "End": "2026-11-25T09:57:06.2+01:00",
                    "ExitCode": 0,
                    "Output": "x",
                }
            ],
        },
    },
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
}


def _read_answers(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    from coldstart.engines.wire import container_state, lines, message_of, unframed, wall_ns  # noqa: PLC0415  as above

    message_of(files["answer"])
    wall_ns(files["answer"].decode("latin-1")[:40])
    with contextlib.suppress(ValueError, RecursionError):
        container_state(json.loads(files["answer"]))
    pieces = [files["answer"][at : at + 11] for at in range(0, min(len(files["answer"]), 5000), 11)]
    return list(lines(unframed(iter(pieces))))


_INSTANT = "2026-11-25T09:57:06.123456789Z"
_LOG = (
    f'time="{_INSTANT}" level=debug msg="Calling POST /v1.41/images/create?fromImage=app"\n'
    f'time="{_INSTANT}" level=debug msg="Trying to pull app from http://198.18.0.2:5000 v2"\n'
    f'time="{_INSTANT}" level=debug msg="pulling blob \\"sha256:{"0" * 64}\\""\n'
    f'time="{_INSTANT}" level=debug msg="Downloaded {"0" * 12} to tempfile /var/x"\n'
    f'time="{_INSTANT}" level=debug msg="Applying tar in /d/overlay2/abc/diff" storage-driver=overlay2\n'
    f'time="{_INSTANT}" level=debug msg="Applied tar sha256:{"1" * 64} to abc, size: 123"\n'
)
_ACCESS = (
    '{"http.request.method":"GET","http.request.uri":"/v2/app/blobs/sha256:' + "0" * 64 + '",'
    '"http.response.status":200,"http.response.written":10,"level":"info","msg":"response completed"}\n'
)


def _logs(rng: Rng) -> Files:
    return {"engine": as_text(rng, _LOG), "access": as_text(rng, _ACCESS * 3)}


def _read_logs(files: Files, folder: Path) -> object:
    from coldstart.engines.base import LayerEvent, Timed  # noqa: PLC0415  as above
    from coldstart.model.image import Image  # noqa: PLC0415
    from coldstart.model.sample import ClockConversion  # noqa: PLC0415
    from coldstart.testbed.blobs import AccessLog  # noqa: PLC0415
    from coldstart.trace.base import TrialWindow  # noqa: PLC0415
    from coldstart.trace.engine_log import pull_spans, unpacked_bytes  # noqa: PLC0415

    placed(files, folder)
    with contextlib.suppress(ColdstartError):
        AccessLog(folder / "access").since(0)
    image = msgspec.convert(stored()[0]["images"][0], Image)
    pull = Timed(value=(LayerEvent(5, "0" * 12, "Pull complete"),), start_ns=0, end_ns=10)
    fields = {"image": image, "pull": pull, "clock": ClockConversion(offset_ns=0, error_ns=1)}
    window = _window(TrialWindow, fields)
    return pull_spans(files["engine"], window), unpacked_bytes(files["engine"], image)


def _window(kind: Any, fields: dict[str, Any]) -> Any:
    """A window with nothing but these fields: whatever else it has is not looked at here."""

    class Window:
        def __getattr__(self, name: str) -> Any:
            assert name in kind.__struct_fields__, name
            return fields.get(name)

    return Window()


_TRACE = """# tracer: nop
  runc-1234 (   1234) [001] .....  1234.567890: sched_process_exec: filename=/usr/bin/runc pid=1234 old_pid=1234
  runc-1234    [001] d....  1234.567891: sched_process_exit: comm=runc pid=1234 prio=120
  dockerd-99      [000] .....  1234.567892: task_newtask: pid=1235 comm=dockerd clone_flags=1200011 oom_score_adj=0
  app-1236    [000] .....  1234.567893: inet_sock_set_state: family=AF_INET6 protocol=IPPROTO_TCP sport=8080 dport=0
  dockerd-99      [000] .....  1234.567894: sock_recv_length: sk address = 0000, family = 2 protocol = 6, length = 10,
"""


def _trace(rng: Rng) -> Files:
    return {"trace": as_text(rng, _TRACE * rng.choice((1, 3)))}


def _read_trace(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    from coldstart.trace.attribute import find_ended_start, find_start  # noqa: PLC0415  as above
    from coldstart.trace.tracefs import parse  # noqa: PLC0415
    from coldstart.trace.tree import Tree  # noqa: PLC0415

    events = tuple(parse(files["trace"].decode(errors="replace")))
    tree = Tree({99: (99,)}, events)
    return find_start(tree, 1236), find_ended_start(tree, 0)


def _netlink(rng: Rng) -> Files:
    def message(kind: int, body: bytes) -> bytes:
        return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)

    what = rng.choice((0, 1, 2, 0x80000000, rng.getrandbits(32)))
    event = struct.pack("=IIIIHH", 1, 1, 0, 0, 40, 0) + struct.pack("=IIQ", what, 0, 5) + struct.pack("=4I", 1, 1, 2, 2)
    stats = bytearray(rng.choice((264, 328, 424, 100)))
    stats[80:84] = b"runc"
    usage = bytes(4) + attribute(4, attribute(1, struct.pack("=I", 7)) + attribute(3, bytes(stats)))
    data = message(3, event) + message(24, usage)
    for _ in range(rng.choice((0, 1, 1, 3))):
        data = mutated_bytes(rng, data)
    return {"datagram": data}


def _read_netlink(files: Files, folder: Path) -> object:  # noqa: ARG001  a target's signature
    from coldstart.trace import connector, netlink, taskstats  # noqa: PLC0415  as above

    payloads = [payload for _, payload in netlink.messages(files["datagram"])]
    return list(connector.parse(payloads)), [record for payload in payloads for record in taskstats.parse(payload)]


TARGETS = (
    Target("pull progress", 8, _progress, _read_progress),
    Target("engine answers", 3, lambda rng: {"answer": as_json(rng, _INSPECTED)}, _read_answers),
    Target("engine and registry logs", 4, _logs, _read_logs),
    Target("kernel trace", 4, _trace, _read_trace),
    Target("netlink messages", 4, _netlink, _read_netlink),
)
