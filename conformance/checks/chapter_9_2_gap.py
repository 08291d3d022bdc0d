"""The isolation gap (9.2-h): the target works by signed files, its own are in order, and it believes no others.

What the target wrote stands in the fact `files`, each with what is wrong with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.gap import Fault
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_CONTRACT = "gap_contract"
_REFUSED = "gap_refused"


def _answered(story: Story, name: str, code: str) -> Iterator[Finding]:
    """A file answered the step, whatever it says."""
    exchange = story.exchange(name)
    if exchange.answer is None:
        yield Finding(code, "", "a file that answers", exchange.failure, (exchange.id,))


def _ignored(story: Story, name: str, code: str) -> Iterator[Finding]:
    """No file answered the step, though one that differs in one thing was answered."""
    exchange = story.exchange(name)
    if story.exchange("right").answer is None:
        raise NoTwin("right")
    if exchange.answer is not None:
        yield Finding(code, "", "no file answers", f"HTTP {exchange.answer.status}", (exchange.id,))


def _sound(story: Story, code: str, *faults: Fault) -> Iterator[Finding]:
    """No file of the target's has one of these faults."""
    rows = story.fact("files")
    if not rows:
        raise NoTwin("query")
    for row in rows:
        for fault in faults:
            if fault in row["faults"]:
                yield Finding(code, "", "a file as specs/protocols/isolation-gap.md has it", f"{fault}: {row['name']}")


@check("9.2-h", _CONTRACT, "GAP_OPERATION_NOT_SERVED")
def node_serves_its_partner_across_the_gap(story: Story) -> Iterator[Finding]:
    """A partner without any connection asks, applies, reads and withdraws by files alone."""
    for name in ("query", "apply"):
        yield from _answered(story, name, "GAP_OPERATION_NOT_SERVED")
    yield from expect.accepted(story, "apply", "GAP_OPERATION_NOT_SERVED")
    for name in ("read", "cancel", "read-again"):
        yield from _answered(story, name, "GAP_OPERATION_NOT_SERVED")


@check("9.2-h", _CONTRACT, "GAP_PARTNER_NOT_CALLED")
def node_calls_its_partner_across_the_gap(story: Story) -> Iterator[Finding]:
    """What the operator has the node ask of the partner comes as a file, and its answer is heard."""
    yield from expect.called(story, "reached", "GAP_PARTNER_NOT_CALLED")
    yield from expect.accepted(story, "reach", "GAP_PARTNER_NOT_CALLED")


@check("9.2-h", _CONTRACT, "GAP_FILE_NOT_SIGNED")
def files_of_the_node_are_signed(story: Story) -> Iterator[Finding]:
    """The key that lies in the link's folder as the node's has signed the head of each file."""
    yield from _sound(story, "GAP_FILE_NOT_SIGNED", Fault.SIGNATURE)


@check("9.2-h", _CONTRACT, "GAP_FILE_MALFORMED")
def files_of_the_node_have_the_form_of_the_protocol(story: Story) -> Iterator[Finding]:
    """Each ends as a file of the gap does, its head is as the schema has it, its name says its number and kind."""
    yield from _sound(story, "GAP_FILE_MALFORMED", Fault.FORMAT, Fault.HEAD, Fault.NAME)


@check("9.2-h", _CONTRACT, "GAP_BODY_UNBOUND")
def files_of_the_node_bind_their_bodies(story: Story) -> Iterator[Finding]:
    """Size and digest in the head are those of the body."""
    yield from _sound(story, "GAP_BODY_UNBOUND", Fault.BODY)


@check("9.2-h", _CONTRACT, "GAP_PARTIES_WRONG")
def files_of_the_node_name_both_ends(story: Story) -> Iterator[Finding]:
    """The head names the node as the sender and its partner as the receiver."""
    yield from _sound(story, "GAP_PARTIES_WRONG", Fault.PARTIES)


