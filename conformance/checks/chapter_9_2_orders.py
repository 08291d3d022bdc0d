"""Checks of 9.2-b: a scheduler orders when a task runs, never with what; uses are counted where data are opened."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from conformance.checks.readings import came, given
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

BEYOND = (
    "PARAMS_NOT_AGREED",
    "CONFIG_NOT_APPROVED",
    "RESOURCE_NOT_APPROVED",
    "PERMIT_OUT_OF_SCOPE",
    "RESOURCE_NOT_FOUND",
)
FOREIGN = "foreign-code"
OPENED = ("RUNNING", "SUCCESS")
LEAST = 16


@check("9.2-b-1", "orders_to_party", "ORDER_CHANGES_INPUT")
def a_partners_order_names_no_other_input(story: Story) -> Iterator[Finding]:
    """A task of a partner's job is not begun, nor run again, on data of the target's that the job does not name."""
    yield from _refused(story, "input", "ORDER_CHANGES_INPUT")


@check("9.2-b-1", "orders_to_party", "ORDER_CHANGES_RESULT")
def a_partners_order_names_no_other_receiver(story: Story) -> Iterator[Finding]:
    """The receiver of the result is not changed by an order, for all parties or for another party alone."""
    for slug in ("receiver", "peer"):
        yield from _refused(story, slug, "ORDER_CHANGES_RESULT")


@check("9.2-b-1", "orders_to_party", "ORDER_CHANGES_PARAMS")
def a_partners_order_changes_no_parameter(story: Story) -> Iterator[Finding]:
    """A parameter that the job fixes is not changed by an order."""
    yield from _refused(story, "word", "ORDER_CHANGES_PARAMS")


@check("9.2-b-1", "orders_to_initiator", "OWN_ORDER_CHANGES_INPUT")
def the_scheduler_of_an_own_job_names_no_other_input(story: Story) -> Iterator[Finding]:
    """A task of the target's own job does not run on private data that only its scheduler names."""
    yield from _refused(story, "input", "OWN_ORDER_CHANGES_INPUT")


@check("9.2-b-1", "orders_to_initiator", "OWN_ORDER_CHANGES_PARAMS")
def the_scheduler_of_an_own_job_changes_no_parameter(story: Story) -> Iterator[Finding]:
    """Receivers and parameters of the target's own job are those with which its operator made it."""
    for slug in ("receiver", "peer", "word"):
        yield from _refused(story, slug, "OWN_ORDER_CHANGES_PARAMS")


@check("9.2-b-1", "orders_to_party", "REFUSED_ORDER_KEPT")
def a_refused_order_leaves_no_task(story: Story) -> Iterator[Finding]:
    """After refused orders there is no task more than before, and the task that is done is as it was."""
    given(story, "done", "/status", "SUCCESS")
    if any(story.step(f"begin-{slug}").reading.accepted for slug in ("input", "receiver", "word", "peer")):
        raise NoTwin("begin-input")
    yield from expect.unchanged(story, "list-before", "list-after", "REFUSED_ORDER_KEPT", "/total")
    for name in ("status", "attempt"):
        yield from expect.unchanged(story, "done", "details-after", "REFUSED_ORDER_KEPT", f"/{name}")


@check("9.2-b-4", "orders_to_party", "OPEN_PARAMS_REFUSED")
def what_the_job_leaves_open_may_be_given_anew(story: Story) -> Iterator[Finding]:
    """An order that repeats what the job says is taken, and so is a rerun with a parameter that the job leaves open."""
    yield from expect.accepted(story, "begin", "OPEN_PARAMS_REFUSED")
    yield from expect.accepted(story, "again", "OPEN_PARAMS_REFUSED")
    yield from expect.shows(story, "runs-again", "/status", "RUNNING", "OPEN_PARAMS_REFUSED")


@check("9.2-b-1", "orders_decided", "DECISION_REPLACED")
def the_scheduler_replaces_no_decision_of_the_operator(story: Story) -> Iterator[Finding]:
    """Of a task that the target's operator gave parameters for, the scheduler may begin that and nothing else."""
    came(story, "decide-told")
    yield from expect.refused(story, "begin-other", "DECISION_REPLACED", *BEYOND, twin="begin")


