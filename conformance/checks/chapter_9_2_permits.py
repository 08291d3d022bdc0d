"""Permits (9.2-b): one layered scheme, the least that is needed, period, scope and number, withdrawal."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

SHUT = ("PERMIT_MISSING", "RESOURCE_NOT_FOUND")
ENDED = ("PERMIT_REVOKED", *SHUT)
CLOSED = ("PERMIT_OUT_OF_SCOPE", "RESOURCE_NOT_APPROVED", *ENDED)

# --- 9.2-b one layered scheme ---------------------------------------------------------------------------------------


@check("9.2-b", "permit_layers", "PERMIT_NOT_HONOURED")
def the_right_permit_opens_the_resource(story: Story) -> Iterator[Finding]:
    """The permit that was issued opens the dataset, also when it is shown among others."""
    yield from expect.accepted(story, "use", "PERMIT_NOT_HONOURED")
    yield from expect.accepted(story, "one-of-several", "PERMIT_NOT_HONOURED")


@check("9.2-b", "permit_layers", "PERMIT_NOT_DEMANDED")
def without_a_permit_nothing_opens(story: Story) -> Iterator[Finding]:
    """A node that was granted a dataset does not get it without showing the permit."""
    yield from expect.refused(story, "no-permit", "PERMIT_NOT_DEMANDED", *SHUT, twin="use")


@check("9.2-b", "permit_layers", "PERMIT_FORGED")
def a_forged_token_opens_nothing(story: Story) -> Iterator[Finding]:
    """A token that differs from the issued one in one character is refused."""
    yield from expect.refused(story, "forged", "PERMIT_FORGED", *SHUT, twin="use")


@check("9.2-b", "permit_layers", "PERMIT_OF_OTHER_LAYER_HONOURED")
def a_permit_opens_its_own_layer_only(story: Story) -> Iterator[Finding]:
    """A token shown for another layer, or under another resource's name, is refused."""
    code = "PERMIT_OF_OTHER_LAYER_HONOURED"
    yield from expect.refused(story, "wrong-level", code, "PERMIT_OUT_OF_SCOPE", *SHUT, twin="use")


@check("9.2-b", "permit_layers", "PERMIT_REFUSAL_DISCLOSES")
def a_refusal_discloses_nothing_of_the_resource(story: Story) -> Iterator[Finding]:
    """The refusals of a use say nothing of the dataset's name, category or description."""
    for name in ("no-permit", "forged", "wrong-level", "other-resource", "stranger"):
        step = story.step(name)
        body = step.exchange.answer.body.decode(errors="replace") if step.exchange.answer else ""
        if not step.reading.accepted and story.fact("canary") in body:
            yield expect.finding("PERMIT_REFUSAL_DISCLOSES", step, expected="a bare refusal", actual="fields of it")


# --- 9.2-b-1 no more than is needed ---------------------------------------------------------------------------------


@check("9.2-b-1", "permit_layers", "PERMIT_OPENS_OTHER_RESOURCE")
def a_permit_opens_no_other_resource(story: Story) -> Iterator[Finding]:
    """A permit for one dataset does not open another, under whichever name it is shown."""
    for step in ("other-resource", "renamed"):
        yield from expect.refused(story, step, "PERMIT_OPENS_OTHER_RESOURCE", *SHUT, twin="use")


@check("9.2-b-1", "permit_layers", "PERMIT_NAME_IGNORED")
def a_token_opens_only_what_it_is_shown_for(story: Story) -> Iterator[Finding]:
    """A token that is shown for another resource does not open its own by the way."""
    yield from expect.refused(story, "wrong-name", "PERMIT_NAME_IGNORED", *SHUT, twin="use")


@check("9.2-b-1", "permit_layers", "PERMIT_TRANSFERRED")
def a_permit_opens_nothing_for_another_node(story: Story) -> Iterator[Finding]:
    """A permit issued to one node is refused when another shows it, and is not listed to it."""
    yield from expect.refused(story, "stranger", "PERMIT_TRANSFERRED", *SHUT, twin="use")
    lent = [{"dataset_id": story.fact("lent")}]
    yield from listing.lacks(story, "list-stranger", lent, "PERMIT_TRANSFERRED")


