"""What containers are created with."""

from __future__ import annotations

from coldstart.model.options import ContainerOptions


def test_what_is_added_comes_last_and_takes_nothing_away() -> None:
    own = ContainerOptions(env=("A=1",), volumes=("/a:/b",), devices=("/dev/x",), cpus=0.5, command=("serve",))
    more = ContainerOptions(env=("B=2",), volumes=("/c:/d",), devices=("/dev/y",), dns_options=("timeout:0",))
    assert own.plus(more) == ContainerOptions(
        env=("A=1", "B=2"),
        volumes=("/a:/b", "/c:/d"),
        devices=("/dev/x", "/dev/y"),
        dns_options=("timeout:0",),
        cpus=0.5,
        command=("serve",),
    )


def test_there_is_no_way_to_publish_a_port() -> None:
    """docker-proxy accepts on a published port before the app listens: it would be no readiness."""
    assert not {name for name in ContainerOptions.__struct_fields__ if "port" in name or "publish" in name}
