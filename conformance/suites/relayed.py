"""Two nodes on both sides of a relay, as the stories about it play them: what they ask, answer and send as files.

Nothing here judges. A job of an intersection is agreed on first, since only messages of components that run may pass.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.harness import channel
from conformance.harness.gap_relay import Arrived, End, RelayEnds, Sent
from conformance.harness.world import World

COMPONENT = {"componentName": "intersection", "version": "1.0.0", "provider": "hutong"}
TAG, SMALL_TAG, SMALL_BYTES = "enc", "Handshake", 65536  # what its self-description declares


@dataclass(slots=True)
class Relayed:
    """Both nodes and their job; `passed` has a row for each file that was to pass."""

    world: World
    ends: RelayEnds
    outer: End
    inner: End
    job_id: str
    tasks: dict[str, str]
    passed: list[dict[str, Any]] = field(default_factory=list)

    def asked(self, operation: str, body: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], bytes]:
        """Return head and body of a request of the management plane."""
        spec = self.world.stage.contract.operations[operation]
        headers = {} if body is None else {"content-type": "application/json"}
        fields = {"kind": "request", "method": spec.method, "path": spec.path, "query": "", "headers": headers}
        return fields, b"" if body is None else json.dumps(body).encode()

    def message(
        self, tag: str, payload: bytes, *, task: str = "psi_0", back: bool = False, **metadata: str
    ) -> tuple[dict[str, Any], bytes]:
        """Return head and body of a message from the outer node's component to the inner's, or back."""
        parties = ("host.0", "guest.0") if back else ("guest.0", "host.0")
        topic = f"{parties[0]}->{parties[1]}:{self.tasks[task]}.1/{tag}"
        places = {channel.TOPIC: topic, channel.SEQUENCE: "0", **metadata}
        body = channel.spelled("chanInvoke", channel.Form.PROTOBUF, {"metadata": places, "payload": payload})
        headers = {
            "content-type": str(channel.Form.PROTOBUF),
            channel.VERSION: "2",
            channel.SESSION: f"session_{self.job_id}",
        }
        path = self.world.stage.contract.operations["chanInvoke"].path
        return {"kind": "request", "method": "POST", "path": path, "query": "", "headers": headers}, body

    def answer(self, sent: Sent, data: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return head and body of the answer to a request that has passed."""
        fields = {"kind": "answer", "answers": sent.id, "status": 200, "headers": {"content-type": "application/json"}}
        return fields, json.dumps({"code": 0, "msg": "ok", "data": data}).encode()

    def cross(self, case: str, source: End, file: tuple[dict[str, Any], bytes]) -> Sent:
        """Lay a file down that may pass, wait until it has come out, and note how."""
        target = self.inner if source is self.outer else self.outer
        sent = source.put(*file)
        came = self.ends.came(target, sent, self.world.profile.timings.answer_seconds)
        same = came is not None and (came.name, came.content) == (sent.name, sent.content)
        self.passed.append({"case": case, "came": came is not None, "same": same})
        return sent

    @property
    def stuck(self) -> bool:
        """Whether the last file that was to pass has not."""
        return not self.passed[-1]["came"]

    def started(self, name: str) -> None:
        """Have a task started across the relay."""
        task = {"task_id": self.tasks[name], "job_id": self.job_id, "task_name": name}
        asked = self.cross(f"start {name}", self.outer, self.asked("taskStart", task))
        self.cross(f"{name} started", self.inner, self.answer(asked, {"task_id": self.tasks[name]}))

    def stopped(self, name: str) -> None:
        """Have a task stopped across the relay."""
        task = {"task_id": self.tasks[name], "job_id": self.job_id}
        self.cross(f"stop {name}", self.outer, self.asked("taskStop", task))

    def agree(self) -> None:
        """Have the job created across the relay and its first task started."""
        parts = [{"name": name, **COMPONENT, "input": [], "output": []} for name in self.tasks]
        config = {
            "version": "1.0",
            "initiator": {"role": "guest", "node_id": self.outer.node_id},
            "role": {"guest": [self.outer.node_id], "host": [self.inner.node_id], "arbiter": []},
            "job_params": {"common": {}},
            "task_params": {"common": {}},
        }
        job = {"job_id": self.job_id, "flow_id": self.world.id("flow"), "config": config}
        job["dag"] = {"version": "1.0", "components": parts}
        asked = self.cross("create", self.outer, self.asked("jobCreate", job))
        if not self.stuck:
            self.cross("created", self.inner, self.answer(asked, {}))
            self.started("psi_0")

    def came_out(self, sent: Sent) -> Arrived | None:
        """Return what came out at the inner side of a file of the outer's, however it is called."""
        return next((row for row in self.inner.found if row.id == sent.id or row.name == sent.name), None)


def relayed(world: World, ends: RelayEnds) -> Relayed:
    """Begin as both nodes, with a job of two tasks that neither has heard of yet."""
    outer, inner = ends.open()
    tasks = {name: f"task_{secrets.token_hex(16)}" for name in ("psi_0", "psi_1")}
    return Relayed(world, ends, outer, inner, f"job-{secrets.token_hex(16)}", tasks)
