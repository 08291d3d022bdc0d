"""Addresses: what a node says of where it is, what a third node says of it, and what no node can mean by one.

Every address that a target could call is of a place where the harness itself plays its partners.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import urlsplit

from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import contracts, drafts, sessions, work

ASTRAY = "/astray"  # below the address of the first partner, where nobody is
TEXT = "度数 4102".encode()
SOUND = "the address is one that a node can be at"


def _hostile(address: str) -> dict[str, str]:
    """Return addresses that are wrong under any policy; each differs from the sound one in one thing."""
    parts = urlsplit(address)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    rest = parts.path.rstrip("/")
    return {
        "user": f"{parts.scheme}://user:secret@{parts.netloc}{rest}",
        "port-beyond": f"{parts.scheme}://{host}:99999{rest}",
        "port-none": f"{parts.scheme}://{host}:0{rest}",
        "dots": f"{parts.scheme}://{parts.netloc}{rest}/a/../b",
        "dots-escaped": f"{parts.scheme}://{parts.netloc}{rest}/a/%2e%2e/b",
        "fragment": f"{parts.scheme}://{parts.netloc}{rest}#f",
        "scheme": f"ftp://{parts.netloc}{rest}",
    }


def _spelled(address: str) -> dict[str, str]:
    """Return other spellings of the sound address, which lead to the same place where they lead anywhere."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", "" if parts.port is None else f":{parts.port}"
    found = {} if ":" in host else {"dot": f"{host}."}
    try:
        number = int(IPv4Address(host))
    except ValueError:
        found |= {"upper": host.upper()}
    else:
        first, *_, last = host.split(".")
        found |= {"number": str(number), "hex": f"{number:#x}", "mapped": f"[::ffff:{host}]"}
        found |= {"short": f"{first}.{last}", "octal": f"0{int(first):o}.{last}"} if host.count(".0.0.") else {}
    return {name: f"{parts.scheme}://{odd}{port}{parts.path.rstrip('/')}" for name, odd in found.items()}


@scenario()
def test_address_application(world: World) -> None:
    """A node applies with addresses at which no node can be, then with its own (8.1.2-a)."""
    partner = world.partner()
    body, listed = partner.application(contracts.until(world)), {"partner_node_id": partner.node_id}
    wrong = {**_hostile(body["address"]), "own": world.profile.target.url}
    world.fact("wrong", list(wrong))
    world.fact("partner", partner.node_id)
    for name, address in wrong.items():
        world.call(f"apply-{name}", partner, "contractApply", {**body, "address": address}, breaks=SOUND)
    world.own("listed", "ownContractList", listed)
    partner.contract_id = str(world.call("apply", partner, "contractApply", body).at("/contract_id"))
    partner.claims.add(partner.contract_id)
    contracts.decided(world, partner, "approve")


@scenario()
def test_address_update(world: World) -> None:
    """A partner tells of addresses at which no node can be, then of one at which it could (8.1.3-b)."""
    partner = world.signed_partner()
    place = str(partner.particulars["address"])
    wrong = {**_hostile(place), "own": world.profile.target.url}
    world.fact("wrong", list(wrong))
    world.fact("place", place)
    known = {"node_id": partner.node_id}
    for name, address in wrong.items():
        world.call(f"sync-{name}", partner, "nodeSync", contracts.sync(partner, address=address), breaks=SOUND)
    world.own("known", "ownNodeQuery", known)
    moved = world.fact("moved", f"{place.rstrip('/')}/moved")
    world.call("sync", partner, "nodeSync", contracts.sync(partner, address=moved))
    world.own("known-moved", "ownNodeQuery", known)
    netloc = urlsplit(place).netloc.rpartition(":")[0] or urlsplit(place).netloc
    for name, odd in {"user": f"u@{netloc}:1", "port-beyond": f"{netloc}:99999"}.items():
        told = contracts.sync(partner, grpc_address=f"grpc://{odd}")
        world.call(f"grpc-{name}", partner, "nodeSync", told, breaks=SOUND)
    world.call("grpc", partner, "nodeSync", contracts.sync(partner, grpc_address=f"grpc://{netloc}:1"))
    world.call("sync-back", partner, "nodeSync", contracts.sync(partner))


