"""A relay between two folders in this process, and nodes that are no more than a key and a pencil."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import specs
from reference_node.gap.files import SUITE, Draft, GapFile, Head, waiting
from reference_node.gap.policy import Policy, load_policy
from reference_node.gap.relay import GapRelay
from reference_node.proto.transport_pb2 import Inbound
from reference_node.security.keys import PrivateKey
from reference_node.transport import frames, stamps
from reference_node.transport.relay import Outgoing
from reference_node.transport.spool import Spool

JOB = "job-0f8fad5bd9cb469fa16570867728950e"
TASK = "task_7c9e6679f2554ba4a2c7b6f0c2d1e3aa"
PROTOBUF = "application/x-protobuf"
DONE = b'{"code":0,"msg":"ok","data":{}}'


@dataclass
class Pencil:
    """What a node writes into its folder and finds there."""

    name: str
    folder: Path
    partner: str = ""
    key: PrivateKey = field(default_factory=lambda: PrivateKey.generate(SUITE))
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        for name in ("out", "in"):
            (self.folder / name).mkdir(parents=True)

    def put(self, body: bytes, **fields: Any) -> Path:
        """Write a file."""
        given = {
            "kind": "request",
            "sequence": next(self.numbers),
            "id": secrets.token_hex(16),
            "sender": self.name,
            "receiver": self.partner,
            "time": 1,
            "headers": {},
            **fields,
        }
        key = given.pop("key", self.key)
        draft = Draft(self.folder / "out")
        draft.write(body)
        return draft.publish(lambda size, digest: Head(**{"size": size, "digest": digest, **given}), key)

    def ask(self, operation: str, body: Mapping[str, Any] | None = None, **fields: Any) -> Path:
        """Write a request of the management plane."""
        found = specs.operations()[operation]
        content = b"" if body is None else json.dumps(body).encode()
        return self.put(content, **{"method": found.method, "path": found.path, "query": "", **fields})

    def say(self, tag: str, payload: bytes = b"x", *, metadata: Mapping[str, str] | None = None, **fields: Any) -> Path:
        """Write a message of the data plane, from guest to host unless `topic` says otherwise."""
        topic = fields.pop("topic", f"guest.0->host.0:{TASK}.1/{tag}")
        session = fields.pop("session", f"session_{JOB}")
        places = {frames.TOPIC: topic, frames.SEQUENCE: "0", **(metadata or {})}
        body = Inbound(metadata=places, payload=payload).SerializeToString() + fields.pop("after", b"")
        headers = {"content-type": PROTOBUF, stamps.VERSION: "2", stamps.SESSION: session}
        path = specs.operations()["chanInvoke"].path
        return self.put(body, method="POST", path=path, query="", headers=headers | fields.pop("headers", {}), **fields)

    def stream(self, *messages: tuple[str, bytes], cut_at: int | None = None, chunk: int = 1000) -> Path:
        """Write a stream of frames, each message by its tag and payload."""
        spool = Spool(None, memory=1 << 24, inline=1 << 24)
        code = frames.FrameCode("sm4-gmac", "token", nonce="n", source="a", target="b", session_id="s")
        batch = [
            Outgoing(f"guest.0->host.0:{TASK}.1/{tag}", number, spool.keep(payload))
            for number, (tag, payload) in enumerate(messages)
        ]
        body = b"".join(frames.pack(frames.cut(batch, code, chunk)))[:cut_at]
        headers = {"content-type": PROTOBUF, stamps.SESSION: f"session_{JOB}", frames.ALGORITHM_HEADER: "sm4-gmac"}
        path = specs.operations()["chanTransport"].path
        return self.put(body, method="POST", path=path, query="", headers=headers)

    def found(self) -> list[str]:
        """Return the names of what lies here for the node."""
        return waiting(self.folder / "in")

    def answer(self, body: bytes = DONE, **fields: Any) -> None:
        """Take every request that lies here, and answer it."""
        for name in self.found():
            with GapFile.open(self.folder / "in" / name) as file:
                asked = file.head.id if file.head.kind == "request" else None
            (self.folder / "in" / name).unlink()
            if asked is not None:
                self.put(body, kind="answer", answers=asked, status=200, **fields)


@dataclass
class Crossing:
    """Two pencils and what stands between them."""

    folder: Path
    limits: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outer = Pencil("node-out", self.folder / "outer", "node-in")
        self.inner = Pencil("node-in", self.folder / "inner", "node-out")
        self.state = self.folder / "state"
        text = "".join(f"{name} = {value}\n" for name, value in self.limits.items())
        for side, node in (("outer", self.outer), ("inner", self.inner)):
            (self.folder / f"{side}.pem").write_text(node.key.public.pem)
        sides = '[outer]\nnode_id = "node-out"\nkey = "outer.pem"\n[inner]\nnode_id = "node-in"\nkey = "inner.pem"\n'
        (self.folder / "gap.toml").write_text(f"{sides}[limits]\n{text}")

    def policy(self) -> Policy:
        """Return the policy of the file."""
        return load_policy(self.folder / "gap.toml")

    def relay(self) -> GapRelay:
        """Return a relay that has not begun."""
        return GapRelay(self.outer.folder, self.inner.folder, self.policy(), self.state)


def agree(crossing: Crossing, relay: GapRelay, component: str = "intersection") -> None:
    """Have a job agreed on and its task started."""
    part = {"name": "psi_0", "componentName": component, "version": "1.0.0", "provider": "hutong"}
    crossing.outer.ask(
        "jobCreate",
        {
            "job_id": JOB,
            "flow_id": "flow-1",
            "dag": {"version": "1.0", "components": [{**part, "input": [], "output": []}]},
            "config": {
                "version": "1.0",
                "initiator": {"role": "guest", "node_id": "node-out"},
                "role": {"guest": ["node-out"], "host": ["node-in"], "arbiter": []},
                "job_params": {"common": {}},
                "task_params": {"common": {}},
            },
        },
    )
    turn(crossing, relay)
    crossing.outer.ask("taskStart", {"task_id": TASK, "job_id": JOB, "task_name": "psi_0"})
    turn(crossing, relay, json.dumps({"code": 0, "msg": "ok", "data": {"task_id": TASK}}).encode())


def turn(crossing: Crossing, relay: GapRelay, body: bytes = DONE) -> None:
    """Carry what is asked over, and its answer back."""
    relay.step()
    crossing.inner.answer(body)
    relay.step()
    for name in crossing.outer.found():
        (crossing.outer.folder / "in" / name).unlink()
