"""Components registered and found (8.6.1, 8.6.2): once under a code and version, from inside and outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.checks import calls, listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story


def _ref(body: Mapping[str, Any]) -> dict[str, Any]:
    info = body["component_info"]
    return {"code": info["componentName"], "version": info["version"]}


def _names(ports: Any) -> list[str]:
    if not isinstance(ports, list):
        return []
    return sorted(str(port.get("name")) for port in ports if isinstance(port, dict))


def _declared(body: Mapping[str, Any], *keys: str) -> list[str]:
    return sorted(port["name"] for key in keys for port in body["component_info"][key])


def _ports(story: Story, step: str, place: str, wanted: list[str], code: str) -> Iterator[Finding]:
    found = story.step(step)
    names = _names(found.get(place))
    if found.reading.accepted and names != wanted:
        yield expect.finding(code, found, pointer=place, expected=wanted, actual=names)


def _particulars(story: Story, step: str, body: Mapping[str, Any], code: str) -> Iterator[Finding]:
    info = body["component_info"]
    yield from calls.answer(story, step, {"/name": info["title"], "/developer": info["provider"]}, code)


def _whereabouts(story: Story, step: str, body: Mapping[str, Any], code: str) -> Iterator[Finding]:
    wanted = {"/address": body["address"], "/address_type": body["address_type"]}
    yield from calls.answer(story, step, wanted, code)


def _statistics(story: Story, step: str, bodies: list[Mapping[str, Any]], code: str) -> Iterator[Finding]:
    by = {name: dict(Counter(body[name] for body in bodies)) for name in ("category", "engine")}
    yield from expect.shows(story, step, "/statistics/by_category", by["category"], code)
    yield from expect.shows(story, step, "/statistics/by_engine", by["engine"], code)


# --- 8.6.1 registration ---------------------------------------------------------------------------------------------


@check("8.6.1", "component_registry", "COMPONENT_NOT_REGISTERED")
def a_component_is_registered_and_found_at_once(story: Story) -> Iterator[Finding]:
    """A registration is accepted, and a query by its code and version finds the component."""
    yield from calls.done(story, "register", "query", code="COMPONENT_NOT_REGISTERED")


@check("8.6.1", "component_registry", "COMPONENT_VERSION_REFUSED")
def another_version_of_a_component_is_registered(story: Story) -> Iterator[Finding]:
    """The same code with another version is another component."""
    yield from expect.accepted(story, "register-second", "COMPONENT_VERSION_REFUSED")


@check("8.6.1", "component_registry", "COMPONENT_REGISTERED_TWICE")
def a_code_and_version_are_registered_once(story: Story) -> Iterator[Finding]:
    """The same code and version with other content are refused."""
    code = "COMPONENT_REGISTERED_TWICE"
    yield from expect.refused(story, "register-taken", code, "ID_TAKEN", twin="register-second")


@check("8.6.1", "component_registry", "COMPONENT_OVERWRITTEN")
def a_second_registration_changes_nothing(story: Story) -> Iterator[Finding]:
    """What stands under a code and version stays as it was first registered."""
    yield from expect.unchanged(story, "query", "query-after", "COMPONENT_OVERWRITTEN")


# --- 8.6.2-c own list -----------------------------------------------------------------------------------------------


def _all_three(story: Story) -> list[Mapping[str, Any]]:
    return [story.fact(name) for name in ("first", "second", "third")]


@check("8.6.2-c", "component_registry", "COMPONENT_LIST_INCOMPLETE")
def the_own_list_has_every_component(story: Story) -> Iterator[Finding]:
    """Every registered component is listed to the operator, exposed or not."""
    wanted = [_ref(body) for body in _all_three(story)]
    yield from listing.holds(story, "list", wanted, "COMPONENT_LIST_INCOMPLETE")


@check("8.6.2-c", "component_registry", "COMPONENT_LIST_ENGINE_WRONG")
def the_own_list_names_engines(story: Story) -> Iterator[Finding]:
    """Each record of the own list names the engine that was registered."""
    for body in _all_three(story):
        code = "COMPONENT_LIST_ENGINE_WRONG"
        yield from listing.shows(story, "list", _ref(body), "engine", body["engine"], code)


@check("8.6.2-c", "component_registry", "COMPONENT_LIST_TOTAL_WRONG")
def the_own_list_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total of the own list counts what matches on all pages together."""
    yield from listing.counts(story, "list", "COMPONENT_LIST_TOTAL_WRONG")
    whole = story.step("list").get("/total")
    for page in ("page-1", "page-2"):
        yield from expect.shows(story, page, "/total", whole, "COMPONENT_LIST_TOTAL_WRONG")


