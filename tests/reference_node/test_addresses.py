"""What a node does with addresses that others tell it: applications, updates, jobs, and names that lead elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select

from reference_node.domain.places import Policy
from reference_node.schedule import sessions
from reference_node.store.jobs import JobRow, find_job
from reference_node.store.outbox import OutboxRow
from tests.reference_node.jobbing import Worker, agree_flow, allied, config, dag, settle, workers
from tests.reference_node.pair import Reply, Stranger, TestNode, apply, nodes, sign_contract

Two = tuple[TestNode, TestNode]
HOSTILE = {
    "http://u:p@node-x.test": "user",
    "http://node-x.test:99999": "port",
    "http://node-x.test:0": "port",
    "http://node-x.test/a/../b": "path",
    "http://node-x.test/%2e%2e": "path",
    "http://2130706433:8802": "host",
    "http://0:8802": "host",
    "http://0x7f.1:8802": "host",
    "http://localhost.:8802": "host",
    "http://[::]:8802": "unspecified",
    "http://[fe80::1]:8802": "link-local",
    "http://169.254.169.254": "link-local",
    "http://224.0.0.1": "multicast",
    "http://255.255.255.255": "reserved",
    "http://10.0.0.1:8802": "private",
    "http://[::ffff:192.168.0.1]:8802": "private",
    "spool://node-x": "gap",
    "http://node-b.test": "own",
    "http://node-b.test/below": "own",
}


def records(node: TestNode) -> list[dict[str, Any]]:
    """Return what the evidence says of refused addresses, oldest first."""
    rows = node.audit("ownEvidenceList", act="address", page_size=500).data["records"]
    found = [node.audit("ownEvidenceRestore", first_seq=r["seq"], last_seq=r["seq"], reason="test") for r in rows]
    return [{**row, **told.data["records"][0]["content"]} for row, told in zip(rows, found, strict=True)][::-1]


def leads(node: TestNode, *found: Sequence[str]) -> list[str]:
    """Have names lead to these addresses, one after the other and then always to the last; return who was asked for."""
    looked: list[str] = []

    def resolver(name: str) -> Sequence[str]:
        looked.append(name)
        return found[min(len(looked), len(found)) - 1]

    node.node.places._resolver = resolver
    return looked


def refused(reply: Reply, pointer: str, reason: str) -> bool:
    """Tell whether an address was refused as it should be."""
    said = (reply.status, reply.code, reply.error, reply.data.get("pointer"), reply.data.get("reason"))
    return said == (400, 40050, "ADDRESS_NOT_ALLOWED", pointer, reason)


@pytest.mark.parametrize(("address", "reason"), HOSTILE.items())
def test_an_application_from_nowhere_is_refused_with_a_record(
    two: Two, stranger: Stranger, address: str, reason: str
) -> None:
    """8.1.2-a: no contract waits, nobody is called, the record says why and not where; the sound twin is taken."""
    _, b = two
    assert refused(b.signed("contractApply", stranger, **stranger.particulars(address)), "/address", reason)
    assert b.own("ownContractList").data["total"] == 0
    assert b.network.sent == []
    (record,) = records(b)
    assert (record["act"], record["counterpart"]) == ("address.refused", stranger.node_id)
    assert address not in str(record)
    assert f"'{reason}'" in str(record)
    assert b.signed("contractApply", stranger, **stranger.particulars()).code == 0


@pytest.mark.parametrize("grpc", ["grpc://u@node-x.test:1", "grpc://node-x.test:99999", "grpc://10.0.0.1:1"])
def test_an_address_for_grpc_is_judged_alike(two: Two, stranger: Stranger, grpc: str) -> None:
    """In an application, in an update, and in a decision."""
    a, b = two
    body = stranger.particulars()
    assert b.signed("contractApply", stranger, **body, grpc_address=grpc).data["pointer"] == "/grpc_address"
    contract_id = sign_contract(a, b)
    sync = particulars(a, contract_id)
    assert b.signed("nodeSync", a.as_stranger(), **sync, grpc_address=grpc).error == "ADDRESS_NOT_ALLOWED"
    a.clock.advance(1)
    waiting = apply(b, a)
    yes = {"contract_id": waiting, "status": "APPROVED", "expired_time": b.contract(waiting)["expired_time"]}
    yes |= {name: sync[name] for name in ("auth_type", "auth_credential")}
    told = b.signed("contractConfirm", a.as_stranger(), **yes, grpc_address=grpc)
    assert (told.error, told.data["pointer"]) == ("ADDRESS_NOT_ALLOWED", "/grpc_address")
    assert b.contract(waiting)["status"] == "APPLIED"
    assert b.signed("contractConfirm", a.as_stranger(), **yes, grpc_address="grpc://node-a.test:1").code == 0
    assert b.own("ownNodeQuery", node_id=a.id).data["grpc_address"] == "grpc://node-a.test:1"


def particulars(node: TestNode, contract_id: str, **changes: Any) -> dict[str, Any]:
    """Return an update of a node's particulars."""
    own = node.as_stranger().key.public
    told = node.own("ownNodeQuery", node_id=node.id).data
    kept = {name: value for name, value in told.items() if name not in ("node_id", "auth_types")}
    return {**kept, "contract_id": contract_id, "auth_type": own.auth_type.value, "auth_credential": own.pem, **changes}


