"""Datasets between nodes (8.7.1.2-a, -c, -d, -f): public and granted ones, shown to partners, passed on of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.checks import calls, listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, Step, Story

ID = ("dataset_id",)


def _betrayed(step: Step, words: Iterable[str]) -> list[str]:
    body = step.exchange.answer.body.decode(errors="replace") if step.exchange.answer else ""
    return [word for word in words if word in body]


# --- 8.7.1.2-a public list ------------------------------------------------------------------------------------------


@check("8.7.1.2-a", "dataset_public", "DATASET_PUBLIC_LIST_INCOMPLETE")
def the_public_list_has_every_public_dataset(story: Story) -> Iterator[Finding]:
    """Every public dataset is listed to a partner."""
    wanted = listing.named(story, "dataset_id", "public", "public-too")
    yield from listing.holds(story, "list", wanted, "DATASET_PUBLIC_LIST_INCOMPLETE")


@check("8.7.1.2-a", "dataset_public", "DATASET_PROTECTED_LISTED")
def the_public_list_hides_protected_datasets(story: Story) -> Iterator[Finding]:
    """A dataset that must be applied for is not in the list of the public ones."""
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "protected"), "DATASET_PROTECTED_LISTED")


@check("8.7.1.2-a", "dataset_public", "DATASET_PRIVATE_LISTED")
def the_public_list_hides_private_datasets(story: Story) -> Iterator[Finding]:
    """A dataset that is not shared is not in the list of the public ones."""
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "private"), "DATASET_PRIVATE_LISTED")


@check("8.7.1.2-a", "dataset_public", "DATASET_PUBLIC_TOTAL_WRONG")
def the_public_list_tells_its_total(story: Story) -> Iterator[Finding]:
    """The total of the public list counts what is on all pages together."""
    code = "DATASET_PUBLIC_TOTAL_WRONG"
    yield from listing.counts(story, "list", code)
    yield from expect.satisfies(story, "page", "/total", lambda total: total != 1, "more than the page holds", code)


@check("8.7.1.2-a", "dataset_public", "DATASET_PUBLIC_PAGE_WRONG")
def the_public_list_is_cut_to_the_page(story: Story) -> Iterator[Finding]:
    """A page of the public list has as many records as were asked for."""
    step = story.step("page")
    if step.reading.accepted and len(listing.rows(step)) != 1:
        yield expect.finding(
            "DATASET_PUBLIC_PAGE_WRONG", step, pointer="/records", expected=1, actual=len(listing.rows(step))
        )


@check("8.7.1.2-a", "dataset_public", "DATASET_SOURCE_SHOWN")
def the_source_of_a_dataset_is_never_shown(story: Story) -> Iterator[Finding]:
    """Neither the list nor the query tells a partner where the data lies."""
    for name in ("list", "query"):
        step = story.step(name)
        location = story.fact("public")["source"]["location"]
        if _betrayed(step, [location]):
            yield expect.finding("DATASET_SOURCE_SHOWN", step, expected="no source", actual="the source's location")


@check("8.7.1.2-a", "dataset_partner", "DATASET_PARTNER_NOT_ASKED_FOR_PUBLIC")
def the_operator_s_question_for_public_datasets_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """To list a partner's public datasets the target asks that partner."""
    yield from expect.called(story, "asked-public", "DATASET_PARTNER_NOT_ASKED_FOR_PUBLIC")


@check("8.7.1.2-a", "dataset_partner", "DATASET_PARTNER_LIST_CHANGED")
def the_partner_s_public_datasets_are_passed_on(story: Story) -> Iterator[Finding]:
    """The operator sees the partner's records and the partner's total."""
    if story.happened("asked-public"):
        yield from listing.holds(story, "list", [story.fact("public")], "DATASET_PARTNER_LIST_CHANGED")
        yield from expect.shows(story, "list", "/total", 7, "DATASET_PARTNER_LIST_CHANGED")


# --- 8.7.1.2-c granted list -----------------------------------------------------------------------------------------


