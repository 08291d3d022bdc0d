"""What was altered in the storage is not acted on and not shown as if it had been written so (9.2-e-1).

A target that finds the record altered and answers from a copy that was not is right as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

_SCENARIO = "altered_records"


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
