"""What was altered in the storage is not acted on and not shown as if it had been written so (9.2-e-1).

A target that finds the record altered and answers from a copy that was not is right as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

_SCENARIO = "altered_records"
_OUTPUT = "computing_altered_output"


@check("9.2-e-1", _SCENARIO, "ALTERED_DATASET_GIVEN")
def dataset_made_public_in_storage_is_not_given(story: Story) -> Iterator[Finding]:
    """A dataset that is public by an alteration of the storage only is given to nobody without a permit."""
    yield from expect.refused(story, "closed", "ALTERED_DATASET_GIVEN", twin="open")


@check("9.2-e-1", _SCENARIO, "ALTERED_CONTRACT_REVIVED")
def contract_revived_in_storage_stays_ended(story: Story) -> Iterator[Finding]:
    """A contract that is in force by an alteration of the storage only opens nothing."""
    yield from expect.refused(story, "former", "ALTERED_CONTRACT_REVIVED", twin="former-before")


@check("9.2-e-1", _SCENARIO, "ALTERED_RECORD_SHOWN")
def altered_record_is_not_shown_as_written(story: Story) -> Iterator[Finding]:
    """A record that was altered is refused, or shown as it was written, and is shown again when it is mended."""
    step = story.step("renamed")
    if step.reading.accepted and step.get("/name") != story.fact("name"):
        yield expect.finding("ALTERED_RECORD_SHOWN", step, expected="as it was written", actual=step.get("/name"))
    yield from expect.shows(story, "mended", "/name", story.fact("name"), "ALTERED_RECORD_SHOWN")


@check("9.2-e-1", _OUTPUT, "ALTERED_OUTPUT_HANDED_OUT")
def altered_output_is_not_handed_out(story: Story) -> Iterator[Finding]:
    """A file of outputs that was altered is refused, or is as it was put out; mended, it is handed out again."""
    code, before = "ALTERED_OUTPUT_HANDED_OUT", story.step("before")
    if not before.reading.accepted:
        raise NoTwin("before")
    step = story.step("altered")
    if step.reading.accepted and step.get("/sha256") != before.get("/sha256"):
        yield expect.finding(code, step, expected="a refusal", actual="the altered file")
    yield from expect.shows(story, "mended", "/sha256", before.get("/sha256"), code)


@check("9.2-e-1", _OUTPUT, "ALTERED_OUTPUT_USED")
def altered_output_is_not_used(story: Story) -> Iterator[Finding]:
    """A task that takes in an altered output of an earlier one fails and says why; over the mended one it succeeds."""
    if story.fact("mended-total")["status"] != "SUCCESS":
        raise NoTwin("mended-total")
    told, step = story.fact("total"), story.step("ended-total")
    copied = story.step("altered").reading.accepted and story.step("altered").get("/sha256") == story.step(
        "before"
    ).get("/sha256")
    if not copied and (told["status"] != "FAILED" or step.get("/end_reason") in (MISSING, None, "")):
        actual = f"{told['status']} {step.get('/end_reason')!r}"
        yield expect.finding("ALTERED_OUTPUT_USED", step, expected="FAILED with its reason", actual=actual)