@pytest.mark.parametrize(("address", "reason"), HOSTILE.items())
def test_an_update_to_nowhere_changes_nothing(two: Two, address: str, reason: str) -> None:
    """8.1.3-b: the partner stays where it was, also its name; a sound update moves it."""
    a, b = two
    contract_id = sign_contract(a, b)
    before = b.own("ownNodeQuery", node_id=a.id).data
    told = b.signed("nodeSync", a.as_stranger(), **particulars(a, contract_id, name="moved", address=address))
    assert refused(told, "/address", reason)
    assert b.own("ownNodeQuery", node_id=a.id).data == before
    (record,) = records(b)
    assert record["counterpart"] == a.id
    assert contract_id in str(record)
    moved = particulars(a, contract_id, name="moved", address=a.address + "/moved")
    assert b.signed("nodeSync", a.as_stranger(), **moved).code == 0
    assert b.own("ownNodeQuery", node_id=a.id).data["address"] == a.address + "/moved"


@pytest.mark.parametrize("operation", ["ownPartnerQuery", "ownContractApply"])
@pytest.mark.parametrize(("address", "reason"), [*HOSTILE.items()])
def test_the_operator_is_told_as_well(two: Two, operation: str, address: str, reason: str) -> None:
    """Nobody is called where nobody can be, whoever says so."""
    a, b = two
    address = address.replace("node-b", "node-a")
    assert refused(a.own(operation, address=address, node_id=b.id), "/address", reason)
    assert a.network.sent == []
    assert a.own("ownContractList").data["total"] == 0


def test_a_node_says_plainly_where_it_is_itself(two: Two) -> None:
    """An address that no partner would take is refused before anybody is told."""
    a, b = two
    sign_contract(a, b)
    sent = len(a.network.sent)
    assert refused(a.own("ownNodeUpdate", address="http://node-a.test:99999"), "/address", "port")
    assert len(a.network.sent) == sent
    assert a.own("ownNodeUpdate", address="http://node-a.test/moved").code == 0


def test_who_decides_is_shown_where_a_partner_is(two: Two) -> None:
    """The addresses of its name, or why it would not be called; nothing where the name has none."""
    a, b = two
    contract_id = apply(a, b)
    for found, shown in (
        (("127.0.0.1", "127.0.0.9"), ["127.0.0.1", "127.0.0.9"]),
        ((), []),
        (("10.1.1.1",), ["not allowed: private"]),
    ):
        leads(b, found)
        assert b.own("ownContractQuery", contract_id=contract_id).data["resolved"] == shown
    assert "resolved" not in b.contract(contract_id)  # a list is not looked up


