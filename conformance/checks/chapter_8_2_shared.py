"""Checks of shared projects: listed and read by partners, kept alike on both sides (8.2.2-b to 8.2.4-a)."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks.readings import FIELDS, GONE, came, carries_fields, exactly, given, listed, nodes, same_fields
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

# --- 8.2.2-b --------------------------------------------------------------------------------------------------------


@check("8.2.2-b", "project_shared_list", "PROJECT_SHARED_LIST_INCOMPLETE")
def project_list_shows_a_partner_all_that_it_shares(story: Story) -> Iterator[Finding]:
    """Every approved project of the two is listed, whichever of them owns it."""
    step = story.step("list")
    missing = [wanted for wanted in story.fact("shared") if wanted not in listed(step)]
    if missing:
        yield expect.finding(
            "PROJECT_SHARED_LIST_INCOMPLETE", step, pointer="/records", expected=missing, actual=listed(step)
        )


@check("8.2.2-b", "project_shared_list", "PROJECT_SHARED_LIST_FOREIGN")
def project_list_hides_what_is_shared_with_others(story: Story) -> Iterator[Finding]:
    """A partner's list holds no project in which it has no part."""
    step = story.step("list")
    if story.fact("apart") in listed(step):
        yield expect.finding(
            "PROJECT_SHARED_LIST_FOREIGN", step, pointer="/records", expected="not there", actual=story.fact("apart")
        )
    yield from exactly(story, "list-by-other", [story.fact("apart")], "PROJECT_SHARED_LIST_FOREIGN")


@check("8.2.2-b", "project_shared_list", "PROJECT_SHARED_LIST_UNDECIDED")
def project_list_hides_what_is_not_approved_yet(story: Story) -> Iterator[Finding]:
    """A project that was offered and not decided is not a shared one."""
    step = story.step("list")
    if story.fact("undecided") in listed(step):
        yield expect.finding(
            "PROJECT_SHARED_LIST_UNDECIDED", step, pointer="/records", expected="not there", actual="listed"
        )


@check("8.2.2-b", "project_shared_list", "PROJECT_SHARED_PAGES_BROKEN")
def project_list_pages_make_up_the_whole(story: Story) -> Iterator[Finding]:
    """The pages of a partner's list neither overlap nor leave gaps."""
    pages = [story.step("page-1"), story.step("page-2")]
    together, wanted = [found for page in pages for found in listed(page)], listed(story.step("list"))
    if together != wanted or len(listed(pages[0])) > 2:
        yield expect.finding(
            "PROJECT_SHARED_PAGES_BROKEN", *pages, pointer="/records", expected=wanted, actual=together
        )


@check("8.2.2-b", "project_shared_list", "PROJECT_SHARED_TOTAL_WRONG")
def project_list_total_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total is that of all pages, on every page."""
    wanted = len(listed(story.step("list")))
    for name in ("list", "page-1", "page-2"):
        yield from expect.shows(story, name, "/total", wanted, "PROJECT_SHARED_TOTAL_WRONG")


@check("8.2.2-b", "project_partner_view", "PROJECT_PARTNER_LIST_WRONG")
def partner_project_list_is_what_the_partner_answers(story: Story) -> Iterator[Finding]:
    """The operator is shown the partner's records and the partner's total."""
    yield from expect.called(story, "list-asked", "PROJECT_PARTNER_LIST_WRONG")
    wanted = [row["project_id"] for row in story.fact("rows")]
    if listed(story.step("list")) != wanted:
        found = listed(story.step("list"))
        yield expect.finding(
            "PROJECT_PARTNER_LIST_WRONG", story.step("list"), pointer="/records", expected=wanted, actual=found
        )
    yield from expect.shows(story, "list", "/total", 7, "PROJECT_PARTNER_LIST_WRONG")


@check("8.2.2-b", "project_partner_view", "PROJECT_PARTNER_PAGE_NOT_PASSED_ON")
def partner_project_list_is_asked_for_the_page_wanted(story: Story) -> Iterator[Finding]:
    """Page number and size go to the partner, which cuts the page."""
    for field in ("page_num", "page_size"):
        step = came(story, "list-asked")
        if str(step.got(f"/{field}")) != "2":
            yield expect.finding(
                "PROJECT_PARTNER_PAGE_NOT_PASSED_ON",
                step,
                pointer=f"/{field}",
                expected=2,
                actual=step.got(f"/{field}"),
            )


# --- 8.2.2-c, 8.2.2-d -----------------------------------------------------------------------------------------------


@check("8.2.2-c", "project_offered", "PROJECT_RECORD_WITHOUT_PARTNER")
def own_project_record_names_the_partners_in_it(story: Story) -> Iterator[Finding]:
    """Once a partner has approved, the record lists it with the contract between the two."""
    given(story, "approved", "/status", "APPROVED")
    step, partner = story.step("query"), story.step("confirm").exchange.partner
    wanted = story.step("offer").got("/contract_id")
    if nodes(step).get(partner) != wanted:
        yield expect.finding(
            "PROJECT_RECORD_WITHOUT_PARTNER", step, pointer="/nodes", expected=partner, actual=step.get("/nodes")
        )


@check("8.2.2-d", "project_offer_shared", "PROJECT_PARTNER_READS_WRONG")
def project_query_gives_a_partner_the_record_as_it_is(story: Story) -> Iterator[Finding]:
    """The partner reads id, name, description and type as this node's operator reads them."""
    yield from expect.accepted(story, "read", "PROJECT_PARTNER_READS_WRONG")
    held = story.step("query")
    for field in ("project_id", *FIELDS):
        wanted = held.get(f"/{field}")
        yield from expect.shows(story, "read-changed", f"/{field}", wanted, "PROJECT_PARTNER_READS_WRONG")