@check("8.6.2-c", "component_registry", "COMPONENT_LIST_PAGE_WRONG")
def the_own_list_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the own list are as large as asked for, without overlap."""
    pages = ("page-1", "page-2")
    yield from listing.pages(story, pages, ("code", "version"), 2, "COMPONENT_LIST_PAGE_WRONG")


@check("8.6.2-c", "component_registry", "COMPONENT_STATISTICS_WRONG")
def the_own_list_counts_by_category_and_engine(story: Story) -> Iterator[Finding]:
    """The statistics of the own list count all that matches, by category and by engine."""
    yield from _statistics(story, "list", _all_three(story), "COMPONENT_STATISTICS_WRONG")


# --- 8.6.2-d own query ----------------------------------------------------------------------------------------------


@check("8.6.2-d", "component_registry", "COMPONENT_PARTICULARS_WRONG")
def the_own_query_returns_name_and_developer(story: Story) -> Iterator[Finding]:
    """The own query returns the name and the developer that were registered."""
    yield from _particulars(story, "query", story.fact("first"), "COMPONENT_PARTICULARS_WRONG")


@check("8.6.2-d", "component_registry", "COMPONENT_ADDRESS_WRONG")
def the_own_query_returns_the_address_and_its_type(story: Story) -> Iterator[Finding]:
    """The own query returns the address and the type of address that were registered."""
    yield from _whereabouts(story, "query", story.fact("first"), "COMPONENT_ADDRESS_WRONG")


@check("8.6.2-d", "component_registry", "COMPONENT_INPUTS_WRONG")
def the_own_query_returns_the_inputs(story: Story) -> Iterator[Finding]:
    """The own query returns every input of the self-description, data and parameters."""
    wanted = _declared(story.fact("first"), "inputData", "inputParam")
    yield from _ports(story, "query", "/inputs", wanted, "COMPONENT_INPUTS_WRONG")


@check("8.6.2-d", "component_registry", "COMPONENT_OUTPUTS_WRONG")
def the_own_query_returns_the_outputs(story: Story) -> Iterator[Finding]:
    """The own query returns every output of the self-description."""
    wanted = _declared(story.fact("first"), "outputData")
    yield from _ports(story, "query", "/outputs", wanted, "COMPONENT_OUTPUTS_WRONG")


@check("8.6.2-d", "component_registry", "COMPONENT_VERSION_CONFUSED")
def the_own_query_tells_versions_apart(story: Story) -> Iterator[Finding]:
    """The own query answers with the version that was asked for."""
    code = "COMPONENT_VERSION_CONFUSED"
    yield from expect.shows(story, "query-second", "/version", "2.0.0", code)
    yield from expect.shows(story, "query-second", "/engine", story.fact("second")["engine"], code)


@check("8.6.2-d", "component_registry", "COMPONENT_UNKNOWN_ANSWERED")
def the_own_query_refuses_an_unknown_version(story: Story) -> Iterator[Finding]:
    """A version that nobody registered is not answered with another one."""
    code = "COMPONENT_UNKNOWN_ANSWERED"
    yield from expect.refused(story, "query-unknown", code, "RESOURCE_NOT_FOUND", twin="query")


# --- 8.6.2-a public list --------------------------------------------------------------------------------------------


def _exposed(story: Story) -> list[Mapping[str, Any]]:
    return [story.fact(name) for name in ("first", "second")]


@check("8.6.2-a", "component_public", "COMPONENT_EXPOSED_LIST_INCOMPLETE")
def the_public_list_has_every_exposed_component(story: Story) -> Iterator[Finding]:
    """Every exposed component is listed to a partner."""
    wanted = [_ref(body) for body in _exposed(story)]
    yield from listing.holds(story, "list", wanted, "COMPONENT_EXPOSED_LIST_INCOMPLETE")


@check("8.6.2-a", "component_public", "COMPONENT_HIDDEN_LISTED")
def the_public_list_hides_what_is_not_exposed(story: Story) -> Iterator[Finding]:
    """A component that is not exposed is not listed to a partner."""
    yield from listing.lacks(story, "list", [_ref(story.fact("hidden"))], "COMPONENT_HIDDEN_LISTED")


@check("8.6.2-a", "component_public", "COMPONENT_EXPOSED_LIST_ENGINE_WRONG")
def the_public_list_names_engines(story: Story) -> Iterator[Finding]:
    """Each record of the public list names the engine that was registered."""
    code = "COMPONENT_EXPOSED_LIST_ENGINE_WRONG"
    for body in _exposed(story):
        yield from listing.shows(story, "list", _ref(body), "engine", body["engine"], code)


@check("8.6.2-a", "component_public", "COMPONENT_EXPOSED_TOTAL_WRONG")
def the_public_list_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total of the public list counts what matches on all pages together."""
    yield from listing.counts(story, "list", "COMPONENT_EXPOSED_TOTAL_WRONG")
    whole = story.step("list").get("/total")
    for page in ("page-1", "page-2"):
        yield from expect.shows(story, page, "/total", whole, "COMPONENT_EXPOSED_TOTAL_WRONG")


