"""What stories of joint computing share: a job of open components in which the harness plays the other party.

The components have the codes `intersection` and `statistics` and speak the protocols of `specs/protocols`. Nothing here
judges: how each task ended, and what the other party came to know, is written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from conformance.harness import channel, planted
from conformance.harness.channel_calls import Line, Message
from conformance.harness.compute_messages import Said, Talker
from conformance.harness.errors import NotOffered
from conformance.harness.partner import Partner
from conformance.harness.ptp import NoMessage
from conformance.harness.world import World
from conformance.suites import drafts, sessions, work
from conformance.suites.material import granted, needed, own_dataset

VERSION, PROVIDER = "1.0.0", "hutong"
INTERSECTION, STATISTICS = "intersection", "statistics"
FINAL = ("SUCCESS", "FAILED")
_PLAIN = "".join(chr(code) for code in range(33, 127) if chr(code) != "%")


@dataclass(slots=True)
class Play:
    """One task of the job: the party that the harness plays in it, and what has been said so far."""

    name: str
    talker: Talker
    task_id: str = ""
    problem: str = ""
    status: str = ""
    sent: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A job of the partner's that runs on the target, which has the other of the two roles."""

    world: World
    partner: Partner
    line: Line
    job_id: str
    me: str
    target: str

    def task(self, name: str, talker: Talker) -> Play:
        """Begin a task and say what the harness's party says first."""
        play = Play(name, talker)
        play.task_id = work.given(self.world, f"begin-{name}", self.partner, self.job_id, name)
        self._say(play, talker.begin())
        return play

    def run(self, slug: str, *plays: Play) -> None:
        """Play every party until its task has ended at the target, or the time is over."""
        looks = count()

        def probe() -> bool | None:
            self._listen(plays)
            told = self.world.own(f"{slug}:look~{next(looks)}", "ownTaskList", {**self.key, "page_size": work.PAGE})
            found = {row.get("task_id"): row for row in told.at("/records")}
            for play in plays:
                play.status = str(found.get(play.task_id, {}).get("status", ""))
            return True if all(play.status in FINAL for play in plays) else None

        self.world.eventually(probe)
        self._listen(plays)
        for play in plays:
            self.world.own(f"ended-{play.name}", "ownTaskQuery", {**self.key, "task_id": play.task_id})
            told = {"status": play.status, "problem": play.problem, "heard": sorted(play.heard)}
            self.world.fact(play.name, {**told, "task_id": play.task_id})

    @property
    def key(self) -> dict[str, str]:
        """By what the job is named."""
        return {"job_id": self.job_id}

    def _listen(self, plays: Sequence[Play]) -> None:
        """Hand every message that has come to the party it is for, each topic in its order."""
        waiting = _arrived(self.world, self.partner)
        for play in plays:
            head = f"{self.target}->{self.me}:{play.task_id}.1/"
            for topic, numbered in waiting.items():
                tag = unquote(topic).removeprefix(head)
                while topic.startswith(head) and not play.problem and play.heard.get(tag, 0) in numbered:
                    payload = numbered[play.heard.get(tag, 0)]
                    play.heard[tag] = play.heard.get(tag, 0) + 1
                    try:
                        self._say(play, play.talker.heard(tag, payload))
                    except NoMessage as problem:
                        play.problem = str(problem)

    def _say(self, play: Play, said: Said) -> None:
        for tag, payload in said:
            number = play.sent.get(tag, 0)
            play.sent[tag] = number + 1
            topic = f"{self.me}->{self.target}:{quote(f'{play.task_id}.1/{tag}', safe=_PLAIN)}"
            self.line.invoke(f"{play.name}:{tag}~{number}", self.partner, Message(topic, payload, number))


def _arrived(world: World, partner: Partner) -> dict[str, dict[int, bytes]]:
    """Return the messages that the partner has taken: topics, numbers, payloads."""
    found: dict[str, dict[int, bytes]] = {}
    for row in world.stage.receiver.exchanges(world.scenario):
        if row.operation in channel.BETWEEN_NODES and row.partner == partner.node_id and row.answer is not None:
            for topic, number, payload in channel.payloads(row.operation, row.request):
                if number.isdecimal():
                    found.setdefault(topic, {})[int(number)] = payload
    return found


def table(world: World, slug: str, rows: Sequence[Sequence[str]]) -> AbstractContextManager[Path]:
    """Lay a table where the target reads datasets; ends the story where there is no such place."""
    sessions.drivable(world)
    return planted.table(world.profile.hooks, world.id(slug), rows)


def lent(world: World, partner: Partner, slug: str, path: Path) -> str:
    """Have the target's operator register a table as a dataset and grant it to the partner; return its id."""
    dataset_id = own_dataset(world, slug, source={"type": "FILE", "location": str(path)})
    granted(world, partner, slug, dataset_id)
    return dataset_id


def component(name: str, code: str, fed_by: str = "table") -> dict[str, Any]:
    """Return one component of the DAG; `fed_by` is a dataset's port, or an output of another component."""
    output = ("joined", "dataset") if code == INTERSECTION else ("result", "report")
    named = {"name": name, "componentName": code, "version": VERSION, "provider": PROVIDER}
    return {**named, "input": [drafts.port(fed_by)], "output": [drafts.port(*output)]}


def job(
    world: World,
    partner: Partner,
    parts: Sequence[Mapping[str, Any]],
    dataset_id: str,
    params: Mapping[str, Mapping[str, Any]],
    *,
    role: str = "host",
) -> Job:
    """Have a job of the partner's run on the target in this role; its own part of every table is the dataset."""
    plan = {"version": "1.0", "components": [dict(part) for part in parts]}
    project_id, _ = drafts.joined_project(world, partner, f"prj-{role}")
    target, token = world.profile.target.node_id, world.id(f"token-{role}")
    fed = {part["name"]: {"input": {"table": dataset_id}} for part in parts if part["input"][0]["key"] == "table"}
    mine = "guest" if role == "host" else "host"
    guest, host = (partner.node_id, target) if role == "host" else (target, partner.node_id)
    config = work.config(guest, host)
    config["initiator"] = {"role": mine, "node_id": partner.node_id}
    config["task_params"] = {"common": {name: dict(given) for name, given in params.items()}, role: fed}
    flow_id = work.approved_flow(world, partner, project_id, f"flow-{role}", plan, config)
    key = {"job_id": world.id(f"job-{role}")}
    asked = {**key, "flow_id": flow_id, "dag": plan, "config": config, "session_token": token}
    told = world.call(f"create-{role}", partner, "jobCreate", asked)
    if told.reading is not None and str(told.reading.data.get("pointer", "")).startswith("/dag/components/"):
        codes = " or ".join(sorted({part["componentName"] for part in parts}))
        raise NotOffered(f"the target has no component {codes} {VERSION}")
    needed(told)
    needed(world.call(f"start-{role}", partner, "jobStart", key))
    line = Line(world, f"session_{key['job_id']}", token)
    return Job(world, partner, line, key["job_id"], f"{mine}.0", f"{role}.0")