@check("8.2.2-d", "project_received_updates", "PROJECT_PARTNER_READS_NO_DATASETS")
def project_query_names_the_datasets_of_each_node(story: Story) -> Iterator[Finding]:
    """The partner reads which datasets each node contributes."""
    wanted = story.step("held-datasets").get("/datasets")
    yield from expect.shows(story, "read-datasets", "/datasets", wanted, "PROJECT_PARTNER_READS_NO_DATASETS")


@check("8.2.2-d", "project_offer_shared", "PROJECT_STRANGER_READS")
def project_query_is_refused_to_a_node_outside_the_project(story: Story) -> Iterator[Finding]:
    """A node with a contract and no part in the project does not read it."""
    yield from expect.refused(story, "read-by-stranger", "PROJECT_STRANGER_READS", *GONE, twin="read")


@check("8.2.2-d", "project_shared_list", "PROJECT_STRANGER_READS")
def project_query_is_refused_for_projects_shared_with_others(story: Story) -> Iterator[Finding]:
    """A partner in one project does not read another one."""
    yield from expect.refused(story, "read-apart", "PROJECT_STRANGER_READS", *GONE, twin="read")


@check("8.2.2-d", "project_partner_view", "PROJECT_PARTNER_RECORD_WRONG")
def partner_project_query_is_what_the_partner_answers(story: Story) -> Iterator[Finding]:
    """The operator is shown the partner's record of the project that was asked for."""
    yield from expect.called(story, "query-asked", "PROJECT_PARTNER_RECORD_WRONG")
    for field, value in story.fact("record").items():
        yield from expect.shows(story, "query", f"/{field}", value, "PROJECT_PARTNER_RECORD_WRONG")


# --- 8.2.3-b --------------------------------------------------------------------------------------------------------


@check("8.2.3-b", "project_offer_shared", "PROJECT_CHANGE_NOT_SENT")
def shared_project_change_is_sent_to_the_partner(story: Story) -> Iterator[Finding]:
    """A change of a shared project reaches the partner by project id, with the new values."""
    yield from carries_fields(
        story, "change-arrives", story.step("change"), ("project_id", "name", "description"), "PROJECT_CHANGE_NOT_SENT"
    )


@check("8.2.3-b", "project_offer_shared", "PROJECT_CHANGE_NOT_REPORTED")
def shared_project_change_reports_who_was_told(story: Story) -> Iterator[Finding]:
    """The operator is told which partners know of the change."""
    came(story, "change-arrives")
    contract_id = story.step("read").got("/contract_id")
    wanted = [{"contract_id": contract_id, "delivery": "DELIVERED"}]
    yield from expect.shows(story, "change", "/synced", wanted, "PROJECT_CHANGE_NOT_REPORTED")


@check("8.2.3-b", "project_offer_shared", "PROJECT_CHANGE_SENT_TO_STRANGER")
def shared_project_change_is_sent_to_partners_in_it_only(story: Story) -> Iterator[Finding]:
    """A node without a part in the project is not told."""
    yield from expect.not_called(story, "stranger-told", "PROJECT_CHANGE_SENT_TO_STRANGER")


