"""Whole nodes over a network that loses requests and answers: every side ends, and once they meet again they agree."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from reference_node.domain.task import Cause
from reference_node.transport.outbound import OutboundAnswer, Unreachable
from tests.reference_node.jobbing import FORK, Worker, allied, created, settle, workers
from tests.reference_node.pair import Network


class Lossy(Network):
    """Loses requests and answers, and sends some requests twice, by a seeded coin."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.coin = random.Random(seed)
        self.rate = 0.0

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> OutboundAnswer:
        """Deliver one request, or not."""
        if self.coin.random() < self.rate:
            raise Unreachable("the request was lost")
        answer = super().send(method, url, headers, body, timeout)
        if self.coin.random() < self.rate:
            super().send(method, url, headers, body, timeout)
        if self.coin.random() < self.rate:
            raise Unreachable("the answer was lost")
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(8), 105, 122, 129, 141, 155])  # the last ones have each found a defect once
def test_all_sides_end_and_agree(seed: int) -> None:
    """Whatever is lost while tasks succeed, fail, are stopped and run again, by whichever node schedules."""
    network = Lossy(seed)
    coin = random.Random(seed + 1000)
    names = ("node-a", "node-b", "node-c")[: 2 + seed % 2]
    with workers(*names, network=network) as nodes:
        allied(*nodes)
        scheduler = coin.choice(names)
        job_id = created(*nodes, dag=FORK, scheduler=scheduler, timeout=400)
        network.rate = 0.3
        for _ in range(40):
            act(coin, nodes, job_id)
        network.rate = 0.0
        for _ in range(60):
            nodes[0].clock.advance(10)
            settle(*nodes, rounds=1)
        found = [node.job(job_id) for node in nodes]
        assert {job["job_status"] for job in found} <= {"FINISHED"} or {job["job_status"] for job in found} == {"READY"}
        assert [node.runner.running for node in nodes] == [{}] * len(nodes)
        agreed(nodes, job_id, next(node for node in nodes if node.id == scheduler))


def agreed(nodes: tuple[Worker, ...], job_id: str, scheduler: Worker) -> None:
    """What the scheduler calls a success is one everywhere, and what failed anywhere is one there."""
    view = scheduler.tasks(job_id)
    for name, task in view.items():
        parts = [node.tasks(job_id).get(name) for node in nodes]
        here = [part for part in parts if part is not None and part["task_id"] == task["task_id"]]
        assert all(part["status"] in ("SUCCESS", "FAILED") for part in here)
        if task["status"] == "SUCCESS":
            assert [part["status"] for part in here] == ["SUCCESS"] * len(nodes)
        if any(part["status"] == "FAILED" for part in here):
            assert task["status"] == "FAILED"


def act(coin: random.Random, nodes: tuple[Worker, ...], job_id: str) -> None:
    """Do one thing that may happen."""
    node = coin.choice(nodes)
    roll = coin.random()
    if roll < 0.15:
        nodes[0].own("ownJobStart", job_id=job_id)
    elif roll < 0.5:
        cause = Cause.COMPONENT_FAILED if coin.random() < 0.08 else None
        node.runner.finish(coin.choice([None, "a", "b"]), cause)
    elif roll < 0.53:
        node.own("ownJobStop", job_id=job_id)
    elif roll < 0.58:
        nodes[0].own("ownJobRerun", job_id=job_id)
    elif roll < 0.62:
        nodes[0].own("ownTaskStop", job_id=job_id, task_name=coin.choice(["a", "b"]))
    elif roll < 0.66:
        tasks = nodes[0].tasks(job_id)
        if "a" in tasks:
            nodes[0].own("ownTaskRerun", job_id=job_id, task_id=tasks["a"]["task_id"])
    nodes[0].clock.advance(coin.choice([0, 1, 3, 6]))
    node.pump()
