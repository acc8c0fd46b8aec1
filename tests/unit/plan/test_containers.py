"""Container options as text: what is refused, and what their text becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldstart.errors import UsageError
from coldstart.model.options import ContainerOptions
from coldstart.plan.containers import WrittenOptions, read_options


def read(base: Path = Path(), **written: Any) -> ContainerOptions:
    return read_options(WrittenOptions(**written), lambda name: f"HERE.{name}", base=base)


def test_nothing_written_is_no_option() -> None:
    assert read() == ContainerOptions()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"memory": "1m"}, "HERE.memory 1m: Docker's least is 6m"),
        ({"cpus": 9999999.0}, "HERE.cpus 1e+07: write a number of CPUs above 0 and up to 4096"),
        ({"cpuset_cpus": "banana"}, "HERE.cpuset_cpus 'banana': write CPU numbers and ranges"),
        ({"devices": ("gpiomem",)}, "HERE.devices 'gpiomem': write a device's path"),
        ({"volumes": ("data:/data",)}, "HERE.volumes 'data:/data': write an absolute host folder"),
        ({"env": ("A B=c",)}, "HERE.env: 'A B=c' is not an environment variable"),
        ({"user": ""}, "HERE.user: '' is not a user or UID"),
        ({"user": "a b"}, "HERE.user: 'a b' is not"),
        ({"workdir": "app"}, "HERE.workdir: 'app' is not an absolute path"),
        ({"hostname": "a_b"}, "HERE.hostname: 'a_b' is not a host name"),
        ({"tmpfs": ("run",)}, "HERE.tmpfs: 'run' is not an absolute path"),
        ({"shm_size": "0"}, "HERE.shm_size: '0' leaves no memory"),
        ({"shm_size": "big"}, "HERE.shm_size: 'big' is not a size"),
        ({"cap_add": ("NET-ADMIN",)}, "HERE.cap_add: 'NET-ADMIN' is not a capability"),
        ({"cap_drop": ("",)}, "HERE.cap_drop: '' is not a capability"),
        ({"security_opt": ("",)}, "HERE.security_opt: '' is not NAME=VALUE"),
        ({"ulimits": ("nofile",)}, "HERE.ulimits: 'nofile' is not NAME=SOFT"),
        ({"ulimits": ("nofile=1:x",)}, "HERE.ulimits: 'nofile=1:x' is not NAME=SOFT"),
        ({"add_hosts": ("db",)}, "HERE.add_hosts: 'db' is not NAME:ADDRESS"),
        ({"add_hosts": ("db:there",)}, "HERE.add_hosts: 'db:there' is not NAME:ADDRESS"),
        ({"dns": ("dns.example",)}, "HERE.dns: 'dns.example' is not an IP address"),
        ({"dns_options": ("a b",)}, "HERE.dns_options: 'a b' is not NAME[:NUMBER]"),
        ({"labels": ("=x",)}, "HERE.labels: '=x' has no name"),
        ({"labels": ("coldstart.container=x",)}, "HERE.labels: 'coldstart.container=x': labels that begin with"),
        ({"mounts": ("type=volume,source=x,target=/x",)}, "only binds of absolute paths and tmpfs"),
        ({"mounts": ("type=bind,source=x,target=/x",)}, "only binds of absolute paths and tmpfs"),
        ({"mounts": ("type=bind,source=/x,target=x",)}, "is not understood"),
        ({"mounts": ("type=bind,source=/x,target=/x,bind-propagation=shared",)}, "is not understood"),
        ({"mounts": ("nonsense",)}, "is not understood"),
    ],
)
def test_what_docker_would_refuse_is_refused_with_its_place(written: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**written)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["db:10.0.0.5", "db=10.0.0.5", "me:host-gateway", "six:::1", "six=[::1]"])
def test_a_host_has_a_name_and_an_address(text: str) -> None:
    assert read(add_hosts=(text,)).add_hosts == (text.replace("=", ":").translate({91: None, 93: None}),)


@pytest.mark.parametrize(
    ("text", "volume"), [("readonly", ":ro"), ("ro=true", ":ro"), ("readonly=false", ""), ("", "")]
)
def test_a_mount_of_a_folder_is_a_volume(text: str, volume: str) -> None:
    mount = ",".join(["type=bind,source=/a,destination=/b", *([text] if text else [])])
    assert read(mounts=(mount,)).volumes == (f"/a:/b{volume}",)


def test_a_seccomp_profile_is_kept_itself_not_its_path(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('{ "defaultAction":\n "SCMP_ACT_ALLOW" }')
    options = read(tmp_path, security_opt=("seccomp=profile.json", "label=disable"))
    assert options.security_opt == ('seccomp={"defaultAction":"SCMP_ACT_ALLOW"}', "label=disable")
    assert read(security_opt=options.security_opt) == options


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot be read"), ("[]", "is not a JSON object"), ("{", "not a JSON")]
)
def test_a_seccomp_profile_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "profile.json").write_text(content)
    with pytest.raises(UsageError, match=f"HERE.security_opt: the seccomp profile .*profile.json .*{why}"):
        read(tmp_path, security_opt=("seccomp=profile.json",))
