"""The relay of an isolation gap (9.2-h): only what may pass does, as it was, and the relay's evidence says so.

What the suite laid down stands in the fact `tried`, each with what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

_REFUSES = "relay_refuses"
_EVIDENCE = "relay_evidence"


def _held(story: Story, code: str, *cases: str) -> Iterator[Finding]:
    """None of these has passed, though what differs in one thing did."""
    _came(story, "right")
    for case in cases:
        if story.fact("tried")[case]["passed"]:
            yield Finding(code, "", "it does not come out on the other side", f"{case}: it has come out")


def _came(story: Story, case: str) -> None:
    if not any(row["case"] == case and row["came"] for row in story.fact("passed")):
        raise NoTwin(case)


@check("9.2-h", "relay_passes", "RELAY_NOT_PASSED")
def relay_passes_what_may_pass(story: Story) -> Iterator[Finding]:
    """Job, start, answers and declared messages come out on the other side, in both directions."""
    for row in story.fact("passed"):
        if not row["came"]:
            yield Finding("RELAY_NOT_PASSED", "", "it comes out on the other side", row["case"])


@check("9.2-h", "relay_passes", "RELAY_BYTES_CHANGED")
def relay_changes_nothing(story: Story) -> Iterator[Finding]:
    """What comes out has the name and the bytes that were laid down."""
    for row in story.fact("passed"):
        if row["came"] and not row["same"]:
            yield Finding("RELAY_BYTES_CHANGED", "", "the bytes that were laid down", f"others: {row['case']}")


@check("9.2-h", _REFUSES, "RELAY_KIND_PASSED")
def relay_passes_declared_kinds_only(story: Story) -> Iterator[Finding]:
    """A message whose tag the component does not declare as an intermediate parameter does not pass."""
    yield from _held(story, "RELAY_KIND_PASSED", "kind")


@check("9.2-h", _REFUSES, "RELAY_STOPPED_PASSED")
def relay_passes_messages_of_running_components_only(story: Story) -> Iterator[Finding]:
    """A message of a task that was stopped does not pass."""
    yield from _held(story, "RELAY_STOPPED_PASSED", "stopped")


@check("9.2-h", _REFUSES, "RELAY_SIZE_UNBOUNDED")
def relay_bounds_a_message(story: Story) -> Iterator[Finding]:
    """A message that is longer than its kind may be does not pass."""
    yield from _held(story, "RELAY_SIZE_UNBOUNDED", "large")


@check("9.2-h", _REFUSES, "RELAY_SESSION_UNBOUNDED")
def relay_bounds_a_session(story: Story) -> Iterator[Finding]:
    """Of messages that are together longer than a session may carry not all pass, and some do."""
    filled = story.fact("filled")
    if not filled["passed"] or filled["stuck"]:
        raise NoTwin("marker")
    if filled["passed"] == filled["sent"]:
        expected = "no more than session_mib of the profile"
        yield Finding("RELAY_SESSION_UNBOUNDED", "", expected, f"all {filled['sent']} messages have come out")


@check("9.2-h", _REFUSES, "RELAY_SMUGGLED_PASSED")
def relay_passes_no_metadata_of_its_own(story: Story) -> Iterator[Finding]:
    """A declared message that carries more beside its payload does not pass."""
    yield from _held(story, "RELAY_SMUGGLED_PASSED", "smuggled")


@check("9.2-h", _REFUSES, "RELAY_SIGNATURE_IGNORED")
def relay_passes_signed_files_only(story: Story) -> Iterator[Finding]:
    """What nobody has signed, somebody else has, or was changed after signing does not pass."""
    yield from _held(story, "RELAY_SIGNATURE_IGNORED", "unsigned", "foreign-key", "forged-head")


@check("9.2-h", _REFUSES, "RELAY_PARTIES_UNCHECKED")
def relay_passes_files_between_its_nodes_only(story: Story) -> Iterator[Finding]:
    """What names another sender or receiver does not pass, though this side's node has signed it."""
    yield from _held(story, "RELAY_PARTIES_UNCHECKED", "other-sender", "other-receiver")


@check("9.2-h", _REFUSES, "RELAY_BODY_UNCHECKED")
def relay_passes_whole_bodies_only(story: Story) -> Iterator[Finding]:
    """A body that was altered or cut short does not pass."""
    yield from _held(story, "RELAY_BODY_UNCHECKED", "altered-body", "cut-short")


@check("9.2-h", _REFUSES, "RELAY_BODY_OFF_SCHEMA")
def relay_passes_documented_bodies_only(story: Story) -> Iterator[Finding]:
    """A request whose body is not as the interface documents have it does not pass."""
    yield from _held(story, "RELAY_BODY_OFF_SCHEMA", "off-schema")


@check("9.2-h", _REFUSES, "RELAY_UNASKED_PASSED")
def relay_passes_answers_to_requests_only(story: Story) -> Iterator[Finding]:
    """An answer that nobody has asked for does not pass."""
    yield from _held(story, "RELAY_UNASKED_PASSED", "unasked")


