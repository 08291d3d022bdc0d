"""A node's two ends at the gap (9.2-h): what it sends, what it believes, and what it does when nobody answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from reference_node.app import create_app, node_of
from reference_node.clock import SystemClock
from reference_node.config import Config, load_config
from reference_node.errors import ConfigError, Refusal
from reference_node.gap.files import SUITE, GapFile, waiting
from reference_node.gap.link import GapOutbound, Links
from reference_node.security.keys import PrivateKey
from reference_node.server import NodeServer
from reference_node.services import admission
from reference_node.transport.outbound import HttpOutbound, OutboundAnswer, Unreachable
from tests.reference_node.gapping import Pencil
from tests.waiting import eventually

HEALTH = "/v1/interconn/node/health"


@dataclass
class Ends:
    """A served node and the pencil of its partner, joined without a relay: one's out is the other's in."""

    folder: Path
    server: NodeServer = field(init=False)

    def __post_init__(self) -> None:
        config = load_config(
            None,
            node_id="node-in",
            port=0,
            gap=self.folder / "gap",
            gap_partners=["node-out"],
            gap_timeout_seconds=0.2,
        )
        self.server = NodeServer(config)
        self.link = self.folder / "gap" / "node-out"
        self.partner = Pencil("node-out", self.folder / "pencil", "node-in")
        (self.folder / "pencil" / "out").rmdir()
        (self.folder / "pencil" / "out").symlink_to(self.link / "in")

    def answers(self) -> list[int]:
        """Return the status of each answer that the node has written."""
        found = []
        for name in waiting(self.link / "out"):
            with GapFile.open(self.link / "out" / name) as file:
                found += [file.head.status or 0]
        return found


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    """A node that knows its partner's key."""
    found = Ends(tmp_path)
    (found.link / "partner.pem").write_text(found.partner.key.public.pem)
    with found.server:
        yield found


def outbound(folder: Path, timeout: float = 0.05) -> GapOutbound:
    """Return the sending end of a node."""
    links = Links("node-in", folder, ["node-out"], PrivateKey.generate(SUITE), SystemClock(), timeout=timeout)
    return GapOutbound(HttpOutbound(), links)


def test_a_request_is_answered_by_the_nodes_own_pipeline(ends: Ends) -> None:
    """The answer is a file that is signed by the node and names the request."""
    with GapFile.open(ends.partner.ask("nodeQuery", query="node_id=node-in")) as file:
        asked = file.head.id
    (name,) = eventually(lambda: waiting(ends.link / "out"), within=10)
    with GapFile.open(ends.link / "out" / name) as file:
        file.check_signature(ends.server.node.identity.key(SUITE).public)
        assert (file.head.answers, file.head.status) == (asked, 200)
        assert json.loads(b"".join(file.pieces()))["code"] == 0


def test_what_is_not_of_the_partner_is_not_answered(ends: Ends) -> None:
    """A foreign key, another sender, another source, a component's operation and stray names are dropped."""
    ends.partner.ask("nodeHealth", key=PrivateKey.generate(SUITE))
    ends.partner.ask("nodeHealth", sender="node-x")
    ends.partner.ask("nodeHealth", headers={"x-source-node-id": "node-x"})
    ends.partner.put(b"", method="POST", path="/v1/interconn/chan/push", query="")
    (ends.link / "in" / "letter.txt").write_text("hello")
    ends.partner.ask("nodeQuery", query="node_id=node-in")
    eventually(lambda: not waiting(ends.link / "in") and ends.answers(), within=10)
    assert ends.answers() == [200]


def test_nothing_is_believed_before_the_partners_key_is_known(ends: Ends) -> None:
    """The operator puts it there; until then every file is dropped."""
    (ends.link / "partner.pem").unlink()
    ends.partner.ask("nodeHealth")
    eventually(lambda: not waiting(ends.link / "in"), within=10)
    assert ends.answers() == []


def test_a_node_with_partners_across_the_gap_is_told_by_its_spool(ends: Ends) -> None:
    """Its particulars have the address that partners behind the gap can use."""
    answer = requests.get(f"{ends.server.address}/v1/interconn/node/query?node_id=node-in", timeout=10).json()
    assert answer["data"]["address"] == "spool://node-in"