@check("9.2-b-1", "permit_bounds", "PERMIT_LONGER_THAN_ASKED")
def no_longer_period_is_granted_than_applied_for(story: Story) -> Iterator[Finding]:
    """A decision for a longer period than was applied for is refused; a shorter one can still be made."""
    code = "PERMIT_LONGER_THAN_ASKED"
    yield from expect.refused(story, "approve-longer", code, "EXPIRY_INVALID", "REQUEST_INVALID", twin="approve")


@check("9.2-b-1", "permit_bounds", "PERMIT_MORE_THAN_ASKED")
def no_more_uses_are_granted_than_applied_for(story: Story) -> Iterator[Finding]:
    """A decision for more uses than were applied for is refused; one for fewer can still be made."""
    code = "PERMIT_MORE_THAN_ASKED"
    yield from expect.refused(story, "approve-more", code, "REQUEST_INVALID", "EXPIRY_INVALID", twin="approve")


@check("9.2-b-1", "permit_bounds", "PERMIT_EXCEEDS_APPLICATION")
def the_permit_holds_no_more_than_was_applied_for(story: Story) -> Iterator[Finding]:
    """The permit that is issued has the period and number applied for."""
    code = "PERMIT_EXCEEDS_APPLICATION"
    yield from expect.carried(story, "as-asked", "/resource_permit/time_limit", story.fact("until"), code)
    yield from expect.carried(story, "as-asked", "/resource_permit/times_limit", 5, code)


@check("9.2-b-1", "permit_bounds", "PERMIT_EXCEEDS_DECISION")
def the_permit_holds_no_more_than_was_decided(story: Story) -> Iterator[Finding]:
    """Where the operator grants less than was applied for, the permit has the less."""
    code = "PERMIT_EXCEEDS_DECISION"
    yield from expect.carried(story, "less", "/resource_permit/time_limit", story.fact("shorter"), code)
    yield from expect.carried(story, "less", "/resource_permit/times_limit", 2, code)


@check("9.2-b-1", "permit_bounds", "PERMIT_OUTLASTS_CONTRACT")
def the_permit_does_not_outlast_the_contract(story: Story) -> Iterator[Finding]:
    """A permit without a period of its own ends with the contract at the latest."""
    step, ends = story.step("endless"), story.fact("ends")
    limit = step.got("/resource_permit/time_limit")
    if limit is not MISSING and (not isinstance(limit, int) or limit > ends):
        yield expect.finding(
            "PERMIT_OUTLASTS_CONTRACT",
            step,
            pointer="/resource_permit/time_limit",
            expected=f"none, or at most {ends}",
            actual=limit,
        )


@check("9.2-b-1", "component_for_one_node", "COMPONENT_SHOWN_TO_OTHERS")
def a_component_is_shown_to_the_named_node_only(story: Story) -> Iterator[Finding]:
    """A node that a component is not there for finds it neither in the list nor by asking for it."""
    code = "COMPONENT_SHOWN_TO_OTHERS"
    yield from listing.lacks(story, "list-other", [story.fact("component")], code)
    yield from expect.refused(story, "query-other", code, *SHUT, twin="query")


@check("9.2-b-1", "component_for_one_node", "COMPONENT_RUN_FOR_OTHERS")
def a_component_is_run_for_the_named_node_only(story: Story) -> Iterator[Finding]:
    """A job of another node with the component is refused as it arrives, although its flow was approved."""
    yield from expect.refused(story, "run-other", "COMPONENT_RUN_FOR_OTHERS", *CLOSED, twin="run")


# --- 9.2-b-2 period, scope, number ----------------------------------------------------------------------------------


@check("9.2-b-2", "permit_count", "PERMIT_COUNT_IGNORED")
def a_permit_is_spent_after_its_uses(story: Story) -> Iterator[Finding]:
    """A permit for two uses admits no third."""
    code = "PERMIT_COUNT_IGNORED"
    yield from expect.refused(story, "third", code, "PERMIT_EXHAUSTED", "PERMIT_EXPIRED", *SHUT, twin="first")


@check("9.2-b-2", "permit_count", "PERMIT_COUNT_SHORT")
def a_permit_admits_all_its_uses(story: Story) -> Iterator[Finding]:
    """A permit for two uses admits two, whatever was refused between them."""
    yield from expect.accepted(story, "first", "PERMIT_COUNT_SHORT")
    yield from expect.accepted(story, "second", "PERMIT_COUNT_SHORT")