def test_no_contract_is_signed_with_whom_the_policy_forbids(two: Two) -> None:
    """8.1.2-b: a name that led to an allowed place when it was told and elsewhere when it is decided upon."""
    a, b = two
    contract_id = apply(a, b)
    b.node.places._verdict = Policy(("127.0.0.1/32",)).judge
    leads(b, ("127.0.0.2",))
    sent = len(b.network.sent)
    told = b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED")
    assert refused(told, "/address", "loopback")
    assert b.contract(contract_id)["status"] == a.contract(contract_id)["status"] == "APPLIED"
    assert len(b.network.sent) == sent
    assert [record["counterpart"] for record in records(b)] == [a.id]
    leads(b, ("127.0.0.1",))
    assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").data["delivery"] == "DELIVERED"


def test_what_is_owed_to_a_forbidden_place_ends_with_a_record(two: Two) -> None:
    """Rebinding: the name leads on when the contract is signed; the delivery is not tried for seven days."""
    a, b = two
    contract_id = sign_contract(a, b)
    b.node.places._verdict = Policy(("127.0.0.1/32",)).judge
    looked = leads(b, ("127.0.0.2",))
    sent = len(b.network.sent)
    told = b.own("ownContractTerminate", contract_id=contract_id)
    assert told.data["delivery"] == "NOT_ALLOWED"
    with b.node.store.read() as session:
        row = session.scalars(select(OutboxRow).order_by(OutboxRow.id.desc())).first()
        assert row is not None
        assert (row.state, row.last_error) == ("REFUSED", "ADDRESS_NOT_ALLOWED loopback")
    (record,) = records(b)
    assert (record["act"], record["counterpart"]) == ("address.refused", a.id)
    assert "contractTerminate" in str(record)
    once = len(looked)
    for _ in range(3):
        b.clock.advance(3600)
        b.node.pump()
    assert (len(looked), len(b.network.sent)) == (once, sent)


def test_each_call_is_judged_anew(two: Two) -> None:
    """The operator hears why; when the name leads home again the partner is called."""
    a, b = two
    contract_id = sign_contract(a, b)
    b.node.places._verdict = Policy(("127.0.0.1/32",)).judge
    leads(b, ("127.0.0.1",), ("127.0.0.2",), ("127.0.0.1", "127.0.0.2"), ("127.0.0.1",))
    answers = [b.own("ownPartnerHealth", contract_id=contract_id) for _ in range(4)]
    assert [answer.error for answer in answers] == [None, "ADDRESS_NOT_ALLOWED", "ADDRESS_NOT_ALLOWED", None]
    assert answers[1].data["reason"] == "loopback"


def test_a_policy_without_loopback_calls_nobody_here() -> None:
    """The same nodes, and neither takes the other."""
    with nodes("node-a", "node-b", networks=("public", "private")) as (a, b):
        assert refused(a.own("ownContractApply", address=b.address, node_id=b.id), "/address", "loopback")
        assert a.network.sent == []


def test_where_a_node_speaks_grpc_it_has_to_have_signed(two: Two) -> None:
    """What it says unsigned, to whoever asks who it is, does not count; what it says with its decision does."""
    a, b = two
    b.node.grpc_listening = "grpc://node-b.test:1"
    contract_id = apply(a, b)
    assert "grpc_address" in a.own("ownPartnerQuery", address=b.address, node_id=b.id).data
    assert "grpc_address" not in a.own("ownNodeQuery", node_id=b.id).data
    assert b.own("ownContractConfirm", contract_id=contract_id, status="APPROVED").code == 0
    assert a.own("ownNodeQuery", node_id=b.id).data["grpc_address"] == "grpc://node-b.test:1"


# --- third nodes ------------------------------------------------------------------------------------------------------

Three = tuple[Worker, Worker, Worker]


@pytest.fixture
def three() -> Iterator[Three]:
    """Three nodes under contract with one another."""
    with workers("node-a", "node-b", "node-c") as (a, b, c):
        allied(a, b, c)
        yield a, b, c


def redirected(a: Worker, b: Worker, c: Worker, address: Any, layer: str) -> dict[str, Any]:
    """Return a job of node a's that says where node c is."""
    wanted = config(a, b, c)
    places = {
        "/config/job_params/host/1/address": {"host": {"1": {"address": address}}},
        "/config/job_params/host/address": {"host": {"address": address}},
        "/config/job_params/common/address": {"common": {"address": address}},
    }
    wanted["job_params"] |= places[layer]
    return wanted