@check("9.2-h", _REFUSES, "RELAY_OPERATION_PASSED")
def relay_passes_operations_between_nodes_only(story: Story) -> Iterator[Finding]:
    """An operation that components ask of their own node does not pass."""
    yield from _held(story, "RELAY_OPERATION_PASSED", "operation")


@check("9.2-h", _REFUSES, "RELAY_REPLAY_PASSED")
def relay_passes_a_file_once(story: Story) -> Iterator[Finding]:
    """Neither a file that has passed nor one with a number from before passes."""
    yield from _held(story, "RELAY_REPLAY_PASSED", "again", "old-number")


@check("9.2-h", _REFUSES, "RELAY_NAME_UNCHECKED")
def relay_passes_rightly_named_files_only(story: Story) -> Iterator[Finding]:
    """A file whose name is not that of its head does not pass."""
    yield from _held(story, "RELAY_NAME_UNCHECKED", "other-name")


@check("9.2-h", _REFUSES, "RELAY_LINK_FOLLOWED")
def relay_follows_no_links(story: Story) -> Iterator[Finding]:
    """What a link in the folder points to does not pass, though it would in the link's place."""
    yield from _held(story, "RELAY_LINK_FOLLOWED", "link")


@check("9.2-h", _REFUSES, "RELAY_PATH_FOLLOWED")
def relay_writes_into_its_folders_only(story: Story) -> Iterator[Finding]:
    """A head whose id is a path makes nothing appear outside of the folders."""
    yield from _held(story, "RELAY_PATH_FOLLOWED", "path")
    for place in story.fact("escaped"):
        yield Finding("RELAY_PATH_FOLLOWED", "", "nothing outside of the folders in", place)


@check("9.2-h", _REFUSES, "RELAY_DRAFT_TAKEN")
def relay_leaves_drafts_alone(story: Story) -> Iterator[Finding]:
    """What stands under a name that begins with a dot neither passes nor is taken away."""
    yield from _held(story, "RELAY_DRAFT_TAKEN", "draft")
    if not story.fact("tried")["draft"]["left"]:
        yield Finding("RELAY_DRAFT_TAKEN", "", "still there", "taken away")


@check("9.2-h", _REFUSES, "RELAY_STUCK_AT_GARBAGE")
def relay_goes_on_after_files_that_are_none(story: Story) -> Iterator[Finding]:
    """After garbage and forgeries a file that may pass does."""
    _came(story, "right")
    if not any(row["case"] == "marker" and row["came"] for row in story.fact("passed")):
        yield Finding("RELAY_STUCK_AT_GARBAGE", "", "the next file comes out", "it does not")


@check("9.2-h", _REFUSES, "RELAY_REFUSAL_UNTOLD")
def relay_tells_whose_request_it_refuses(story: Story) -> Iterator[Finding]:
    """Who has sent a request that does not pass gets a notice with its id."""
    _came(story, "marker")
    for case in ("kind", "stopped", "large", "off-schema", "operation"):
        row = story.fact("tried")[case]
        if not row["told"] and not row["passed"]:
            yield Finding("RELAY_REFUSAL_UNTOLD", "", "a file <id>.refused", f"none: {case}")


@check("9.2-h", _EVIDENCE, "RELAY_EVIDENCE_INCOMPLETE")
def relay_records_what_passed_and_what_did_not(story: Story) -> Iterator[Finding]:
    """There is a record of the message that has passed, and one of the refused with its reason."""
    _came(story, "right")
    _came(story, "marker")
    rows, right, wrong = story.fact("records"), story.fact("right"), story.fact("wrong")
    if not any(row.get("act") == "ADMITTED" and row.get("id") == right["id"] for row in rows):
        yield Finding("RELAY_EVIDENCE_INCOMPLETE", "/act", f"ADMITTED: {right['name']}", "no record")
    told = [row.get("reason") for row in rows if row.get("act") == "REFUSED" and row.get("id") == wrong["id"]]
    if told != ["KIND"] and not wrong["passed"]:
        yield Finding("RELAY_EVIDENCE_INCOMPLETE", "/reason", ["KIND"], told)


@check("9.2-h", _EVIDENCE, "RELAY_EVIDENCE_BROKEN")
def records_of_the_relay_are_a_chain(story: Story) -> Iterator[Finding]:
    """The digest of each record covers that of the one before."""
    yield from _each(story, "whole", "RELAY_EVIDENCE_BROKEN", "a digest of this record and the one before")


@check("9.2-h", _EVIDENCE, "RELAY_EVIDENCE_NOT_SIGNED")
def records_of_the_relay_are_signed(story: Story) -> Iterator[Finding]:
    """The relay's key has signed the digest of each record."""
    yield from _each(story, "signed", "RELAY_EVIDENCE_NOT_SIGNED", "a signature by the relay's key")


def _each(story: Story, mark: str, code: str, expected: str) -> Iterator[Finding]:
    rows = story.fact("records")
    if not rows:
        yield Finding(code, "", expected, "no record at all")
    for row in rows:
        if not row[mark]:
            yield Finding(code, f"/{mark}", expected, f"none at record {row.get('number')}")
            return
