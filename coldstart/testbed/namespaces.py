"""Two network namespaces joined by a veth pair that has no leg in the host."""

from __future__ import annotations

from pathlib import Path

from coldstart.testbed.config import REGISTRY_ADDRESS, RESOLVER, RESOLVER_NETWORK, Layout
from coldstart.testbed.processes import TOOL, tag
from coldstart.testbed.shell import run

ENGINE_ADDRESS = "198.18.0.1"
_PREFIX = 30
_LAST_METRIC = "4096"
_ENGINE_LINK, _REGISTRY_LINK = "cs0", "cs1"


def create(layout: Layout, path: Path) -> None:
    """Make a network namespace, with loopback up, that lives on as the file ``path``.

    A file of our own, not ``ip netns add``, which would leave a mount on the host's /run/netns for good.
    """
    path.touch()
    run("unshare", f"--net={path}", "ip", "link", "set", "lo", "up", tag=tag(layout, TOOL))


def join(layout: Layout) -> None:
    """Link the engine's namespace with the registry's; the devices are born inside, so the host never sees them."""
    engine, registry = layout.engine_netns, layout.registry_netns
    link = ("ip", "link", "add", _ENGINE_LINK, "type", "veth", "peer", "name", _REGISTRY_LINK)
    run("nsenter", f"--net={engine}", *link, "netns", registry, tag=tag(layout, TOOL))
    registry_host = REGISTRY_ADDRESS.partition(":")[0]
    for netns, address, device in (
        (engine, ENGINE_ADDRESS, _ENGINE_LINK),
        (registry, registry_host, _REGISTRY_LINK),
    ):
        ip = ("nsenter", f"--net={netns}", "ip")
        run(*ip, "addr", "add", f"{address}/{_PREFIX}", "dev", device, tag=tag(layout, TOOL))
        run(*ip, "link", "set", device, "up", tag=tag(layout, TOOL))
    _refuse_lookups(layout, registry_host)


def _refuse_lookups(layout: Layout, registry_host: str) -> None:
    """Have the resolver's address refuse at once while there is no egress, whose own route to it goes before ours.

    glibc fails at once only where a port is said to be closed; "no route" is an error it waits beyond. The kernel sends
    one such answer in a second, unless told otherwise.
    """
    engine, registry = (("nsenter", f"--net={netns}") for netns in (layout.engine_netns, layout.registry_netns))
    run(*registry, "ip", "addr", "add", f"{RESOLVER}/32", "dev", "lo", tag=tag(layout, TOOL))
    run(*registry, "sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit", tag=tag(layout, TOOL))
    route = (RESOLVER_NETWORK, "via", registry_host, "metric", _LAST_METRIC)
    run(*engine, "ip", "route", "add", *route, tag=tag(layout, TOOL))
