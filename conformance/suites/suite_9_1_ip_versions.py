"""A target that serves IPv4 and IPv6, and partners whose addresses are of the one or the other (9.1-e)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from conformance.harness import ip_versions, tls_probe
from conformance.harness.errors import NotOffered, Undrivable
from conformance.harness.ip_versions import VERSIONS
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.target import HttpTransport
from conformance.harness.tls import Flaw
from conformance.harness.world import World
from conformance.suites import contracts
from conformance.suites.contracts import ref


def _places(world: World) -> Mapping[int, str]:
    """Return where the target is reached over each version; end the scenario where there is but one."""
    target = world.profile.target
    if not target.other_url:
        raise NotOffered("profile: [target] names no other_url, where it is reached over the other version of IP")
    try:
        found = ip_versions.places(target)
    except OSError as failure:
        raise Undrivable(f"{target.url} or {target.other_url} does not resolve: {failure}") from failure
    if len(found) < len(VERSIONS):
        raise Undrivable(f"{target.url} and {target.other_url} are of the same version of IP")
    return found


@contextmanager
def _serving(world: World, partner: Partner, version: int, target: str) -> Iterator[None]:
    """Have a partner served at an address of this version."""
    place = world.profile.partner
    if version == ip_versions.usual(place):
        yield
        return
    host = ip_versions.listens(place, target)
    if not host:
        raise Undrivable(f"profile: [partner] other_host does not say where this machine is reached over IPv{version}")
    if why := ip_versions.missing(host):
        raise Undrivable(f"this machine does not listen over IPv{version}: {why}")
    stage = world.stage
    with tls_probe.impostor(stage.receiver, stage.wardrobe, host, partner.node_id, Flaw.NONE) as address:
        partner.particulars["address"] = address
        yield


@scenario()
def test_ip_versions(world: World) -> None:
    """Over each version a node calls whose own address is of the other version, and applies for a contract (9.1-e)."""
    found = _places(world)
    reached = world.fact("reached", {f"ipv{version}": _connects(found[version]) for version in VERSIONS})
    for version in VERSIONS:
        name, partner = f"ipv{version}", world.partner(f"over-ipv{version}")
        if reached[name]:
            continue
        over = HttpTransport(found[version], world.stage.wardrobe)
        other = ip_versions.other(version)
        with _serving(world, partner, other, found[other]):
            node = {"node_id": world.profile.target.node_id}
            world.call(f"{name}:who", partner, "nodeQuery", node, transport=over)
            applied = world.call(
                f"{name}:apply", partner, "contractApply", partner.application(contracts.until(world)), transport=over
            )
            if not applied.accepted:
                continue
            partner.contract_id = str(applied.at("/contract_id"))
            partner.claims.add(partner.contract_id)
            contracts.decided(world, partner, f"{name}:approve")
            world.call(f"{name}:read", partner, "contractQuery", ref(partner), transport=over)


@scenario()
def test_ip_versions_called(world: World) -> None:
    """The target's operator applies to a node at an address of each version (9.1-e)."""
    found = _places(world)
    for version in VERSIONS:
        partner = world.partner(f"at-ipv{version}")
        with _serving(world, partner, version, found[version]):
            contracts.own_apply(world, f"ipv{version}:apply", partner)
            world.awaited(f"ipv{version}:came", partner, "contractApply", {})


def _connects(url: str) -> str:
    """Say why nothing answers at an address; empty where something does."""
    try:
        socket.create_connection(tls_probe.place(url), timeout=tls_probe.SECONDS).close()
    except OSError as failure:
        return str(failure) or type(failure).__name__
    return ""