@check("8.7.1.2-c", "dataset_granted_list", "DATASET_GRANTED_LIST_INCOMPLETE")
def the_granted_list_has_every_grant_in_force(story: Story) -> Iterator[Finding]:
    """Every dataset granted to the partner that asks is listed to it."""
    wanted = listing.named(story, "dataset_id", "first", "second", "third")
    yield from listing.holds(story, "list", wanted, "DATASET_GRANTED_LIST_INCOMPLETE")


@check("8.7.1.2-c", "dataset_granted_list", "DATASET_PUBLIC_AMONG_GRANTED")
def the_granted_list_leaves_out_public_datasets(story: Story) -> Iterator[Finding]:
    """A public dataset is not in the list of those granted."""
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "open"), "DATASET_PUBLIC_AMONG_GRANTED")


@check("8.7.1.2-c", "dataset_granted_list", "DATASET_GRANTED_TO_OTHERS_LISTED")
def the_granted_list_leaves_out_grants_to_others(story: Story) -> Iterator[Finding]:
    """What was granted to another node, or to none, is not in the list."""
    code = "DATASET_GRANTED_TO_OTHERS_LISTED"
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "others", "ungranted"), code)


@check("8.7.1.2-c", "dataset_granted_list", "DATASET_GRANTED_TOTAL_WRONG")
def the_granted_list_tells_its_total(story: Story) -> Iterator[Finding]:
    """The total of the granted list counts what is on all pages together."""
    yield from listing.totals(story, ("page-1", "page-2"), "list", "DATASET_GRANTED_TOTAL_WRONG")


@check("8.7.1.2-c", "dataset_granted_list", "DATASET_GRANTED_PAGE_WRONG")
def the_granted_list_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the granted list are as large as asked for, without overlap."""
    yield from listing.pages(story, ("page-1", "page-2"), ID, 2, "DATASET_GRANTED_PAGE_WRONG")


@check("8.7.1.2-c", "dataset_revoke", "DATASET_WITHDRAWN_STILL_LISTED")
def the_granted_list_leaves_out_withdrawn_grants(story: Story) -> Iterator[Finding]:
    """A dataset whose grant was withdrawn is not in the list; one whose grant stands is."""
    code = "DATASET_WITHDRAWN_STILL_LISTED"
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "gone"), code)


@check("8.7.1.2-c", "permit_period", "DATASET_EXPIRED_STILL_LISTED")
def the_granted_list_leaves_out_expired_grants(story: Story) -> Iterator[Finding]:
    """A dataset whose grant is over is not in the list."""
    yield from listing.lacks(story, "list", listing.named(story, "dataset_id", "short"), "DATASET_EXPIRED_STILL_LISTED")


@check("8.7.1.2-c", "dataset_partner", "DATASET_PARTNER_NOT_ASKED_FOR_GRANTED")
def the_operator_s_question_for_granted_datasets_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """To list what a partner has granted the target asks that partner."""
    yield from expect.called(story, "asked-granted", "DATASET_PARTNER_NOT_ASKED_FOR_GRANTED")


@check("8.7.1.2-c", "dataset_partner", "DATASET_PARTNER_GRANTED_CHANGED")
def the_partner_s_granted_datasets_are_passed_on(story: Story) -> Iterator[Finding]:
    """The operator sees the partner's granted datasets and the partner's total."""
    if story.happened("asked-granted"):
        yield from listing.holds(story, "list-granted", [story.fact("lent")], "DATASET_PARTNER_GRANTED_CHANGED")
        yield from expect.shows(story, "list-granted", "/total", 5, "DATASET_PARTNER_GRANTED_CHANGED")


# --- 8.7.1.2-d a partner's dataset ----------------------------------------------------------------------------------


@check("8.7.1.2-d", "dataset_public", "DATASET_PUBLIC_NOT_ANSWERED")
def a_public_dataset_is_answered_to_a_partner(story: Story) -> Iterator[Finding]:
    """A partner gets a public dataset by its id, with name, size and columns."""
    code, public = "DATASET_PUBLIC_NOT_ANSWERED", story.fact("public")
    yield from expect.accepted(story, "query", code)
    for field in ("dataset_id", "name", "count", "column_metas"):
        yield from expect.shows(story, "query", f"/{field}", public[field], code)


@check("8.7.1.2-d", "dataset_public", "DATASET_PROTECTED_ANSWERED")
def a_protected_dataset_is_refused_without_a_grant(story: Story) -> Iterator[Finding]:
    """A dataset that must be applied for is not answered to a partner that has not."""
    code = "DATASET_PROTECTED_ANSWERED"
    yield from expect.refused(story, "query-protected", code, "RESOURCE_NOT_FOUND", "PERMIT_MISSING", twin="query")


@check("8.7.1.2-d", "dataset_public", "DATASET_PRIVATE_ANSWERED")
def a_private_dataset_is_refused(story: Story) -> Iterator[Finding]:
    """A dataset that is not shared is not answered to a partner, though it exists."""
    code = "DATASET_PRIVATE_ANSWERED"
    yield from expect.refused(story, "query-private", code, "RESOURCE_NOT_FOUND", "PERMIT_MISSING", twin="query")


@check("8.7.1.2-d", "dataset_public", "DATASET_FIELD_DISCLOSED")
def a_refusal_discloses_no_field_of_the_dataset(story: Story) -> Iterator[Finding]:
    """The refusal of a dataset says nothing of its description or source."""
    for slug in ("protected", "private"):
        step, body = story.step(f"query-{slug}"), story.fact(slug)
        if not step.reading.accepted and _betrayed(step, [body["description"], body["source"]["location"]]):
            yield expect.finding("DATASET_FIELD_DISCLOSED", step, expected="a bare refusal", actual="fields of it")


@check("8.7.1.2-d", "dataset_partner", "DATASET_PARTNER_NOT_ASKED")
def the_operator_s_question_for_a_dataset_reaches_the_partner(story: Story) -> Iterator[Finding]:
    """To query a partner's dataset the target asks that partner for this id."""
    yield from expect.called(story, "asked-query", "DATASET_PARTNER_NOT_ASKED")