@check("9.2-h", _CONTRACT, "GAP_SEQUENCE_NOT_RISING")
def files_of_the_node_are_numbered_upwards(story: Story) -> Iterator[Finding]:
    """No number is used twice and none is lower than the one before, over requests and answers alike."""
    yield from _sound(story, "GAP_SEQUENCE_NOT_RISING", Fault.SEQUENCE)


@check("9.2-h", _CONTRACT, "GAP_ANSWERED_TWICE")
def request_across_the_gap_is_answered_once(story: Story) -> Iterator[Finding]:
    """A request is taken once, so that no two files answer it."""
    counts = Counter(str(row["answers"]) for row in story.fact("files") if row["kind"] == "answer")
    if not story.step("query").reading.accepted:
        raise NoTwin("query")
    for request, count in counts.items():
        if count > 1:
            yield Finding("GAP_ANSWERED_TWICE", "", "one answer", f"{count} answers to {request}")
            return


@check("9.2-h", _CONTRACT, "GAP_REPLAY_ACCEPTED")
def request_repeated_across_the_gap_is_refused(story: Story) -> Iterator[Finding]:
    """A new file with a request that was already served is refused for its nonce, as over a socket."""
    yield from expect.refused(story, "replayed", "GAP_REPLAY_ACCEPTED", "NONCE_REPLAYED", twin="read")


def _by_file(story: Story, name: str, path: str, code: str) -> Iterator[Finding]:
    """The target made the awaited call, and made it by a file."""
    yield from expect.called(story, name, code)
    if story.happened(name) and not any(str(row["path"]).endswith(path) for row in story.fact("files")):
        yield Finding(code, "", "a file", "another way", (story.exchange(name).id,))


def _holds(story: Story, agreed: str, code: str) -> Iterator[Finding]:
    """What was agreed across the gap is read as in force on both sides, and can be ended under itself."""
    if not story.step(agreed).reading.accepted:
        raise NoTwin(agreed)
    yield from expect.shows(story, "own-read", "/status", "APPROVED", code)
    for name in ("read", "terminate"):
        yield from _answered(story, name, code)
    yield from expect.shows(story, "read", "/status", "APPROVED", code)
    yield from expect.accepted(story, "terminate", code)


@check("9.2-h", "gap_approved", "GAP_DECISION_NOT_TOLD")
def decision_is_told_across_the_gap(story: Story) -> Iterator[Finding]:
    """The operator's approval reaches the partner behind the gap by a file, with the status and the node's key."""
    yield from expect.accepted(story, "approve", "GAP_DECISION_NOT_TOLD")
    yield from _by_file(story, "told", "/contract/confirm", "GAP_DECISION_NOT_TOLD")
    if story.happened("told"):
        yield from expect.carried(story, "told", "/status", "APPROVED", "GAP_DECISION_NOT_TOLD")


@check("9.2-h", "gap_approved", "GAP_CONTRACT_NOT_IN_FORCE")
def contract_approved_across_the_gap_is_in_force(story: Story) -> Iterator[Finding]:
    """What the partner applied for by a file is in force once it was approved, and the partner ends it by a file."""
    yield from _holds(story, "approve", "GAP_CONTRACT_NOT_IN_FORCE")


@check("9.2-h", "gap_applied", "GAP_APPLICATION_NOT_SENT")
def node_applies_across_the_gap(story: Story) -> Iterator[Finding]:
    """The operator's application to an address behind the gap comes as a file."""
    yield from _by_file(story, "applied", "/contract/apply", "GAP_APPLICATION_NOT_SENT")


@check("9.2-h", "gap_applied", "GAP_ADDRESS_OF_SOCKET")
def node_tells_its_partner_where_it_is_behind_the_gap(story: Story) -> Iterator[Finding]:
    """Whatever address it tells others, across the gap it states the one that stands for itself there."""
    address = f"spool://{story.profile.target.node_id}"
    yield from expect.shows(story, "query", "/address", address, "GAP_ADDRESS_OF_SOCKET")
    if story.happened("applied"):
        yield from expect.carried(story, "applied", "/address", address, "GAP_ADDRESS_OF_SOCKET")


