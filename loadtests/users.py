"""The load process: Locust users that play signed partners and the target's operator. Run by `loadtests.smoke` only.

A process of its own, because Locust replaces sockets, threads and sleeping of the whole process by gevent's. It reads
a mission (JSON) from standard input, acts it out, and writes what happened (JSON) to the mission's file; it judges
nothing and draws nothing. Requests are made by the harness's own `World`, so they are signed and spelled as those of a
certification are. Guarantees: no more users, seconds and requests than the campaign says; the operator's token is in
nothing that is written.
"""

from __future__ import annotations

import locust  # isort: skip  it patches the process, so it comes before whatever opens sockets

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from locust.env import Environment
from locust.exception import StopUser

from conformance.harness import engine
from conformance.harness.binding import load_binding
from conformance.harness.errors import Blame, HarnessError, Prerequisite, ScenarioStop
from conformance.harness.partner import Partner
from conformance.harness.profile import parse_profile
from conformance.harness.profile_model import Profile
from conformance.harness.steps import Told
from conformance.harness.target import HttpTransport
from conformance.harness.world import Stage, World
from loadtests.campaign import Campaign, Step, Story, fill, offered, parse_campaign, reshaped

MOST_SAMPLES = 2000


@dataclass(slots=True)
class Actor:
    """One user's identity at the target, made before the clock runs."""

    world: World
    partner: Partner
    names: dict[str, str]


