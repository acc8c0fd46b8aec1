"""Docker's wire formats: what is sent to create a container, and how instants, errors and output come back."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from coldstart.decoding import UNREADABLE
from coldstart.engines.base import ContainerSpec, ContainerState, Health
from coldstart.errors import EngineError
from coldstart.model.options import ContainerOptions

LABEL = "coldstart.owner"  # of images we built
CONTAINER_LABEL = "coldstart.container"  # its own: a container has its image's labels too, whoever created it
OWNER = "coldstart"

_UNSTARTED = "0001-01-01T00:00:00Z"
_INSTANT = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))")


def wall_ns(text: str) -> int | None:
    """Docker's RFC 3339 instant with up to nine decimals, as ns since the epoch; ``None`` for zero and for no date."""
    match = _INSTANT.fullmatch(text)
    if match is None or text == _UNSTARTED:
        return None
    try:
        seconds = calendar.timegm(tuple(int(part) for part in match.groups()[:6]))
    except ValueError:  # a thirteenth month
        return None
    if match.group(8):  # the instants of health checks are in the daemon's own time zone
        east_s = int(match.group(9)) * 3600 + int(match.group(10)) * 60
        seconds -= east_s if match.group(8) == "+" else -east_s
    return seconds * 1_000_000_000 + int((match.group(7) or "0").ljust(9, "0"))


def container_state(inspected: dict[str, Any]) -> ContainerState:
    """What an inspect answer says of a container's life.

    Raises:
        EngineError: it is not such an answer.
    """
    try:
        return _state(inspected)
    except (LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"the engine's answer does not describe a container ({error!r}).") from error


def _state(inspected: dict[str, Any]) -> ContainerState:
    state = inspected["State"]
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [network["IPAddress"] for network in networks.values() if network.get("IPAddress")]
    running = bool(state["Running"])
    finished_wall_ns = None if running else wall_ns(state["FinishedAt"])
    return ContainerState(
        running=running,
        pid=state["Pid"] or None,
        started_wall_ns=wall_ns(state["StartedAt"]),
        finished_wall_ns=finished_wall_ns,
        exit_code=None if finished_wall_ns is None else state["ExitCode"],
        error=state.get("Error") or "",
        address=addresses[0] if addresses else None,
        health=_health(state.get("Health")),
    )


def _health(told: dict[str, Any] | None) -> Health | None:
    if told is None or told["Status"] == "none":
        return None
    checks = told.get("Log") or []  # the last five
    begun = [(wall_ns(check["Start"]), check["ExitCode"] == 0) for check in checks]
    failed = [place for place, (_, passed) in enumerate(begun) if not passed]
    passed = begun[failed[-1] + 1 if failed else 0 :]
    lengths = [_length_ns(check) for check in checks]
    return Health(
        status=told["Status"],
        failed_wall_ns=begun[failed[-1]][0] if failed else None,
        passed_wall_ns=passed[0][0] if passed else None,
        shortest_ns=min((length for length in lengths if length is not None), default=None),
        output=checks[-1]["Output"] if checks else "",
    )


def _length_ns(check: dict[str, Any]) -> int | None:
    """How long a check took; ``None`` where the engine does not say, or its clock was set back meanwhile."""
    begin_ns, end_ns = wall_ns(check["Start"]), wall_ns(check.get("End") or "")
    return None if begin_ns is None or end_ns is None or end_ns < begin_ns else end_ns - begin_ns


def create_body(spec: ContainerSpec) -> dict[str, object]:
    """The body of a create request, labelled as ours."""
    options = spec.options
    host: dict[str, object] = {"Runtime": spec.runtime, "NetworkMode": str(spec.network)}
    host |= _limits(options) | _surroundings(options)
    labels = dict(label.split("=", 1) for label in options.labels) | {CONTAINER_LABEL: OWNER}
    body: dict[str, object] = {"Image": spec.image.reference, "Labels": labels, "HostConfig": host}
    said: dict[str, object] = {
        "Env": list(options.env),
        "Cmd": list(options.command),
        "Entrypoint": list(options.entrypoint or ()),
        "User": options.user,
        "WorkingDir": options.workdir,
        "Hostname": options.hostname,
    }
    return body | {name: value for name, value in said.items() if value}


def _limits(options: ContainerOptions) -> dict[str, object]:
    limits: dict[str, object] = {}
    if options.memory_bytes is not None:
        limits["Memory"] = options.memory_bytes
    if options.cpus is not None:
        limits["NanoCpus"] = round(options.cpus * 1e9)
    if options.cpuset_cpus is not None:
        limits["CpusetCpus"] = options.cpuset_cpus
    if options.shm_bytes is not None:
        limits["ShmSize"] = options.shm_bytes
    if options.ulimits:
        limits["Ulimits"] = [_ulimit(text) for text in options.ulimits]
    return limits


def _surroundings(options: ContainerOptions) -> dict[str, object]:
    """What a container may see and do; only what was asked for."""
    binds = [volume for volume in options.volumes if not _is_plain(volume)]
    asked: dict[str, object] = {
        "Mounts": [_bind(volume) for volume in options.volumes if _is_plain(volume)],
        "Binds": binds,
        "Devices": [_device(device) for device in options.devices],
        "Tmpfs": {path: flags for path, _, flags in (entry.partition(":") for entry in options.tmpfs)},
        "ReadonlyRootfs": options.read_only,
        "Init": options.init,
        "Privileged": options.privileged,
        "CapAdd": list(options.cap_add),
        "CapDrop": list(options.cap_drop),
        "SecurityOpt": list(options.security_opt),
        "ExtraHosts": list(options.add_hosts),
        "Dns": list(options.dns),
        "DnsOptions": list(options.dns_options),
    }
    return {name: value for name, value in asked.items() if value}


def _is_plain(volume: str) -> bool:
    """Whether a mount can say it; labels of SELinux and propagation are options of binds only."""
    return volume.count(":") == 1 or volume.endswith((":ro", ":rw"))


def _bind(volume: str) -> dict[str, object]:
    """As a mount, for a bind makes a source that does not exist, on whichever machine the engine is."""
    source, target, *mode = volume.split(":")
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": mode == ["ro"]}


def _ulimit(text: str) -> dict[str, object]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}


def _device(text: str) -> dict[str, str]:
    host, _, rest = text.partition(":")
    inside, _, permissions = rest.partition(":")
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": permissions or "rwm"}


def message_of(body: bytes) -> str:
    """An error answer's message, or the answer itself."""
    try:
        message = msgspec.json.decode(body, type=_Refusal).message
    except UNREADABLE:
        message = body.decode(errors="replace")
    return message.strip() or "no reason given"


class _Refusal(msgspec.Struct):
    message: str


def unframed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A container's output without its frames: stream, three zero bytes, big-endian length (Engine API, "attach")."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= 8 and len(buffer) >= 8 + (size := int.from_bytes(buffer[4:8], "big")):
            yield bytes(buffer[8 : 8 + size])
            del buffer[: 8 + size]


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines as they complete; a last one without its newline counts."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