@scenario()
def test_address_of_operator(world: World) -> None:
    """The target's operator asks for a node at addresses where it cannot be, then where it is (8.1.1-b, 8.1.2-a)."""
    partner = world.partner()
    place = str(partner.particulars["address"])
    wrong = {**_hostile(place), "own": world.profile.target.url}
    world.fact("wrong", list(wrong))
    for name, address in wrong.items():
        world.own(f"ask-{name}", "ownPartnerQuery", {"address": address, "node_id": partner.node_id}, breaks=SOUND)
        asked = {"address": address, "node_id": partner.node_id, "expired_time": contracts.until(world)}
        world.own(f"apply-{name}", "ownContractApply", asked, breaks=SOUND)
    world.fact("called", [row.id for row in world.stage.receiver.exchanges(world.scenario)])
    world.own("ask", "ownPartnerQuery", {"address": place, "node_id": partner.node_id})


@scenario()
def test_address_spelled(world: World) -> None:
    """Nodes apply under other spellings of the one address; whose application is taken is to be told (8.1.2-a)."""
    usual = world.partner("usual")
    if world.profile.tls is not None:
        raise NotOffered("over TLS a certificate names one spelling of an address, so that others may fail rightly")
    spelled = _spelled(str(usual.particulars["address"]))
    world.fact("spelled", list(spelled))
    for name, address in {"usual": str(usual.particulars["address"]), **spelled}.items():
        partner = usual if name == "usual" else world.partner(name)
        body = {**partner.application(contracts.until(world)), "address": address}
        told = world.call(f"{name}:apply", partner, "contractApply", body)
        if told.accepted:
            partner.contract_id = str(told.at("/contract_id"))
            partner.claims.add(partner.contract_id)
            contracts.decided(world, partner, f"{name}:approve")
        else:
            within = contracts.QUIET_SECONDS
            world.awaited(f"{name}:called", partner, "contractConfirm", {}, within=within)


@scenario()
def test_address_of_third_node(world: World) -> None:
    """A partner's job says where a third node is, which is elsewhere; the target sends that node a message (9.2-g)."""
    sessions.drivable(world)
    partner, third = work.played(world), work.played(world, "third")
    codes = work.registered(world)
    project_id, _ = drafts.joined_project(world, partner, "prj-third")
    place = str(partner.particulars["address"]).rstrip("/")
    world.fact("third", third.node_id)
    ways = {"right": "", "astray": place + ASTRAY}
    if world.stage.receiver.grpc_address and world.stage.grpc is not None:
        ways["over-grpc"] = world.stage.receiver.grpc_address
    world.fact("ways", list(ways))
    for slug, address in ways.items():
        _told_of(world, (partner, third), (project_id, work.dag(codes, first=())), slug, address)


def _told_of(
    world: World, nodes: tuple[Partner, Partner], made: tuple[str, Mapping[str, Any]], slug: str, address: str
) -> None:
    """Have the first partner's job run, which gives the second this address, if any; push the second a message."""
    partner, third = nodes
    project_id, plan = made
    config = work.config(
        partner.node_id, world.profile.target.node_id, task_params=sessions.ANNOUNCE, arbiter=(third.node_id,)
    )
    if address:
        config["job_params"]["arbiter"] = {"0": {"address": address}}
    flow_id = _approved(world, partner, project_id, slug, {"dag": dict(plan), "config": config})
    breaks = "where a node is, its own contract says" if address else ""
    asked = {"job_id": world.id(f"job-{slug}"), "flow_id": flow_id, "dag": dict(plan), "config": config}
    token = world.id(f"token-{slug}")
    created = world.call(f"{slug}:create", partner, "jobCreate", {**asked, "session_token": token}, breaks=breaks)
    if address and not created.accepted:
        return
    created.at("")
    line = sessions.running(world, partner, str(asked["job_id"]), token, slug)
    line.push(f"{slug}:push", slug, TEXT, third.node_id)
    sessions.awaits(world, third, slug, 1)


def _approved(world: World, partner: Partner, project_id: str, slug: str, job: Mapping[str, Any]) -> str:
    """Have the target approve a flow with the very configuration that the job will have; return the flow's id."""
    asked = {**drafts.flow_application(world, partner, project_id, f"flow-{slug}"), **job}
    if world.call(f"flow-{slug}:apply", partner, "flowAuditApply", asked).accepted:
        decision = {"audit_id": asked["audit_id"], "status": "APPROVED"}
        world.own(f"flow-{slug}:approve", "ownFlowAuditConfirm", decision)
    return str(asked["flow_id"])