@check("8.2.3-b", "project_offer_ended", "PROJECT_CHANGE_SENT_AFTER_END")
def shared_project_change_is_not_sent_once_the_partners_part_has_ended(story: Story) -> Iterator[Finding]:
    """A partner whose part has ended is not told of later changes."""
    yield from expect.not_called(story, "told-after-end", "PROJECT_CHANGE_SENT_AFTER_END")


@check("8.2.3-b", "project_offer_shared", "PROJECT_CHANGED_BY_STRANGER")
def shared_project_cannot_be_changed_by_a_stranger(story: Story) -> Iterator[Finding]:
    """An update from a node outside the project is refused and changes nothing."""
    code = "PROJECT_CHANGED_BY_STRANGER"
    yield from expect.refused(story, "change-by-stranger", code, *GONE, twin="read-changed")
    yield from expect.unchanged(story, "query", "query-after-stranger", code)


@check("8.2.3-b", "project_received_updates", "PROJECT_CHANGE_NOT_TAKEN")
def shared_project_follows_its_owners_change(story: Story) -> Iterator[Finding]:
    """The owner's update is accepted, and the record here comes to agree with it."""
    yield from expect.accepted(story, "change", "PROJECT_CHANGE_NOT_TAKEN")
    yield from same_fields(story, "held-changed", story.step("change"), ("name",), "PROJECT_CHANGE_NOT_TAKEN")


@check("8.2.3-b", "project_received_updates", "PROJECT_CHANGE_WIPES_FIELDS")
def shared_project_keeps_what_its_owner_does_not_mention(story: Story) -> Iterator[Finding]:
    """Fields that the owner's update leaves out stay as they were."""
    for place in ("/description", "/type", "/datasets"):
        yield from expect.unchanged(story, "held", "held-changed", "PROJECT_CHANGE_WIPES_FIELDS", place)


@check("8.2.3-b", "project_received_updates", "PROJECT_DATASETS_NOT_FOLLOWED")
def shared_project_follows_its_owners_datasets(story: Story) -> Iterator[Finding]:
    """The datasets that the owner names replace those that it contributed before."""
    yield from expect.accepted(story, "change-datasets", "PROJECT_DATASETS_NOT_FOLLOWED")
    place = f"/datasets/{story.fact('partner')}"
    yield from expect.shows(story, "held-datasets", place, story.fact("datasets"), "PROJECT_DATASETS_NOT_FOLLOWED")


@check("8.2.3-b", "project_received_updates", "PROJECT_CHANGED_BY_STRANGER")
def shared_project_is_changed_here_by_its_owner_only(story: Story) -> Iterator[Finding]:
    """A stranger's update of a project that another partner owns is refused and changes nothing."""
    code = "PROJECT_CHANGED_BY_STRANGER"
    yield from expect.refused(story, "change-by-stranger", code, *GONE, twin="change")
    yield from expect.unchanged(story, "held-datasets", "held-after-stranger", code)


@check("8.2.3-b", "project_received_updates", "PROJECT_CHANGED_UNAPPROVED")
def shared_project_cannot_be_changed_before_it_is_approved(story: Story) -> Iterator[Finding]:
    """An update of a project whose application is pending is refused."""
    yield from expect.refused(story, "change-unapproved", "PROJECT_CHANGED_UNAPPROVED", *GONE, twin="change")


@check("8.2.3-b", "project_received_ended", "PROJECT_CHANGED_AFTER_END")
def shared_project_cannot_be_changed_once_it_has_ended(story: Story) -> Iterator[Finding]:
    """An update of a project that the two no longer share is refused."""
    given(story, "terminated-by-partner", "/status", "TERMINATED")
    yield from expect.refused(story, "change-theirs-after", "PROJECT_CHANGED_AFTER_END", *GONE, twin="change-theirs")


# --- 8.2.4-a --------------------------------------------------------------------------------------------------------


@check("8.2.4-a", "project_offer_ended", "PROJECT_DELETED_STILL_SHARED")
def own_project_that_is_deleted_is_closed_to_partners(story: Story) -> Iterator[Finding]:
    """If a shared project can be deleted, partners no longer read it; if not, the refusal says that it is in use."""
    code = "PROJECT_DELETED_STILL_SHARED"
    if story.step("delete").reading.accepted:
        yield from expect.refused(story, "read-gone-after", code, *GONE, twin="read-gone")
    else:
        yield from expect.refused(story, "delete", code, "IN_USE", twin="read-gone")