@check("9.2-b-2", "permit_count", "PERMIT_USES_MISCOUNTED")
def the_owner_sees_how_often_a_permit_was_used(story: Story) -> Iterator[Finding]:
    """Where the owner is told the number of uses, it is that of the uses admitted."""
    if story.step("record").get("/uses") is not MISSING:
        yield from expect.shows(story, "record", "/uses", 2, "PERMIT_USES_MISCOUNTED")


@check("9.2-b-2", "permit_period", "PERMIT_PERIOD_IGNORED")
def a_permit_ends_with_its_period(story: Story) -> Iterator[Finding]:
    """A use after the period is refused, though one within it was admitted."""
    yield from expect.refused(story, "late", "PERMIT_PERIOD_IGNORED", "PERMIT_EXPIRED", *ENDED, twin="in-time")


@check("9.2-b-2", "permit_period", "PERMIT_PERIOD_CUT")
def a_permit_lasts_for_its_period(story: Story) -> Iterator[Finding]:
    """A permit whose period goes on still admits uses when another's has ended."""
    yield from expect.accepted(story, "in-time", "PERMIT_PERIOD_CUT")
    yield from expect.accepted(story, "still", "PERMIT_PERIOD_CUT")


@check("9.2-b-2", "permit_scope", "PERMIT_SCOPE_IGNORED")
def a_permit_for_a_project_opens_no_other(story: Story) -> Iterator[Finding]:
    """A use in another project than the permit's, or in none, is refused."""
    for step in ("elsewhere", "nowhere"):
        yield from expect.refused(story, step, "PERMIT_SCOPE_IGNORED", "PERMIT_OUT_OF_SCOPE", *SHUT, twin="inside")


@check("9.2-b-2", "permit_scope", "PERMIT_SCOPE_NOT_HONOURED")
def a_permit_for_a_project_opens_it_there(story: Story) -> Iterator[Finding]:
    """A permit for a project names it, and admits uses in it."""
    code = "PERMIT_SCOPE_NOT_HONOURED"
    yield from expect.carried(story, "granted:lent", "/resource_permit/auth_scope", story.fact("scope"), code)
    yield from expect.accepted(story, "inside", code)


@check("9.2-b-2", "permit_of_ended_contract", "PERMIT_SURVIVES_CONTRACT")
def a_permit_ends_with_its_contract(story: Story) -> Iterator[Finding]:
    """Once the contract has ended its permits open nothing, also under a new contract of the same nodes."""
    code = "PERMIT_SURVIVES_CONTRACT"
    gone = ("CONTRACT_NOT_ACTIVE", "CONTRACT_EXPIRED", "CONTRACT_NOT_FOUND", "NODE_UNKNOWN")
    yield from expect.refused(story, "use-ended", code, *gone, *ENDED, twin="use")
    yield from expect.refused(story, "use-again", code, "PERMIT_EXPIRED", *ENDED, twin="use-fresh")


# --- 9.2-b-3 withdrawal ---------------------------------------------------------------------------------------------


@check("9.2-b-3", "permit_withdrawn", "PERMIT_SURVIVES_WITHDRAWAL")
def a_withdrawn_permit_opens_nothing(story: Story) -> Iterator[Finding]:
    """A permit that has just opened a dataset is refused from the withdrawal on."""
    yield from expect.refused(story, "use-gone", "PERMIT_SURVIVES_WITHDRAWAL", *ENDED, twin="use")


@check("9.2-b-3", "permit_withdrawn", "PERMIT_TOLD_AFTER_WITHDRAWAL")
def a_withdrawn_permit_is_not_told_again(story: Story) -> Iterator[Finding]:
    """The applicant that asks learns that its grant has ended, and is shown no permit."""
    yield from expect.shows(story, "state", "/status", "TERMINATED", "PERMIT_TOLD_AFTER_WITHDRAWAL")
    yield from expect.shows(story, "state", "/resource_permit", MISSING, "PERMIT_TOLD_AFTER_WITHDRAWAL")


@check("9.2-b-3", "permit_withdrawn", "PERMIT_LOST_WITH_ANOTHER")
def a_withdrawal_spares_other_permits(story: Story) -> Iterator[Finding]:
    """Another permit of the same node still opens its dataset."""
    yield from expect.accepted(story, "use-kept", "PERMIT_LOST_WITH_ANOTHER")


@check("9.2-b-3", "permit_withdrawn_at_work", "TASK_SURVIVES_WITHDRAWAL")
def a_withdrawal_ends_tasks_at_work(story: Story) -> Iterator[Finding]:
    """A task that works on a dataset ends once its permit is withdrawn, and the scheduler is told."""
    yield from _ended(story, "TASK_SURVIVES_WITHDRAWAL")