@check("8.6.2-a", "component_public", "COMPONENT_EXPOSED_PAGE_WRONG")
def the_public_list_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the public list are as large as asked for, without overlap."""
    pages = ("page-1", "page-2")
    yield from listing.pages(story, pages, ("code", "version"), 1, "COMPONENT_EXPOSED_PAGE_WRONG")


@check("8.6.2-a", "component_public", "COMPONENT_EXPOSED_STATISTICS_WRONG")
def the_public_list_counts_exposed_components_only(story: Story) -> Iterator[Finding]:
    """The statistics of the public list count all exposed components that match, and no others."""
    yield from _statistics(story, "list", _exposed(story), "COMPONENT_EXPOSED_STATISTICS_WRONG")


@check("8.6.2-a", "component_partner", "COMPONENT_PARTNER_NOT_ASKED_FOR_LIST")
def the_operator_s_question_for_a_list_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """To list a partner's components the target asks that partner."""
    yield from expect.called(story, "asked-list", "COMPONENT_PARTNER_NOT_ASKED_FOR_LIST")


@check("8.6.2-a", "component_partner", "COMPONENT_PARTNER_LIST_CHANGED")
def the_partner_s_list_is_passed_on_unchanged(story: Story) -> Iterator[Finding]:
    """The operator sees the partner's records and the partner's total."""
    code = "COMPONENT_PARTNER_LIST_CHANGED"
    if story.happened("asked-list"):
        yield from listing.holds(story, "list", [story.fact("summary")], code)
        yield from expect.shows(story, "list", "/total", 7, code)


# --- 8.6.2-b public query -------------------------------------------------------------------------------------------


@check("8.6.2-b", "component_public", "COMPONENT_EXPOSED_PARTICULARS_WRONG")
def the_public_query_returns_name_and_developer(story: Story) -> Iterator[Finding]:
    """The public query returns the name and the developer that were registered."""
    yield from _particulars(story, "query", story.fact("first"), "COMPONENT_EXPOSED_PARTICULARS_WRONG")