@check("8.7.1.2-d", "dataset_partner", "DATASET_PARTNER_ANSWER_CHANGED")
def the_partner_s_dataset_is_passed_on(story: Story) -> Iterator[Finding]:
    """The operator sees the dataset as the partner described it."""
    wanted = {f"/{field}": value for field, value in story.fact("public").items()}
    if story.happened("asked-query"):
        yield from calls.answer(story, "query", wanted, "DATASET_PARTNER_ANSWER_CHANGED")


@check("8.7.1.2-d", "dataset_partner", "DATASET_PARTNER_REFUSAL_HIDDEN")
def the_partner_s_refusal_of_a_dataset_is_not_covered_up(story: Story) -> Iterator[Finding]:
    """When the partner refuses, the operator is not given an answer in its place."""
    code = "DATASET_PARTNER_REFUSAL_HIDDEN"
    yield from expect.refused(story, "query-refused", code, "PARTNER_REFUSED", "RESOURCE_NOT_FOUND", twin="query")


@check("8.7.1.2-d", "dataset_asks", "DATASET_PERMIT_NOT_SHOWN")
def the_permit_is_shown_when_a_granted_dataset_is_asked_for(story: Story) -> Iterator[Finding]:
    """A query for a dataset that was granted to the target carries the permit."""
    step, permit = story.step("used"), story.fact("permit")
    wanted = f"{permit['resource_id']}/{permit['resource_level']}/{permit['token']}"
    header = step.exchange.request.headers.get("x-mprac-token-set", "")
    if wanted not in [part.strip() for part in header.split(",")]:
        yield expect.finding("DATASET_PERMIT_NOT_SHOWN", step, expected=wanted, actual=header or MISSING)


# --- 8.7.1.2-f grants made and held ---------------------------------------------------------------------------------