def test_a_refusal_of_the_relay_ends_the_call_at_once(ends: Ends) -> None:
    """The caller hears the relay's reason, and under which of the names that it knows from partners."""
    heard: list[OutboundAnswer] = []
    links = ends.server.node.gap
    assert links is not None
    links.timeout = 30
    sender = GapOutbound(HttpOutbound(), links)
    thread = threading.Thread(
        target=lambda: heard.append(sender.send("GET", f"spool://node-out{HEALTH}", {}, b"", 0.01))
    )
    thread.start()
    (name,) = eventually(lambda: waiting(ends.link / "out"), within=10)
    with GapFile.open(ends.link / "out" / name) as file:
        notice = ends.link / "in" / f"{file.head.id}.refused"
    notice.with_name(".notice").write_text('{"error":"SESSION_NOT_FOUND","reason":"NOT_RUNNING: no"}')
    notice.with_name(".notice").rename(notice)
    thread.join()
    said = json.loads(heard[0].body)
    assert (heard[0].status, said["data"]["error"]) == (403, "SESSION_NOT_FOUND")
    assert "NOT_RUNNING" in said["msg"]


def test_a_request_that_nobody_answers_is_taken_back(tmp_path: Path) -> None:
    """It is Unreachable as over a socket, and no file is left for a relay that comes later."""
    with pytest.raises(Unreachable, match="in time"):
        outbound(tmp_path).send("GET", f"spool://node-out{HEALTH}", {}, b"", 0.01)
    assert waiting(tmp_path / "node-out" / "out") == []


def test_a_node_that_is_no_partner_across_the_gap_is_unreachable(tmp_path: Path) -> None:
    """No folder is made for names that come from outside."""
    with pytest.raises(Unreachable, match="no link"):
        outbound(tmp_path).send("GET", f"spool://../x{HEALTH}", {}, b"", 0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["node-out"]


def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """What was written of it is gone and the failure is the writer's."""

    def _pieces() -> Iterator[bytes]:
        yield b"x"
        raise LookupError

    with pytest.raises(LookupError):
        outbound(tmp_path).stream(f"spool://node-out{HEALTH}", {}, _pieces(), 0.01)
    assert list((tmp_path / "node-out" / "out").iterdir()) == []


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """Whatever was sent before, the next file has a higher number."""
    numbers = []
    for _ in range(2):
        sender = outbound(tmp_path, timeout=30)
        thread = threading.Thread(target=_sends, args=(sender,))
        thread.start()
        (name,) = eventually(lambda: waiting(tmp_path / "node-out" / "out"), within=10)
        numbers.append(name)
        sender._links.close()
        thread.join()
    assert numbers[0] < numbers[1]


def _sends(sender: GapOutbound) -> None:
    with pytest.raises(Unreachable):
        sender.send("GET", f"spool://node-out{HEALTH}", {}, b"", 0.01)


def test_partners_need_a_folder() -> None:
    """The configuration says so at the start."""
    with pytest.raises(ConfigError, match="need a folder"):
        NodeServer(Config(node_id="node-in", gap_partners=("node-out",)))


def plan_of(*components: tuple[str, str], host: str = "node-b") -> dict[str, Any]:
    """Return a job of this node's with a partner, of components by provider and code."""
    parts = [
        {"name": f"part_{at}", "componentName": code, "version": "1.0.0", "provider": provider, "input": []}
        | {"output": [{"key": "out", "type": "dataset"}]}
        for at, (provider, code) in enumerate(components)
    ]
    config = {
        "version": "1.0",
        "initiator": {"role": "guest", "node_id": "node-a"},
        "role": {"guest": ["node-a"], "host": [host], "arbiter": []},
        "job_params": {"common": {}},
        "task_params": {"common": {}},
    }
    return {"dag": {"version": "1.0", "components": parts}, "config": config}


def test_a_component_in_the_black_box_form_is_refused_before_the_job_is_made(tmp_path: Path) -> None:
    """With the partner behind the gap the refusal names component and reason; at sockets, and others, may run."""
    node = node_of(
        create_app(load_config(None, node_id="node-a", background=False, gap=tmp_path, gap_partners=["node-b"]))
    )
    try:
        with pytest.raises(Refusal) as refused:
            admission.check_plan(node, plan_of(("hutong", "intersection"), ("secretflow", "spu-psi")))
        assert (refused.value.name, refused.value.pointer) == (
            "COMPONENT_NOT_ACROSS_GAP",
            "/dag/components/1/componentName",
        )
        assert "spu-psi" in refused.value.extra["reason"]
        assert "node-b" in refused.value.extra["reason"]
        assert admission.check_plan(node, plan_of(("secretflow", "spu-psi"), host="node-c"))
        assert admission.check_plan(node, plan_of(("hutong", "intersection")))
    finally:
        node.close()
