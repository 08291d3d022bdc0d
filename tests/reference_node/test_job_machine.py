"""The rules of jobs and tasks by themselves, and nodes that follow them over a network that loses and reorders."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reference_node.domain import RuleBroken, plan
from reference_node.domain.job import Course, JobStatus, agree, end, reject, rerun, resume, start
from reference_node.domain.task import Cause, Standing, TaskStatus, adopt, stop, together
from reference_node.domain.task import rerun as rerun_task

P, R, U, S, F = TaskStatus.PENDING, TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.SUCCESS, TaskStatus.FAILED
standings = st.builds(
    lambda status, attempt: Standing(status, attempt, Cause.COMPONENT_FAILED if status is F else None),
    st.sampled_from(TaskStatus),
    st.integers(1, 3),
)
courses = st.builds(
    lambda status, run: Course(status, run, Cause.STOPPED if status is JobStatus.FINISHED else None),
    st.sampled_from(JobStatus),
    st.integers(1, 3),
)


@given(standings, st.lists(standings, max_size=4))
def test_the_order_of_news_about_one_part_does_not_matter(mine: Standing, news: list[Standing]) -> None:
    """Late, doubled and overtaken callbacks end in the same attempt and rank, and news heard twice is heard once."""
    ends = set()
    for order in permutations(news):
        now = mine
        for told in order:
            now = adopt(now, told)
            assert adopt(now, told) == now
        ends.add((now.attempt, now.final))
    assert len(ends) == 1


@given(standings, standings)
def test_what_has_ended_changes_by_a_further_attempt_only(mine: Standing, told: Standing) -> None:
    """Neither news nor a stop moves a final part within its attempt."""
    if mine.final:
        assert stop(mine) == mine
        assert adopt(mine, told) == (told if told.attempt > mine.attempt else mine)
    assert stop(stop(mine)) == stop(mine)
    assert stop(mine).final


def test_a_rerun_is_known_by_its_number() -> None:
    """The same one again changes nothing, one without a number needs an end first."""
    ended = Standing(S, 1)
    assert rerun_task(ended) == rerun_task(ended, 2) == Standing(R, 2)
    assert rerun_task(Standing(R, 2), 2) == Standing(R, 2)
    assert rerun_task(Standing(U, 1), 3) == Standing(R, 3)
    with pytest.raises(RuleBroken, match="TASK_NOT_ENDED"):
        rerun_task(Standing(U, 1))


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([P, P], P),
        ([P, R], R),
        ([R, U], U),
        ([R, S], U),
        ([U, S], U),
        ([S, S], S),
        ([S, F], F),
        ([P, F], F),
        ([], P),
    ],
)
def test_a_task_stands_where_its_parts_stand(parts: list[TaskStatus], status: TaskStatus) -> None:
    """It failed if one failed, succeeded once all have, and runs as soon as one does."""
    assert together(Standing(part) for part in parts).status is status


def test_the_cause_of_a_task_is_that_of_the_part_that_failed_by_itself() -> None:
    """Those stopped because of it say less."""
    stopped, crashed = Standing(F, 1, Cause.STOPPED), Standing(F, 1, Cause.COMPONENT_CRASHED)
    assert together([stopped, crashed]).cause is together([crashed, stopped]).cause is Cause.COMPONENT_CRASHED


@given(courses, st.integers(1, 4) | st.none())
def test_runs_never_go_back(now: Course, run: int | None) -> None:
    """No message about an earlier run changes anything, and repetitions change nothing more."""
    for move in (lambda at: start(at, run), lambda at: end(at, Cause.STOPPED, run), lambda at: resume(at, run)):
        try:
            after = move(now)
        except RuleBroken:
            continue
        assert after.run >= now.run
        if run is not None and run < now.run:
            assert after == now
    ended = end(now, Cause.STOPPED, run)
    assert end(ended, Cause.TIMED_OUT, run) == ended


@given(courses)
def test_only_a_rerun_leads_out_of_the_end(now: Course) -> None:
    """What is over stays over for everything about this run."""
    if now.over:
        assert agree(now) == reject(now) == end(now, Cause.STOPPED) == now
        with pytest.raises(RuleBroken):
            start(now)
    if now.status is JobStatus.FINISHED:
        assert rerun(now) == Course(JobStatus.RUNNING, now.run + 1)
    else:
        with pytest.raises(RuleBroken):
            rerun(now)


NODES = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


@given(st.fixed_dictionaries(dict.fromkeys(NODES, standings)), st.sets(st.sampled_from(sorted(NODES))))
def test_a_step_starts_what_may_run_and_nothing_else(now: dict[str, Standing], targets: set[str]) -> None:
    """Everything that feeds it has succeeded, it is wanted, and it has not begun."""
    step = plan.step(NODES, targets, now)
    for name in step.start:
        assert name in targets
        assert now[name].status is P
        assert all(now[feeder].status is S for feeder in NODES[name])
    assert not set(step.start) & set(step.skip)
    if step.failed is not None:
        assert now[step.failed].status is F
    elif step.over:
        assert all(now[name].final or name in step.skip for name in targets)
        assert not step.start


def test_what_was_stopped_on_demand_takes_along_only_what_follows() -> None:
    """The other branch goes on, what joins them never begins."""
    now = {"a": Standing(S), "b": Standing(F, 1, Cause.STOPPED), "c": Standing(P), "d": Standing(P)}
    assert plan.step(NODES, NODES, now) == plan.Step(start=("c",), skip=("d",))
    failed = {**now, "b": Standing(F, 1, Cause.COMPONENT_FAILED)}
    assert plan.step(NODES, NODES, failed) == plan.Step(over=True, failed="b")


def test_parameters_are_laid_over_each_other() -> None:
    """Common below role below index, objects within them likewise."""
    params = {
        "common": {"psi": {"x": 1, "y": 1, "input": {"t": "c"}}},
        "host": {"psi": {"y": 2}, "1": {"psi": {"input": {"u": "i"}}}},
    }
    assert plan.merged(params, "guest", 0) == {"psi": {"x": 1, "y": 1, "input": {"t": "c"}}}
    assert plan.merged(params, "host", 0)["psi"]["y"] == 2
    assert plan.merged(params, "host", 1)["psi"] == {"x": 1, "y": 2, "input": {"t": "c", "u": "i"}}


@dataclass
class Side:
    """What one party knows: the course of the job and its part in the one task."""

    course: Course = field(default_factory=lambda: Course(JobStatus.READY))
    part: Standing = field(default_factory=lambda: Standing(P))


class Nodes(RuleBasedStateMachine):
    """A scheduler and parties that exchange start, stop, rerun and callbacks through a bag of messages."""

    number = 2

    def __init__(self) -> None:
        super().__init__()
        self.course = Course(JobStatus.READY)
        self.parts: list[Standing] = []
        self.sides: list[Side] = []
        self.bag: list[tuple[str, int, int, Standing | None]] = []
        self.before: list[Standing] = []

    @initialize()
    def created(self) -> None:
        """The job is ready everywhere."""
        self.sides = [Side() for _ in range(self.number)]
        self.parts = [Standing(P)] * self.number
        self.before = list(self.parts)

    def tell(self, what: str) -> None:
        """Put a message to every party into the bag."""
        self.bag += [(what, at, self.course.run, self.parts[at]) for at in range(self.number)]

    @precondition(lambda self: self.course.status is JobStatus.READY)
    @rule()
    def begin(self) -> None:
        """The scheduler starts the job and its task."""
        self.course = start(self.course)
        self.parts = [Standing(R, part.attempt) for part in self.parts]
        self.tell("start")

    @precondition(lambda self: self.course.status is JobStatus.RUNNING)
    @rule()
    def halt(self) -> None:
        """The scheduler stops the job."""
        self.course = end(self.course, Cause.STOPPED)
        self.tell("stop")

    @precondition(lambda self: self.course.status is JobStatus.FINISHED and all(part.final for part in self.parts))
    @rule()
    def again(self) -> None:
        """The scheduler runs the task again."""
        self.course = rerun(self.course)
        self.parts = [rerun_task(part) for part in self.parts]
        self.tell("start")

    @rule(at=st.integers(0, 2), fate=st.sampled_from([U, S, F]))
    def work(self, at: int, fate: TaskStatus) -> None:
        """A party's component comes further, and a callback is sent."""
        side = self.sides[at % self.number]
        if side.course.status is JobStatus.RUNNING and not side.part.final and side.part.status is not P:
            cause = Cause.COMPONENT_FAILED if fate is F else None
            side.part = adopt(side.part, Standing(fate, side.part.attempt, cause))
            self.bag.append(("callback", at % self.number, side.course.run, side.part))

    @precondition(lambda self: self.bag)
    @rule(data=st.data(), twice=st.booleans(), lost=st.booleans())
    def arrive(self, data: st.DataObject, twice: bool, lost: bool) -> None:
        """Any message arrives, perhaps not for the last time, or never."""
        at = data.draw(st.integers(0, len(self.bag) - 1))
        message = self.bag[at] if twice else self.bag.pop(at)
        if not lost:
            self.take(*message)

    def take(self, what: str, at: int, run: int, told: Standing | None) -> None:
        """Do what a node does with a message."""
        side = self.sides[at]
        if what == "callback" and told is not None:
            self.parts[at] = adopt(self.parts[at], told)
            if together(self.parts).final:
                self.course = end(self.course, None)
        elif what == "stop":
            ended = end(side.course, Cause.STOPPED, run)
            if ended != side.course:
                side.course, side.part = ended, stop(side.part)
        elif what == "start" and told is not None:
            try:
                side.course = start(side.course, run)
            except RuleBroken:
                return
            if side.course.run == run:
                side.part = rerun_task(side.part, told.attempt) if told.attempt > 1 else adopt(side.part, told)

    def poll(self) -> None:
        """Messages get through again: the stop of what is over, then the answer to a poll."""
        if self.course.status is JobStatus.READY:
            self.begin()
        self.tell("start")
        for message in [*self.bag]:
            self.take(*message)
        self.course = end(self.course, Cause.STOPPED)
        for at, side in enumerate(self.sides):
            self.take("stop", at, self.course.run, None)
            self.parts[at] = stop(adopt(self.parts[at], side.part))

    @invariant()
    def final_stays_final(self) -> None:
        """Nothing that has ended has changed but by a further attempt."""
        now = [*self.parts, *(side.part for side in self.sides)]
        for was, is_ in zip(self.before, now, strict=False):
            assert not was.final or is_ == was or is_.attempt > was.attempt
        self.before = now

    def teardown(self) -> None:
        """In the end all sides have ended, and agree; an attempt that a party never heard of was stopped elsewhere."""
        if not self.sides:
            return
        self.poll()
        assert self.course.over
        for side, part in zip(self.sides, self.parts, strict=True):
            assert side.course.over
            assert side.course.run == self.course.run
            if side.part.attempt < part.attempt:  # the news of its end overtook that of its beginning
                assert (part.status, part.cause) == (F, Cause.STOPPED)
            else:
                assert (side.part.status, side.part.attempt) == (part.status, part.attempt)


class ThreeNodes(Nodes):
    """The same with three parties."""

    number = 3


_SETTINGS = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestTwoNodes = Nodes.TestCase
TestTwoNodes.settings = _SETTINGS
TestThreeNodes = ThreeNodes.TestCase
TestThreeNodes.settings = _SETTINGS