@check("9.2-b-4", "orders_decided", "DECISION_REFUSED")
def the_decision_of_the_operator_is_carried_out(story: Story) -> Iterator[Finding]:
    """The order that carries what the operator decided is taken, and the task runs."""
    came(story, "decide-told")
    yield from expect.accepted(story, "begin", "DECISION_REFUSED")
    yield from expect.shows(story, "runs", "/status", "RUNNING", "DECISION_REFUSED")


@check("9.2-b-1", "orders_with_code", "ORDER_CHANGES_CODE")
def an_order_brings_no_code(story: Story) -> Iterator[Finding]:
    """What runs is the component of the job, whatever else an order names."""
    given(story, "runs", "/status", "RUNNING")
    for name in ("log-strange", "log") if story.step("begin-strange").reading.accepted else ("log",):
        step = story.step(name)
        if FOREIGN in str(step.get("/data")):
            actual = "the component that the order named has run"
            yield expect.finding("ORDER_CHANGES_CODE", step, expected="the component of the job", actual=actual)


@check("9.2-c", "orders_replaced", "REPLACED_COMPONENT_RUN")
def a_component_put_in_place_of_the_agreed_one_is_not_run(story: Story) -> Iterator[Finding]:
    """A job runs the component that was there when it was made, or none; a job made since runs the new one."""
    if not story.step("deregister").reading.accepted:
        return
    given(story, "new", "/status", "RUNNING")
    if FOREIGN not in str(story.step("log-new").get("/data")):
        raise NoTwin("log-new")
    step = story.step("log-old")
    if FOREIGN in str(step.get("/data")):
        actual = "what was put in its place has run"
        yield expect.finding(
            "REPLACED_COMPONENT_RUN", step, expected="the component of the job, or none", actual=actual
        )


@check("9.2-b-2", "orders_counted", "OPENED_DATA_NOT_COUNTED")
def a_use_is_counted_where_data_are_opened(story: Story) -> Iterator[Finding]:
    """Of two jobs on a dataset that is granted for one use, the first opens it and the second does not."""
    if not _opened(story, "first"):
        raise NoTwin("after-first")
    if _opened(story, "second"):
        yield Finding("OPENED_DATA_NOT_COUNTED", expected="one use", actual="both jobs have opened the dataset")


@check("9.2-b-2", "orders_counted_late", "LATE_INPUT_NOT_COUNTED")
def a_use_is_counted_however_late_the_data_are_named(story: Story) -> Iterator[Finding]:
    """Orders that name a dataset which no job has named open it once at most."""
    if _opened(story, "first") and _opened(story, "second"):
        yield Finding("LATE_INPUT_NOT_COUNTED", expected="one use", actual="both orders have opened the dataset")


@check("6.2-c", "orders_to_initiator", "SESSION_TOKEN_GUESSABLE")
def the_token_of_a_session_is_drawn_at_random(story: Story) -> Iterator[Finding]:
    """The token that the target tells its scheduler is long, and does not follow from what others know of the job."""
    step = came(story, "told")
    token, job_id = step.got("/session_token"), str(step.got("/job_id"))
    if token is MISSING:  # the scheduler draws it then
        return
    code, pointer = "SESSION_TOKEN_GUESSABLE", "/session_token"
    if len(str(token)) < LEAST or job_id in str(token) or str(token).lower().strip("=") in _guesses(job_id):
        yield expect.finding(code, step, pointer=pointer, expected="random, 16 characters or more", actual=str(token))


def _guesses(job_id: str) -> set[str]:
    """Return what a token would be that somebody has made of the job's id."""
    names = [job_id, f"session_{job_id}", job_id.removeprefix("job-")]
    found = set(names)
    for name in names:
        found |= {hashlib.new(method, name.encode()).hexdigest() for method in ("md5", "sha1", "sha256", "sha512")}
        found |= {
            base64.b64encode(name.encode()).decode().strip("="),
            base64.urlsafe_b64encode(name.encode()).decode().strip("="),
        }
    return {guess.lower() for guess in found}


def _refused(story: Story, slug: str, code: str) -> Iterator[Finding]:
    yield from expect.refused(story, f"begin-{slug}", code, *BEYOND, twin="begin")
    given(story, "done", "/status", "SUCCESS")
    yield from expect.refused(story, f"again-{slug}", code, *BEYOND, twin="again")


def _opened(story: Story, slug: str) -> bool:
    """Tell whether a task has come to work on the dataset; where its job or its order was refused it has not."""
    return story.fact(f"{slug}:came-to") in OPENED
