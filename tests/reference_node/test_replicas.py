"""Two replicas of a node on one PostgreSQL, and permits under concurrency (9.2-b-2, 9.2-e-4, 9.2-e-5)."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from reference_node.app import create_app
from reference_node.config import load_config
from reference_node.errors import ConfigError
from reference_node.security.errors import KeyDestroyed
from reference_node.services import own_approvals
from reference_node.store import migrate
from reference_node.store.approvals import PermitRow
from tests.reference_node import permit_uses
from tests.reference_node.pair import DAY_MS, ManualClock, TestNode, at_home, nodes, sign_contract
from tests.waiting import eventually
from tests.wires import Balancer

pytestmark = pytest.mark.slow


@pytest.fixture
def replicas(shared: dict[str, Any], tmp_path: Path) -> Iterator[tuple[TestNode, TestNode, TestNode]]:
    """A partner, and two replicas of one node that it knows by one address."""
    clock = ManualClock()
    with nodes("node-a", clock=clock) as (partner,):
        found = []
        for name in ("one", "two"):
            settings = {**shared, "node_id": "node-r", "data": tmp_path / name, "address": "http://node-r.test"}
            app = create_app(
                load_config(None, background=False, **settings),
                clock=clock,
                outbound=partner.network,
                resolver=at_home,
            )
            partner.network.apps["node-r.test"] = app
            found.append(TestNode(app, "http://node-r.test", partner.network, clock))
        yield (partner, *found)
        for each in found:
            each.node.close()


def test_replicas_are_one_node(replicas: tuple[TestNode, TestNode, TestNode]) -> None:
    """Id, keys, operator's token and records are the same at both; what one writes the other reads."""
    partner, one, two = replicas
    assert one.id == two.id
    assert one.node.identity.operator_token == two.node.identity.operator_token
    assert one.node.identity.key("SHA256_ECDSA").public == two.node.identity.key("SHA256_ECDSA").public
    contract_id = sign_contract(partner, one)
    assert two.contract(contract_id)["status"] == "APPROVED"
    assert two.own("ownContractTerminate", contract_id=contract_id).code == 0
    assert partner.signed("nodeHealth", one.as_stranger()).code == 0
    assert one.contract(contract_id)["status"] == "TERMINATED"
    with one.node.store.reading() as connection:
        assert migrate.differences(connection) == []


def test_what_postgresql_cannot_store_is_no_failure_of_the_node(replicas: tuple[TestNode, TestNode, TestNode]) -> None:
    """A text with U+0000 is refused as a request, or kept, and never answered with an internal error."""
    answer = replicas[1].own("ownProjectCreate", project_id="prj-1", name="a\0b")
    assert answer.error in (None, "REQUEST_INVALID")


def test_a_nonce_counts_at_every_replica(replicas: tuple[TestNode, TestNode, TestNode]) -> None:
    """A request that one replica has answered is a replay at the other, and failures lock out at both."""
    partner, one, two = replicas
    sign_contract(partner, one)
    headers = one.sign("nodeHealth", partner.as_stranger(), {})
    assert one.raw("nodeHealth", headers, {}).code == 0
    assert two.raw("nodeHealth", headers, {}).error == "NONCE_REPLAYED"
    for number in range(5):
        wrong = one.sign("nodeHealth", partner.as_stranger(), {}) | {"x-ptp-trace-id": "another"}
        wrong["x-auth-sign"] = headers["x-auth-sign"]
        assert (one, two)[number % 2].raw("nodeHealth", wrong, {}).error == "SIGNATURE_INVALID"
    for node in (one, two):
        wrong = node.sign("nodeHealth", partner.as_stranger(), {}) | {"x-auth-sign": headers["x-auth-sign"]}
        assert node.raw("nodeHealth", wrong, {}).error == "LOCKED_OUT"
    assert two.raw("nodeHealth", two.sign("nodeHealth", partner.as_stranger(), {}), {}).code == 0  # it proves itself


def test_one_replica_leads_and_another_takes_over(replicas: tuple[TestNode, TestNode, TestNode]) -> None:
    """What is due by the clock is done by one of them, and by the other once that one is gone."""
    partner, one, two = replicas
    contract_id = sign_contract(partner, one, expired_time=partner.clock.now + DAY_MS)
    assert one.node.leadership.held()
    assert not two.node.leadership.held()
    partner.clock.now += DAY_MS + 1
    two.node.pump()
    assert _status(two, contract_id) == "APPROVED"
    one.node.leadership.close()
    eventually(two.node.leadership.held)
    two.node.pump()
    assert _status(two, contract_id) == "TERMINATED"


def _status(node: TestNode, contract_id: str) -> str:
    with node.node.store.reading() as connection:
        wanted = sa.text("SELECT status FROM contracts WHERE contract_id = :it")
        return str(connection.execute(wanted, {"it": contract_id}).scalar())


def test_a_key_destroyed_at_one_replica_is_gone_at_the_other(replicas: tuple[TestNode, TestNode, TestNode]) -> None:
    """9.2-d-3: after its next round the other replica does not open what was destroyed either."""
    _, one, two = replicas
    key_id = one.node.vault.new_key()
    sealed = one.node.vault.seal(b"x", b"y", key_id=key_id)
    assert two.node.vault.open(sealed, b"y") == b"x"
    one.node.vault.destroy_key(key_id)
    two.node.pump()
    with pytest.raises(KeyDestroyed):
        two.node.vault.open(sealed, b"y")