@check("9.2-b-3", "flow_withdrawn_at_work", "TASK_SURVIVES_FLOW")
def a_withdrawn_flow_ends_its_tasks(story: Story) -> Iterator[Finding]:
    """A task ends once the approval of its flow is withdrawn, and the scheduler is told."""
    yield from _ended(story, "TASK_SURVIVES_FLOW")


@check("9.2-b-3", "component_for_one_node", "COMPONENT_SURVIVES_WITHDRAWAL")
def a_component_that_is_taken_back_is_gone_for_the_node(story: Story) -> Iterator[Finding]:
    """The node that it was there for finds it no more, and its next job with it is refused."""
    code = "COMPONENT_SURVIVES_WITHDRAWAL"
    yield from listing.lacks(story, "list-late", [story.fact("component")], code)
    yield from expect.refused(story, "query-late", code, *ENDED, twin="query")
    yield from expect.refused(story, "run-late", code, *CLOSED, twin="run")


@check("9.2-b-3", "component_withdrawn_at_work", "TASK_SURVIVES_COMPONENT")
def a_component_that_is_taken_back_ends_its_tasks(story: Story) -> Iterator[Finding]:
    """A task that works with a component ends once that is taken back, and the scheduler is told."""
    yield from _ended(story, "TASK_SURVIVES_COMPONENT")


@check("9.2-b-3", "permit_withdrawn_at_work", "WITHDRAWAL_NOT_NAMED")
def the_scheduler_learns_that_a_permit_was_withdrawn(story: Story) -> Iterator[Finding]:
    """Where the end of the task is told with a reason, the reason is the withdrawal."""
    if not story.happened("told"):
        raise NoTwin("told")
    step = story.step("told")
    reason = step.got("/end_reason")
    if reason is not MISSING and "REVOKED" not in str(reason):
        code = "WITHDRAWAL_NOT_NAMED"
        yield expect.finding(code, step, pointer="/end_reason", expected="PERMIT_REVOKED", actual=reason)


@check("9.2-b-2", "permit_expired_at_work", "TASK_SURVIVES_PERIOD")
def the_end_of_the_period_ends_tasks_at_work(story: Story) -> Iterator[Finding]:
    """A task that works on a dataset ends with the period of its permit."""
    yield from _ended(story, "TASK_SURVIVES_PERIOD")


def _ended(story: Story, code: str) -> Iterator[Finding]:
    """The task was at work and has failed, here and as the scheduler is told."""
    if story.step("runs").get("/status") != "RUNNING":
        raise NoTwin("runs")
    yield from expect.called(story, "told", code)
    yield from expect.shows(story, "ended", "/status", "FAILED", code)


# --- 9.2-b-4 configuration ------------------------------------------------------------------------------------------


@check("9.2-b-4", "permit_withdrawn", "PERMISSION_CHANGE_WITHOUT_EFFECT")
def a_change_of_permissions_takes_effect_at_once(story: Story) -> Iterator[Finding]:
    """A dataset opens when its permissions are widened, and is refused once they are narrowed again."""
    code = "PERMISSION_CHANGE_WITHOUT_EFFECT"
    yield from expect.accepted(story, "use-shown", code)
    yield from expect.refused(story, "use-hidden", code, *ENDED, twin="use-shown")


@check("9.2-b-4", "component_for_one_node", "COMPONENT_WITHHELD")
def a_component_is_there_for_the_named_node(story: Story) -> Iterator[Finding]:
    """The node that a component is there for finds it and may run it."""
    yield from _is_there(story, "", "COMPONENT_WITHHELD")


@check("9.2-b-4", "component_for_one_node", "COMPONENT_OPENING_WITHOUT_EFFECT")
def a_component_that_is_opened_is_there_at_once(story: Story) -> Iterator[Finding]:
    """The node to which it is opened finds it and may run it from that moment on."""
    yield from _is_there(story, "-other-late", "COMPONENT_OPENING_WITHOUT_EFFECT")


def _is_there(story: Story, after: str, code: str) -> Iterator[Finding]:
    """A component is listed and described to a node, and a job of the node with it is taken."""
    yield from listing.holds(story, f"list{after}", [story.fact("component")], code)
    yield from expect.accepted(story, f"query{after}", code)
    yield from expect.accepted(story, f"run{after}", code)
