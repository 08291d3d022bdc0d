"""Requests that meet: one of them wins, nobody fails half way (8.1.2-c, 9.2-e-5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from reference_node.security.keys import PrivateKey
from tests.reference_node.pair import ManualClock, Stranger, TestNode, nodes


@pytest.fixture(params=["file", "memory"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """One node over each kind of store; its partners exist as keys only."""
    data = tmp_path if request.param == "file" else None
    with nodes("node-b", clock=ManualClock(), data=data, attempts=1) as (b,):
        yield b


def _at_once(*calls: Any) -> list[Any]:
    gate = Barrier(len(calls))

    def _run(call: Any) -> Any:
        gate.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(_run, calls))


def test_of_a_confirmation_and_a_cancellation_exactly_one_wins(busy: TestNode) -> None:
    """8.1.2-c: an application is either decided or withdrawn, and the loser is told so."""
    applicant = Stranger("node-s", PrivateKey.generate("SM3_SM2"))
    for number in range(8):
        application = {**applicant.particulars(), "description": str(number)}
        contract_id = busy.signed("contractApply", applicant, **application).data["contract_id"]
        confirmed, cancelled = _at_once(
            lambda: busy.own("ownContractConfirm", contract_id=contract_id, status="APPROVED"),  # noqa: B023
            lambda: busy.signed("contractCancel", applicant, contract_id=contract_id),  # noqa: B023
        )
        errors = {confirmed.error, cancelled.error}
        assert errors == {None, "CONTRACT_NOT_PENDING"}
        state = busy.contract(contract_id)["status"]
        assert state == ("APPROVED" if confirmed.error is None else "TERMINATED")


def test_of_two_equal_nonces_exactly_one_passes(busy: TestNode) -> None:
    """9.2-g: a replay that arrives together with the original is still a replay."""
    applicant = Stranger("node-s", PrivateKey.generate("SM3_SM2"))
    busy.signed("contractApply", applicant, **applicant.particulars())
    headers = busy.sign("nodeHealth", applicant, {})
    replies = _at_once(*[lambda: busy.raw("nodeHealth", headers, {})] * 4)
    assert sorted(reply.error or "ok" for reply in replies) == ["NONCE_REPLAYED"] * 3 + ["ok"]


def test_many_writers_wait_for_each_other(busy: TestNode) -> None:
    """9.2-e-5: applications that arrive at once are all taken, the same one once."""
    applicants = [Stranger(f"node-{number}", PrivateKey.generate("SM3_SM2")) for number in range(6)]
    calls = [lambda who=who: busy.signed("contractApply", who, **who.particulars()) for who in applicants * 2]
    replies = _at_once(*calls)
    assert {reply.code for reply in replies} == {0}
    assert len({reply.data["contract_id"] for reply in replies}) == 6
    assert busy.own("ownContractList").data["total"] == 6