@check("8.7.1.2-f", "dataset_grant", "DATASET_GRANT_OUT_NOT_LISTED")
def a_grant_to_a_partner_is_listed_as_made(story: Story) -> Iterator[Finding]:
    """What the target has granted is in the list of grants made."""
    yield from listing.holds(
        story, "granted-out", listing.named(story, "dataset_id", "given"), "DATASET_GRANT_OUT_NOT_LISTED"
    )


@check("8.7.1.2-f", "dataset_grant", "DATASET_GRANT_IN_NOT_LISTED")
def a_grant_from_a_partner_is_listed_as_held(story: Story) -> Iterator[Finding]:
    """What was granted to the target is in the list of grants held."""
    yield from listing.holds(
        story, "granted-in", listing.named(story, "dataset_id", "theirs"), "DATASET_GRANT_IN_NOT_LISTED"
    )


@check("8.7.1.2-f", "dataset_grant", "DATASET_GRANTS_MIXED")
def grants_made_and_held_are_told_apart(story: Story) -> Iterator[Finding]:
    """A grant that was made is not among those held, nor the other way round."""
    yield from listing.lacks(story, "granted-in", listing.named(story, "dataset_id", "given"), "DATASET_GRANTS_MIXED")
    yield from listing.lacks(story, "granted-out", listing.named(story, "dataset_id", "theirs"), "DATASET_GRANTS_MIXED")


@check("8.7.1.2-f", "dataset_grant", "DATASET_GRANT_PARTY_WRONG")
def a_listed_grant_names_the_other_node(story: Story) -> Iterator[Finding]:
    """Each listed grant names the node at its other end."""
    partner = story.fact("partner")
    for step, slug in (("granted-out", "given"), ("granted-in", "theirs")):
        which = listing.named(story, "dataset_id", slug)[0]
        yield from listing.shows(story, step, which, "partner_node_id", partner, "DATASET_GRANT_PARTY_WRONG")


@check("8.7.1.2-f", "dataset_grant", "DATASET_GRANT_SCOPE_WRONG")
def a_listed_grant_names_its_scope(story: Story) -> Iterator[Finding]:
    """Each listed grant names the scope that it was given with."""
    for name, slug in (("granted-out", "given"), ("granted-in", "theirs")):
        step = story.step(name)
        row = listing.row_of(step, listing.named(story, "dataset_id", slug)[0])
        permit = row.get("resource_permit") if row is not None else None
        scope = permit.get("auth_scope", MISSING) if isinstance(permit, dict) else MISSING
        if row is not None and scope != {"type": "NODE"}:
            yield expect.finding(
                "DATASET_GRANT_SCOPE_WRONG",
                step,
                pointer="/records/*/resource_permit/auth_scope",
                expected={"type": "NODE"},
                actual=scope,
            )


@check("8.7.1.2-f", "dataset_granted_list", "DATASET_GRANTS_TOTAL_WRONG")
def the_list_of_grants_tells_its_total(story: Story) -> Iterator[Finding]:
    """The total of the list of grants counts what is on all pages together."""
    yield from listing.totals(story, ("out-page-1", "out-page-2"), "out", "DATASET_GRANTS_TOTAL_WRONG")


@check("8.7.1.2-f", "dataset_granted_list", "DATASET_GRANTS_PAGE_WRONG")
def the_list_of_grants_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the list of grants are as large as asked for, without overlap."""
    yield from listing.pages(story, ("out-page-1", "out-page-2"), ("audit_id",), 2, "DATASET_GRANTS_PAGE_WRONG")


@check("8.7.1.2-f", "dataset_revoke", "DATASET_ENDED_GRANT_LISTED")
def the_list_of_grants_leaves_out_withdrawn_ones(story: Story) -> Iterator[Finding]:
    """The list of grants in force has none that was withdrawn."""
    yield from listing.lacks(story, "out", listing.named(story, "dataset_id", "gone"), "DATASET_ENDED_GRANT_LISTED")