@check("9.2-h", "gap_applied", "GAP_CONFIRMATION_NOT_TAKEN")
def decision_of_the_partner_is_taken_across_the_gap(story: Story) -> Iterator[Finding]:
    """The partner's approval by a file is answered and taken."""
    if not story.happened("applied"):
        raise NoTwin("applied")
    yield from _answered(story, "confirm", "GAP_CONFIRMATION_NOT_TAKEN")
    yield from expect.accepted(story, "confirm", "GAP_CONFIRMATION_NOT_TAKEN")


@check("9.2-h", "gap_applied", "GAP_CONTRACT_NOT_IN_FORCE")
def contract_applied_for_across_the_gap_is_in_force(story: Story) -> Iterator[Finding]:
    """What the target applied for is in force once the partner has approved it, and the partner ends it by a file."""
    if not story.happened("applied"):
        raise NoTwin("applied")
    yield from _holds(story, "confirm", "GAP_CONTRACT_NOT_IN_FORCE")


@check("9.2-h", "gap_without_key", "GAP_BELIEVED_WITHOUT_KEY")
def nothing_is_believed_without_the_key_of_the_partner(story: Story) -> Iterator[Finding]:
    """As long as nobody has put the partner's key into the folder, no file is answered."""
    yield from _ignored(story, "keyless", "GAP_BELIEVED_WITHOUT_KEY")


@check("9.2-h", _REFUSED, "GAP_SIGNATURE_IGNORED")
def file_that_the_partner_has_not_signed_is_ignored(story: Story) -> Iterator[Finding]:
    """Neither a file signed by somebody else nor one whose head was changed afterwards is answered."""
    for name in ("foreign-key", "forged-head"):
        yield from _ignored(story, name, "GAP_SIGNATURE_IGNORED")


@check("9.2-h", _REFUSED, "GAP_BODY_UNCHECKED")
def file_whose_body_was_changed_is_ignored(story: Story) -> Iterator[Finding]:
    """A body of the same length with another digest is not answered."""
    yield from _ignored(story, "altered-body", "GAP_BODY_UNCHECKED")


@check("9.2-h", _REFUSED, "GAP_SENDER_UNCHECKED")
def file_of_another_sender_is_ignored(story: Story) -> Iterator[Finding]:
    """A file that names another node as its sender is not answered, though the partner has signed it."""
    yield from _ignored(story, "other-sender", "GAP_SENDER_UNCHECKED")


@check("9.2-h", _REFUSED, "GAP_RECEIVER_UNCHECKED")
def file_for_another_node_is_ignored(story: Story) -> Iterator[Finding]:
    """A file that was written for another node is not answered."""
    yield from _ignored(story, "other-receiver", "GAP_RECEIVER_UNCHECKED")


@check("9.2-h", _REFUSED, "GAP_SOURCE_UNCHECKED")
def request_in_the_name_of_a_third_node_is_ignored(story: Story) -> Iterator[Finding]:
    """A request that names another source than the sender of its file is not answered."""
    yield from _ignored(story, "other-source", "GAP_SOURCE_UNCHECKED")


@check("9.2-h", _REFUSED, "GAP_DRAFT_TAKEN")
def file_that_is_still_written_is_left_alone(story: Story) -> Iterator[Finding]:
    """What stands under a name that begins with a dot is neither answered nor taken away."""
    yield from _ignored(story, "draft", "GAP_DRAFT_TAKEN")
    if not story.fact("drafts"):
        yield Finding("GAP_DRAFT_TAKEN", "", "still there", "taken away", (story.exchange("draft").id,))


@check("9.2-h", _REFUSED, "GAP_STUCK_AT_GARBAGE")
def node_goes_on_after_files_that_are_none(story: Story) -> Iterator[Finding]:
    """After garbage and forgeries a request that is right is answered as before."""
    yield from _ignored(story, "garbage", "GAP_STUCK_AT_GARBAGE")
    yield from _answered(story, "still", "GAP_STUCK_AT_GARBAGE")