def test_replicas_need_the_key_that_they_share(shared: dict[str, Any]) -> None:
    """A replica without the common key does not start, and says what is missing."""
    with pytest.raises(ConfigError) as caught:
        create_app(load_config(None, database=shared["database"]))
    assert "key_file" in caught.value.hint


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_logical_error_takes_everything_back(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """9.2-e-5: an error in the middle of a transaction leaves nothing of it, and the same succeeds afterwards."""
    settings = {"data": tmp_path / "d"} if database == "sqlite" else request.getfixturevalue("shared")
    clock, told = ManualClock(), own_approvals.told
    with nodes("node-a", clock=clock) as (partner,):
        app = create_app(
            load_config(None, node_id="node-r", address="http://node-r.test", background=False, **settings),
            clock=clock,
            outbound=partner.network,
            resolver=at_home,
        )
        partner.network.apps["node-r.test"] = app
        owner = TestNode(app, "http://node-r.test", partner.network, clock)
        contract_id = sign_contract(partner, owner)
        made = owner.own("ownDatasetCreate", dataset_id="ds-1", name="n", visibility="PROTECTED")
        assert made.code == 0, made

        def fail(*_args: Any, **_named: Any) -> None:
            raise RuntimeError("in the middle")

        monkeypatch.setattr(own_approvals, "told", fail)
        assert owner.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds-1").error == "INTERNAL"
        assert _count(owner, "permits") == _count(owner, "approvals") == 0
        monkeypatch.setattr(own_approvals, "told", told)
        assert owner.own("ownDatasetGrant", contract_id=contract_id, dataset_id="ds-1").code == 0
        assert _count(owner, "permits") == _count(owner, "approvals") == 1
        owner.node.close()


def _count(node: TestNode, table: str) -> int:
    with node.node.store.reading() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_ten_thousand_uses_of_a_permit_for_a_thousand(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """9.2-b-2: two processes of many threads use it 10,000 times at once, and exactly 1,000 are admitted."""
    sqlite = {"data": str(tmp_path / "d")}
    settings = sqlite if database == "sqlite" else request.getfixturevalue("shared")
    node = permit_uses.opened(settings)
    permit_uses.prepare(node, 1000)
    command = [sys.executable, "-m", "tests.reference_node.permit_uses", json.dumps(settings), "5000"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=900)[0].splitlines()[-1]) for each in running]
    assert sum(answer["ADMITTED"] for answer in answers) == 1000
    assert sum(answer["PERMIT_EXHAUSTED"] for answer in answers) == 9000
    assert all(answer["ADMITTED"] > 0 for answer in answers)
    with node.store.read() as session:
        assert session.get_one(PermitRow, "audit-1").uses == 1000
    node.close()


class Replica:
    """A replica in a process of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        own = {**settings, "data": str(folder), "port": 0, "node_id": "node-r"}
        command = [sys.executable, "-m", "reference_node", json.dumps(own)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]
        self.token = (folder / "operator-token").read_text().strip()

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Clients:
    """Clients that create projects one after the other, and try again where no answer comes."""

    def __init__(self, address: str, token: str) -> None:
        self.address, self.headers = address, {"authorization": f"Bearer {token}"}
        self.acknowledged: set[str] = set()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(number,)) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def _work(self, client: int) -> None:
        number = itertools.count()
        while not self.enough.is_set():
            name = f"project-{client}-{next(number)}"
            while not self.enough.is_set():
                if self._created(name):
                    self.acknowledged.add(name)
                    break

    def _created(self, name: str) -> bool:
        body = {"project_id": name, "name": name}
        try:
            answer = requests.post(
                f"{self.address}/v1/platform/project/create", json=body, headers=self.headers, timeout=30
            )
        except requests.RequestException:
            return False
        known = answer.json()["data"] or {}
        return answer.status_code == 200 or known.get("error") == "ID_TAKEN"


def test_nothing_is_lost_when_a_replica_dies_under_load(shared: dict[str, Any], tmp_path: Path) -> None:
    """9.2-e-4: clients keep working through one address, and whatever was acknowledged is there afterwards."""
    one, two = Replica(tmp_path / "one", shared), Replica(tmp_path / "two", shared)
    with Balancer(one.address, two.address) as balancer:
        clients = Clients(balancer.address, one.token)
        eventually(lambda: len(clients.acknowledged) > 30)
        one.kill()
        before = len(clients.acknowledged)
        eventually(lambda: len(clients.acknowledged) > before + 30)
        clients.enough.set()
        for thread in clients.threads:
            thread.join(60)
        found: set[str] = set()
        for page in itertools.count(1):
            answer = requests.get(
                f"{balancer.address}/v1/platform/project/list",
                params={"page_num": page, "page_size": 100},
                headers=clients.headers,
                timeout=30,
            ).json()["data"]["records"]
            found |= {record["project_id"] for record in answer}
            if not answer:
                break
    two.kill()
    assert clients.acknowledged <= found