@check("8.6.2-b", "component_public", "COMPONENT_EXPOSED_ADDRESS_WRONG")
def the_public_query_returns_the_address_and_its_type(story: Story) -> Iterator[Finding]:
    """The public query returns the address and the type of address that were registered."""
    yield from _whereabouts(story, "query", story.fact("first"), "COMPONENT_EXPOSED_ADDRESS_WRONG")


@check("8.6.2-b", "component_public", "COMPONENT_EXPOSED_PORTS_WRONG")
def the_public_query_returns_inputs_and_outputs(story: Story) -> Iterator[Finding]:
    """The public query returns every input and output of the self-description."""
    code, body = "COMPONENT_EXPOSED_PORTS_WRONG", story.fact("first")
    yield from _ports(story, "query", "/inputs", _declared(body, "inputData", "inputParam"), code)
    yield from _ports(story, "query", "/outputs", _declared(body, "outputData"), code)


@check("8.6.2-b", "component_public", "COMPONENT_EXPOSED_VERSION_CONFUSED")
def the_public_query_tells_versions_apart(story: Story) -> Iterator[Finding]:
    """The public query answers with the version that was asked for."""
    code = "COMPONENT_EXPOSED_VERSION_CONFUSED"
    yield from expect.shows(story, "query-second", "/version", "2.0.0", code)
    yield from expect.shows(story, "query-second", "/engine", story.fact("second")["engine"], code)


@check("8.6.2-b", "component_public", "COMPONENT_HIDDEN_ANSWERED")
def the_public_query_hides_what_is_not_exposed(story: Story) -> Iterator[Finding]:
    """A partner's query for a component that is not exposed is refused, though the component exists."""
    shut = ("RESOURCE_NOT_FOUND", "PERMIT_MISSING")
    yield from expect.refused(story, "query-hidden", "COMPONENT_HIDDEN_ANSWERED", *shut, twin="query")


@check("8.6.2-b", "component_public", "COMPONENT_HIDDEN_BETRAYED")
def a_hidden_component_is_answered_like_none(story: Story) -> Iterator[Finding]:
    """The refusal for a component that is not exposed is the one for a component that does not exist."""
    hidden, nobody = story.step("query-hidden"), story.step("query-unknown")
    if hidden.reading.accepted or nobody.reading.accepted:
        return
    if (hidden.reading.code, hidden.reading.msg) != (nobody.reading.code, nobody.reading.msg):
        yield expect.finding(
            "COMPONENT_HIDDEN_BETRAYED", hidden, nobody, expected=expect.refusal(nobody), actual=expect.refusal(hidden)
        )


@check("8.6.2-b", "component_partner", "COMPONENT_PARTNER_NOT_ASKED")
def the_operator_s_question_for_a_component_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """To query a partner's component the target asks that partner for this code and version."""
    yield from expect.called(story, "asked-query", "COMPONENT_PARTNER_NOT_ASKED")


@check("8.6.2-b", "component_partner", "COMPONENT_PARTNER_ANSWER_CHANGED")
def the_partner_s_component_is_passed_on_unchanged(story: Story) -> Iterator[Finding]:
    """The operator sees the component as the partner described it."""
    fields = ("name", "address", "address_type", "inputs", "outputs", "developer")
    wanted = {f"/{field}": story.fact("detail")[field] for field in fields}
    if story.happened("asked-query"):
        yield from calls.answer(story, "query", wanted, "COMPONENT_PARTNER_ANSWER_CHANGED")


@check("8.6.2-b", "component_partner", "COMPONENT_PARTNER_REFUSAL_HIDDEN")
def the_partner_s_refusal_is_not_covered_up(story: Story) -> Iterator[Finding]:
    """When the partner refuses, the operator is not given an answer in its place."""
    code = "COMPONENT_PARTNER_REFUSAL_HIDDEN"
    yield from expect.refused(story, "query-refused", code, "PARTNER_REFUSED", "RESOURCE_NOT_FOUND", twin="query")
