"""The suite's own story of an instance that dies, told to the documented redundant deployment (9.2-e-4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.harness import engine, judge
from conformance.harness.binding import load_binding
from conformance.harness.hooks import Deed, Hook
from conformance.harness.profile import parse_profile
from conformance.harness.records import Verdict
from conformance.harness.registry import SCENARIOS
from tests.reference_node.test_replicas import Replica
from tests.wires import Balancer

pytestmark = pytest.mark.slow
_STORY = "replica_killed"


@pytest.fixture
def replicas(shared: dict[str, Any], tmp_path: Path) -> Iterator[list[Replica]]:
    """Two replicas on one PostgreSQL."""
    found = [Replica(tmp_path / name, shared) for name in ("one", "two")]
    yield found
    for each in found:
        with suppress(ProcessLookupError):
            each.kill()


def test_two_replicas_on_postgresql_pass_when_one_is_killed(replicas: list[Replica]) -> None:
    """Behind a balancer that uses both, every check of the story passes though the leading one is ended in it."""
    scheme = engine.plan()
    ended: list[Replica] = []

    def hand(deed: Deed) -> None:
        if deed is Deed.KILL:
            ended.append(replicas.pop(0))
            ended[0].kill()

    with Balancer(*(each.address for each in replicas)) as balancer:
        token = {"token": replicas[0].token}
        profile = parse_profile({"target": {"url": balancer.address, "node_id": "node-r"}, "operator": token}, "here")
        stage = replace(engine.stage(profile, load_binding("reference")), hands={Hook.KILL_REPLICA: hand})
        engine.listen(stage)
        try:
            told = engine.Collector(stage).act(SCENARIOS[_STORY])
        finally:
            stage.receiver.stop()
    checks = [row for row in scheme.checks if row.scenario == _STORY]
    bench = judge.Bench(profile, stage.binding, specs.load_requirements(), specs.operations())
    results = judge.judge({_STORY: told}, checks, bench)
    assert len(ended) == 1
    assert told.stop is None
    assert {row.check: row.verdict for row in results} == {row.name: Verdict.PASS for row in checks}
