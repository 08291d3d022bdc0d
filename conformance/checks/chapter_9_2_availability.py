"""What was confirmed outlives a lost store, a dead instance and full storage (9.2-d-4, 9.2-e-3, 9.2-e-4)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

# --- 9.2-e-3 --------------------------------------------------------------------------------------------------------


@check("9.2-e-3", "restored_store", "RESTORED_TARGET_IDLE")
def target_serves_and_acts_after_its_store_was_restored(story: Story) -> Iterator[Finding]:
    """Once its store is restored the target serves within the time declared, and carries out what it is asked."""
    if not story.fact("back"):
        yield Finding("RESTORED_TARGET_IDLE", expected="the target serves again", actual="no answer in time")
        return
    yield from expect.accepted(story, "act", "RESTORED_TARGET_IDLE")


@check("9.2-e-3", "restored_store", "RESTORED_RECORD_LOST")
def what_was_confirmed_before_is_restored_as_it_was(story: Story) -> Iterator[Finding]:
    """A contract, a dataset and a project that were confirmed in time are restored with the same content."""
    for name in ("contract", "dataset", "project"):
        if not story.step(f"{name}-before").reading.accepted:
            raise NoTwin(f"{name}-before")
        yield from expect.unchanged(story, f"{name}-before", f"{name}-after", "RESTORED_RECORD_LOST")


@check("9.2-e-3", "restored_store", "RESTORED_PERMIT_LOST")
def permit_is_restored_as_it_was(story: Story) -> Iterator[Finding]:
    """A permit that was given opens the same resource after the store was restored, and nothing else does."""
    yield from expect.accepted(story, "use-after", "RESTORED_PERMIT_LOST")
    yield from expect.refused(story, "use-other", "RESTORED_PERMIT_LOST", twin="use-before")


@check("9.2-e-3", "restored_store", "RESTORED_KEY_LOST")
def target_is_restored_with_its_own_key(story: Story) -> Iterator[Finding]:
    """After its store was restored the target signs by the key that its partners know."""
    step = story.step("granted:other") if story.happened("granted:other") else None
    if step is None:
        raise NoTwin("granted:other")
    wrong = [problem for problem in step.exchange.problems if problem.startswith("SIGNATURE_WRONG")]
    if wrong:
        yield expect.finding("RESTORED_KEY_LOST", step, expected="signed by the known key", actual=wrong[0])


# --- 9.2-e-4 --------------------------------------------------------------------------------------------------------


@check("9.2-e-4", "replica_killed", "REPLICA_LOSS_STOPS_SERVICE")
def requests_are_answered_when_an_instance_is_gone(story: Story) -> Iterator[Finding]:
    """Whoever asks again is answered within the time declared, whichever instance is gone."""
    for project_id in story.fact("unserved"):
        yield Finding("REPLICA_LOSS_STOPS_SERVICE", expected="answered in time", actual=f"{project_id} was not created")


@check("9.2-e-4", "replica_killed", "REPLICA_LOSS_LOSES_ACT")
def what_was_answered_as_done_is_kept_when_an_instance_is_gone(story: Story) -> Iterator[Finding]:
    """Every act that was answered as done is there once the instance that answered is gone."""
    for project_id in story.fact("answered"):
        yield from expect.accepted(story, f"kept:{project_id}", "REPLICA_LOSS_LOSES_ACT")


@check("9.2-e-4", "replica_killed", "REPLICA_LOSS_FORGETS_NONCE")
def nonce_stays_used_when_an_instance_is_gone(story: Story) -> Iterator[Finding]:
    """A nonce that one instance has taken is refused by those that are left."""
    yield from expect.refused(story, "replayed", "REPLICA_LOSS_FORGETS_NONCE", "NONCE_REPLAYED", twin="signed")


@check("9.2-e-4", "replica_killed", "REPLICA_LOSS_STOPS_DUTIES")
def what_is_owed_to_partners_is_done_when_an_instance_is_gone(story: Story) -> Iterator[Finding]:
    """A decision that a partner could not take at first reaches it, whichever instance is gone."""
    if not story.fact("told"):
        expected, actual = "the partner is told again", "no further call in time"
        yield Finding("REPLICA_LOSS_STOPS_DUTIES", expected=expected, actual=actual)


# --- 9.2-d-4 --------------------------------------------------------------------------------------------------------


def _full(story: Story) -> Iterator[str]:
    """Yield the acts that were tried while storage was full; without a refusal it never was."""
    refused = story.fact("refused")
    if not refused:
        raise NoTwin("fill")
    yield from refused


@check("9.2-d-4", "full_disk", "FULL_DISK_ANSWERED_AS_DONE")
def act_that_full_storage_cannot_take_is_not_answered_as_done(story: Story) -> Iterator[Finding]:
    """What was answered as done while storage was full, or before, is there once there is room."""
    for project_id in story.fact("done"):
        yield from expect.accepted(story, f"kept:{project_id}", "FULL_DISK_ANSWERED_AS_DONE")


@check("9.2-d-4", "full_disk", "FULL_DISK_REFUSED_ACT_DONE")
def act_that_full_storage_refused_is_not_done_later(story: Story) -> Iterator[Finding]:
    """An act that was refused for want of room has left nothing."""
    for project_id in _full(story):
        twin = f"kept:{story.fact('done')[0]}"
        yield from expect.refused(story, f"kept:{project_id}", "FULL_DISK_REFUSED_ACT_DONE", twin=twin)


@check("9.2-d-4", "full_disk", "FULL_DISK_NOT_SAID")
def want_of_room_is_said(story: Story) -> Iterator[Finding]:
    """An act that cannot be kept is refused as such, not left unanswered and not answered as a failure inside."""
    for project_id in _full(story):
        exchange = story.exchange(f"full:{project_id}")
        if exchange.answer is None:
            yield Finding("FULL_DISK_NOT_SAID", "", "a refusal", exchange.failure, (exchange.id,))
            continue
        step = story.step(f"full:{project_id}")
        if exchange.answer.status == 500 or step.reading.error == "INTERNAL":
            yield expect.finding("FULL_DISK_NOT_SAID", step, expected="a refusal", actual=expect.refusal(step))


@check("9.2-d-4", "full_disk", "FULL_DISK_NOT_RECOVERED")
def target_acts_again_once_there_is_room(story: Story) -> Iterator[Finding]:
    """With room again, acts are carried out within the time declared."""
    if not story.fact("again"):
        yield Finding("FULL_DISK_NOT_RECOVERED", expected="acts are carried out again", actual="every act was refused")


@check("9.2-d-4", "full_disk", "FULL_DISK_BREAKS_EVIDENCE")
def evidence_is_intact_after_storage_was_full(story: Story) -> Iterator[Finding]:
    """What was on record before storage was full is on record unchanged when there is room again."""
    after = story.step("verified")
    if story.step("verified-before").get("/intact") is not True:
        raise NoTwin("verified-before")
    intact = after.get("/intact")
    if intact is not True:
        yield expect.finding("FULL_DISK_BREAKS_EVIDENCE", after, pointer="/intact", expected=True, actual=intact)