@pytest.mark.parametrize("address", ["http://node-a.test", "grpc://node-a.test:1", "spool://node-a", 7, {"x": 1}])
@pytest.mark.parametrize("layer", ["host/1", "host", "common"])
def test_a_job_does_not_say_where_a_third_node_is(three: Three, address: Any, layer: str) -> None:
    """9.1-c: it is refused with a record, no job is kept; without the address it is taken."""
    a, b, c = three
    place = f"/config/job_params/{layer}/address"
    flow_id = agree_flow(a, b, c, dag=dag())
    wanted = redirected(a, b, c, address, place)
    job = {"job_id": "job-" + "0" * 32, "flow_id": flow_id, "dag": dag()}
    told = b.signed("jobCreate", a.as_stranger(), **job, config=wanted)
    assert (told.code, told.error) == (40051, "ADDRESS_NOT_AGREED")
    assert told.data["pointer"] in (place, "/config/job_params/guest/0/address")
    assert b.own("ownJobList").data["total"] == 0
    (record,) = records(b)
    assert (record["act"], record["counterpart"]) == ("address.refused", a.id)
    assert b.signed("jobCreate", a.as_stranger(), **job, config=config(a, b, c)).code == 0


def test_neither_the_operator_nor_an_initiator_redirects_a_party(three: Three) -> None:
    """An own job, and one that this node schedules for another."""
    a, b, c = three
    flow_id = agree_flow(a, b, c, dag=dag())
    wanted = redirected(a, b, c, "http://node-b.test", "/config/job_params/host/1/address")
    assert a.own("ownJobCreate", flow_id=flow_id, dag=dag(), config=wanted).error == "ADDRESS_NOT_AGREED"
    wanted["job_params"]["common"] = {"scheduler": b.id}
    told = b.signed("jobCreateAll", a.as_stranger(), job_id="job-1", flow_id=flow_id, dag=dag(), config=wanted)
    assert told.error == "ADDRESS_NOT_AGREED"
    assert [node.own("ownJobList").data["total"] for node in three] == [0, 0, 0]


def test_an_order_to_a_forbidden_place_ends_the_job_with_a_record(three: Three) -> None:
    """8.4.3-b: the scheduler does not try for its whole patience what it will not call."""
    a, b, c = three
    flow_id = agree_flow(a, b, c, dag=dag())
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=dag(), config=config(a, b, c)).data["job_id"]
    a.node.places._verdict = Policy(("127.0.0.1/32",)).judge
    a.node.places._resolver = lambda name: ("127.0.0.2",) if name == "node-c.test" else ("127.0.0.1",)
    assert a.own("ownJobStart", job_id=job_id).code == 0
    settle(a, b, c)
    assert a.status(job_id) == "FINISHED"
    assert "ADDRESS_NOT_ALLOWED loopback" in a.job(job_id)["detail"]
    record = records(a)[0]
    assert (record["counterpart"], record["act"]) == (c.id, "address.refused")


def test_what_the_contract_says_may_be_repeated(three: Three) -> None:
    """A job that gives the very address of the contract says nothing new."""
    a, b, c = three
    wanted = redirected(a, b, c, c.address, "/config/job_params/host/1/address")
    flow_id = agree_flow(a, b, c, dag=dag(), given=wanted)
    assert a.own("ownJobCreate", flow_id=flow_id, dag=dag(), config=wanted).code == 0


def test_a_job_from_before_redirects_nothing_either(three: Three) -> None:
    """A kept configuration may still give addresses: its session knows those of contracts only."""
    a, b, c = three
    flow_id = agree_flow(a, b, c, dag=dag())
    job_id = a.own("ownJobCreate", flow_id=flow_id, dag=dag(), config=config(a, b, c)).data["job_id"]
    with b.node.store.session() as session:
        job = find_job(session, job_id)
        assert isinstance(job, JobRow)
        job.config = redirected(a, b, c, "http://node-a.test", "/config/job_params/host/1/address")
        sessions.open_job(b.node, job)
        session.rollback()
    (opened,) = b.node.sessions._sessions.values()
    assert opened.addresses == {}
    peer = b.node.sessions._find_peer(c.id)
    assert (peer.node_id, peer.address) == (c.id, c.address)