@dataclass(slots=True)
class Tape:
    """All that happened: [operation, milliseconds since the start, milliseconds it took, what went wrong or ""].

    `crowd` is [milliseconds since the start, users at that time].
    """

    campaign: Campaign
    requests: list[tuple[str, float, float, str]] = field(default_factory=list)
    crowd: list[tuple[float, int]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    left_behind: list[str] = field(default_factory=list)
    stop: str = ""
    blame: str = ""
    began: float = 0.0

    def hear(self, name: str, response_time: float, exception: str | None, **_rest: Any) -> None:
        """Write down one request: the listener of Locust's request event."""
        since = (time.perf_counter() - self.began) * 1000 - response_time
        self.requests.append((name, round(since, 3), round(response_time, 3), exception or ""))

    def count(self, users: int) -> None:
        """Write down how many users there are now, once where it stays the same."""
        if not self.crowd or self.crowd[-1][1] != users:
            self.crowd.append((round((time.perf_counter() - self.began) * 1000, 3), users))

    def full(self) -> bool:
        """Whether the campaign may send no more."""
        return len(self.requests) >= self.campaign.shape.max_requests

    def sample(self, story: Story, world: World, stop: str) -> None:
        """Keep a story for the judge: the first of its kind and every n-th."""
        number = self.told[story.name]
        self.told[story.name] += 1
        if number % self.campaign.shape.sample_every == 0 and len(self.samples) < MOST_SAMPLES:
            exchanges = [exchange.to_json() for exchange in world.transcript().exchanges]
            self.samples.append({"story": story.name, "exchanges": exchanges, "stop": stop})


def ask(world: World, partner: Partner, step: Step, names: dict[str, str]) -> Told:
    """Take one step, as the target's operator or as the partner, and keep what the step keeps."""
    data = fill(step.send, names)
    own_side = world.stage.contract.operations[step.operation].own_side
    if own_side:
        told = world.own(step.label, step.operation, data)
    else:
        told = world.call(step.label, partner, step.operation, data)
    for name, pointer in step.keep.items():
        names[name] = str(told.at(pointer))
    return told


def cast(stage: Stage, campaign: Campaign) -> list[Actor]:
    """Give every user a contract with the target and what the campaign prepares."""
    actors = []
    for number in range(campaign.shape.users):
        world = World(stage, f"user-{number}")
        partner = world.signed_partner("load")
        names = {"id": world.id("load"), "contract_id": partner.contract_id, "node_id": partner.node_id}
        for step in campaign.prepare:
            if not ask(world, partner, step, names).accepted:
                raise Prerequisite(f"{step.operation} was refused before the campaign began")
        actors.append(Actor(world, partner, names))
    return actors


def dismiss(actors: list[Actor], campaign: Campaign, tape: Tape) -> None:
    """Take back what was prepared and end the contracts; what stays behind is written down."""
    for actor in actors:
        for step in campaign.finish:
            try:
                accepted = ask(actor.world, actor.partner, step, actor.names).accepted
            except ScenarioStop:
                accepted = False
            if not accepted:
                tape.left_behind.append(f"{step.operation} {actor.names['id']}")
        actor.world.close()


def user_class(tape: Tape, actors: list[Actor], stage: Stage) -> type[locust.User]:
    """Build the class of users that act out the stories of a campaign."""
    waiting = list(actors)

    def play(user: PartnerUser, story: Story) -> None:
        if tape.full() or tape.blame:
            raise StopUser
        world = World(user.stage, story.name)
        names = {**user.actor.names, "id": world.id("load")}
        stop = ""
        try:
            for step in story.steps:
                told = ask(world, user.actor.partner, step, names)
                _fire(user, step, told)
        except ScenarioStop as exc:
            stop = str(exc)
        except Exception as exc:  # whatever else breaks is the harness's own and voids the run
            tape.blame = f"story {story.name}: {type(exc).__name__}: {exc}"
            raise StopUser from exc
        tape.sample(story, world, stop)

    class PartnerUser(locust.User):
        """One signed partner and the operator beside it, on a connection of their own."""

        actor: Actor
        stage: Stage

        def on_start(self) -> None:
            self.actor = waiting.pop()
            self.stage = replace(stage, transport=HttpTransport(stage.profile.target.url))

    PartnerUser.tasks = [task for story in tape.campaign.stories for task in [_task(play, story)] * story.weight]
    return PartnerUser


def _task(play: Any, story: Story) -> Any:
    def task(user: locust.User) -> None:
        play(user, story)

    task.__name__ = story.name
    return task


def _fire(user: locust.User, step: Step, told: Told) -> None:
    exchange = told.exchange
    wrong = ""
    if exchange.answer is None:
        wrong = "no answer"
    elif not told.accepted:
        wrong = f"HTTP {exchange.answer.status} {told.reading.error or '' if told.reading else ''}".strip()
    user.environment.events.request.fire(
        request_type=exchange.request.method,
        name=step.operation,
        response_time=exchange.elapsed_ms,
        response_length=len(exchange.answer.body) if exchange.answer else 0,
        exception=wrong or None,
        context={},
    )


def attack(tape: Tape, actors: list[Actor], stage: Stage) -> float:
    """Let the users loose for the seconds of the campaign; return how long it took."""
    shape = tape.campaign.shape
    last_story = stage.profile.timings.answer_seconds * 2  # users end the story they are in, so that nothing stays
    users = [user_class(tape, actors, stage)]
    environment = Environment(user_classes=users, catch_exceptions=False, stop_timeout=last_story)
    environment.events.request.add_listener(tape.hear)  # type: ignore[no-untyped-call]
    runner = environment.create_local_runner()
    tape.began = time.perf_counter()
    runner.start(shape.users, spawn_rate=shape.spawn_rate)
    while time.perf_counter() - tape.began < shape.seconds and not (tape.full() or tape.blame):
        tape.count(runner.user_count)
        stage.clock.elapse(0.05)
    runner.quit()
    return time.perf_counter() - tape.began


def run(profile: Profile, campaign: Campaign) -> dict[str, Any]:
    """Act out a campaign; return what happened."""
    binding = load_binding(profile.target.binding)
    campaign, left_out = offered(campaign, profile, binding)
    tape, seconds, actors = Tape(campaign), 0.0, list[Actor]()
    stage = engine.stage(profile, binding)
    stage.receiver.start(profile.partner.host, profile.partner.port, profile.partner.address)
    started = stage.clock.now_ms()
    try:
        actors = cast(stage, campaign)
        started = stage.clock.now_ms()
        if campaign.stories:
            seconds = attack(tape, actors, stage)
        dismiss(actors, campaign, tape)
    except Blame as exc:
        tape.blame = str(exc)
    except HarnessError as exc:
        tape.stop = str(exc)
    finally:
        stage.receiver.stop()
    return {
        "started_ms": started,
        "seconds": round(seconds, 3),
        "users": campaign.shape.users,
        "requests": tape.requests,
        "crowd": tape.crowd,
        "samples": tape.samples,
        "stories": dict(tape.told),
        "left_out": left_out,
        "left_behind": tape.left_behind,
        "stop": tape.stop or ("" if campaign.stories else "the target offers none of the stories"),
        "blame": tape.blame,
    }


def main() -> None:
    """Read a mission, act it out, write what happened."""
    mission = json.load(sys.stdin)
    profile = parse_profile(mission["profile"], mission["where"])
    campaign = parse_campaign(mission["campaign"], mission["campaign_where"])
    happened = run(profile, reshaped(campaign, mission["users"], mission["seconds"]))
    text = json.dumps(happened, ensure_ascii=False)
    if profile.operator is not None:
        text = text.replace(json.dumps(profile.operator.reveal())[1:-1], "***")
    Path(mission["out"]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
