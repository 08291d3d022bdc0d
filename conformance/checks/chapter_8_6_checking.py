"""Components checked and taken away (8.6.3, 8.6.4): parameters, health, deregistration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.checks import listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story


def _ref(body: Mapping[str, Any]) -> dict[str, Any]:
    info = body["component_info"]
    return {"code": info["componentName"], "version": info["version"]}


# --- 8.6.3-a parameters ---------------------------------------------------------------------------------------------


def _valid(story: Story, steps: tuple[str, ...], code: str) -> Iterator[Finding]:
    for step in steps:
        yield from expect.shows(story, step, "/valid", True, code)


def _invalid(story: Story, step: str, code: str) -> Iterator[Finding]:
    yield from expect.shows(story, step, "/valid", False, code)


@check("8.6.3-a", "component_validate", "PARAMS_GOOD_REJECTED")
def good_parameters_are_found_valid(story: Story) -> Iterator[Finding]:
    """Parameters that agree with the self-description are valid, with and without the optional ones."""
    yield from _valid(story, ("full", "least"), "PARAMS_GOOD_REJECTED")


@check("8.6.3-a", "component_validate", "PARAMS_BOUND_REJECTED")
def the_bounds_of_a_range_are_valid(story: Story) -> Iterator[Finding]:
    """The lowest and the highest value of a range belong to it."""
    yield from _valid(story, ("lowest", "highest"), "PARAMS_BOUND_REJECTED")


@check("8.6.3-a", "component_validate", "PARAMS_MISSING_ACCEPTED")
def a_missing_parameter_is_found(story: Story) -> Iterator[Finding]:
    """Parameters without one that is required are not valid."""
    yield from _invalid(story, "missing", "PARAMS_MISSING_ACCEPTED")


@check("8.6.3-a", "component_validate", "PARAMS_TYPE_ACCEPTED")
def a_parameter_of_another_type_is_found(story: Story) -> Iterator[Finding]:
    """A text, or a truth value, in place of a number is not valid."""
    for step in ("ill-typed", "truth-for-number"):
        yield from _invalid(story, step, "PARAMS_TYPE_ACCEPTED")


@check("8.6.3-a", "component_validate", "PARAMS_RANGE_ACCEPTED")
def a_parameter_out_of_range_is_found(story: Story) -> Iterator[Finding]:
    """A number below or above its range is not valid."""
    for step in ("too-low", "too-high"):
        yield from _invalid(story, step, "PARAMS_RANGE_ACCEPTED")


@check("8.6.3-a", "component_validate", "PARAMS_CHOICE_ACCEPTED")
def a_parameter_outside_its_choice_is_found(story: Story) -> Iterator[Finding]:
    """A value that is none of those listed is not valid."""
    yield from _invalid(story, "not-of-the-choice", "PARAMS_CHOICE_ACCEPTED")


@check("8.6.3-a", "component_validate", "PARAMS_UNKNOWN_ACCEPTED")
def a_parameter_that_is_not_declared_is_found(story: Story) -> Iterator[Finding]:
    """A parameter that the self-description does not have is not valid."""
    yield from _invalid(story, "unknown", "PARAMS_UNKNOWN_ACCEPTED")


@check("8.6.3-a", "component_validate", "PARAMS_PLACE_NOT_NAMED")
def the_wrong_parameter_is_named(story: Story) -> Iterator[Finding]:
    """The verdict names each parameter that is wrong, and none that is right."""
    wrong = {"missing": ["batch"], "ill-typed": ["batch"], "too-low": ["batch"], "not-of-the-choice": ["curve"]}
    for name, wanted in {**wrong, "unknown": ["colour"], "two-wrong": ["batch", "rate"]}.items():
        step = story.step(name)
        problems = step.get("/problems")
        if step.get("/valid") is not False or not isinstance(problems, list):
            continue
        named = sorted({str(row.get("pointer")).rsplit("/", 1)[-1] for row in problems if isinstance(row, dict)})
        if named != wanted:
            yield expect.finding("PARAMS_PLACE_NOT_NAMED", step, pointer="/problems", expected=wanted, actual=named)


@check("8.6.3-a", "component_validate", "PARAMS_OTHER_VERSION_USED")
def parameters_are_held_against_the_version_named(story: Story) -> Iterator[Finding]:
    """What one version forbids another may allow: the version that is named decides."""
    yield from _valid(story, ("other-version",), "PARAMS_OTHER_VERSION_USED")


@check("8.6.3-a", "component_validate", "PARAMS_OF_NO_COMPONENT_JUDGED")
def parameters_of_an_unknown_component_are_refused(story: Story) -> Iterator[Finding]:
    """Without a component there is no verdict."""
    code = "PARAMS_OF_NO_COMPONENT_JUDGED"
    yield from expect.refused(story, "no-such-component", code, "RESOURCE_NOT_FOUND", twin="least")


# --- 8.6.3-b health -------------------------------------------------------------------------------------------------


@check("8.6.3-b", "component_health", "COMPONENT_WELL_REPORTED_DOWN")
def a_component_whose_service_answers_is_up(story: Story) -> Iterator[Finding]:
    """A component whose service answers is reported as healthy."""
    yield from expect.shows(story, "well", "/status", "UP", "COMPONENT_WELL_REPORTED_DOWN")


@check("8.6.3-b", "component_health", "COMPONENT_BROKEN_REPORTED_UP")
def a_component_whose_service_breaks_is_down(story: Story) -> Iterator[Finding]:
    """A component whose service has broken since the last check is reported as down."""
    yield from expect.shows(story, "broken", "/status", "DOWN", "COMPONENT_BROKEN_REPORTED_UP")


@check("8.6.3-b", "component_health", "COMPONENT_ABSENT_REPORTED_UP")
def a_component_whose_service_is_absent_is_down(story: Story) -> Iterator[Finding]:
    """A component whose command is nowhere to be found is reported as down."""
    yield from expect.shows(story, "absent", "/status", "DOWN", "COMPONENT_ABSENT_REPORTED_UP")


@check("8.6.3-b", "component_health", "COMPONENT_RECOVERY_MISSED")
def a_component_that_has_recovered_is_up(story: Story) -> Iterator[Finding]:
    """Health is that of the present: a service that answers again is reported as healthy again."""
    yield from expect.shows(story, "well-again", "/status", "UP", "COMPONENT_RECOVERY_MISSED")


@check("8.6.3-b", "component_health", "COMPONENT_HEALTH_OF_NONE")
def the_health_of_an_unknown_component_is_refused(story: Story) -> Iterator[Finding]:
    """A component that nobody registered has no health."""
    code = "COMPONENT_HEALTH_OF_NONE"
    yield from expect.refused(story, "no-such-component", code, "RESOURCE_NOT_FOUND", twin="well")


# --- 8.6.4 deregistration -------------------------------------------------------------------------------------------


@check("8.6.4", "component_deregister", "COMPONENT_DEREGISTRATION_REFUSED")
def a_component_is_deregistered(story: Story) -> Iterator[Finding]:
    """A registered version can be taken away."""
    yield from expect.accepted(story, "deregister", "COMPONENT_DEREGISTRATION_REFUSED")


@check("8.6.4", "component_deregister", "COMPONENT_DEREGISTERED_STILL_FOUND")
def a_deregistered_component_is_not_found(story: Story) -> Iterator[Finding]:
    """Neither the operator nor a partner finds a version that was taken away."""
    code = "COMPONENT_DEREGISTERED_STILL_FOUND"
    yield from expect.refused(story, "query-gone", code, "RESOURCE_NOT_FOUND", twin="second-before")
    yield from expect.refused(story, "partner-query-gone", code, "RESOURCE_NOT_FOUND", twin="partner-second-before")


@check("8.6.4", "component_deregister", "COMPONENT_DEREGISTERED_STILL_LISTED")
def a_deregistered_component_is_not_listed(story: Story) -> Iterator[Finding]:
    """Neither list has a version that was taken away."""
    gone = [_ref(story.fact("first"))]
    for step in ("list", "partner-list"):
        yield from listing.lacks(story, step, gone, "COMPONENT_DEREGISTERED_STILL_LISTED")


@check("8.6.4", "component_deregister", "COMPONENT_OTHER_VERSION_LOST")
def other_versions_stay_registered(story: Story) -> Iterator[Finding]:
    """Other versions of the same code are found and listed as before."""
    code = "COMPONENT_OTHER_VERSION_LOST"
    yield from expect.unchanged(story, "second-before", "second-after", code)
    for pointer in ("/version", "/name", "/inputs", "/outputs", "/address"):  # a proof is signed anew for every answer
        yield from expect.unchanged(story, "partner-second-before", "partner-second-after", code, pointer)
    for step in ("list", "partner-list"):
        yield from listing.holds(story, step, [_ref(story.fact("second"))], code)


@check("8.6.4", "component_deregister", "COMPONENT_DEREGISTERED_TWICE")
def what_is_gone_cannot_be_deregistered(story: Story) -> Iterator[Finding]:
    """Taking away what is not there is refused."""
    code = "COMPONENT_DEREGISTERED_TWICE"
    yield from expect.refused(story, "deregister-again", code, "RESOURCE_NOT_FOUND", twin="deregister")
