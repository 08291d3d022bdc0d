"""Checks of chapter 8.3, the node's own flows: written, identified, listed, read, changed, deleted.

What two nodes agree about a flow is judged in `chapter_8_3_agreed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks.readings import exactly, listed, same_fields
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import MISSING, NoTwin, Story

ALL = ("create-Alpha", "create-Beta", "create-Gamma")


def _ids(story: Story, *names: str) -> list[Any]:
    return [story.step(name).get("/flow_id") for name in names]


def flow_exactly(story: Story, name: str, ids: list[Any], code: str) -> Iterator[Finding]:
    """A list answer shows these flows and no others."""
    yield from exactly(story, name, ids, code, "flow_id")


# --- 8.3.1 ----------------------------------------------------------------------------------------------------------


@check("8.3.1", "flow_birth", "FLOW_NOT_CREATED")
def flow_is_created_in_a_project(story: Story) -> Iterator[Finding]:
    """A flow with name, description, DAG and configuration is created; so is one with name and DAG alone."""
    for name in ("create", "create-bare"):
        yield from expect.accepted(story, name, "FLOW_NOT_CREATED")


@check("8.3.1", "flow_birth", "FLOW_CONFIG_LOST")
def flow_configuration_is_kept_as_it_was_written(story: Story) -> Iterator[Finding]:
    """Every value of the configuration, of whatever kind, is read back equal; no configuration stays none."""
    yield from same_fields(story, "query", story.step("create"), ("config",), "FLOW_CONFIG_LOST")
    bare = story.step("query-bare")
    if bare.get("/config") not in (MISSING, None):
        yield expect.finding("FLOW_CONFIG_LOST", bare, pointer="/config", expected="none", actual=bare.get("/config"))


@check("8.3.1", "flow_birth", "FLOW_IN_NO_PROJECT")
def flow_cannot_be_created_in_an_unknown_project(story: Story) -> Iterator[Finding]:
    """Creation is refused when there is no such project."""
    yield from expect.refused(story, "create-nowhere", "FLOW_IN_NO_PROJECT", "RESOURCE_NOT_FOUND", twin="create")


@check("8.3.1", "flow_birth", "FLOW_ID_FROM_OUTSIDE")
def flow_id_is_made_by_the_node(story: Story) -> Iterator[Finding]:
    """An id given from outside is refused: only the node can keep its ids apart."""
    yield from expect.refused(story, "create-named", "FLOW_ID_FROM_OUTSIDE", "REQUEST_INVALID", twin="create")


@check("8.3.1", "flow_ids", "FLOW_ID_NOT_UNIQUE")
def flow_ids_differ_however_fast_flows_are_written(story: Story) -> Iterator[Finding]:
    """A burst of creations yields as many different ids."""
    steps = [story.step(f"create-{number}") for number in range(story.fact("burst"))]
    ids = [step.get("/flow_id") for step in steps]
    if len(set(map(str, ids))) != len(ids):
        yield expect.finding(
            "FLOW_ID_NOT_UNIQUE",
            *steps,
            pointer="/flow_id",
            expected=f"{len(ids)} different ids",
            actual=f"{len(set(map(str, ids)))} different ids",
        )


def _snowflake(flow_id: Any) -> bool:
    return isinstance(flow_id, str) and flow_id.isascii() and flow_id.isdigit() and 2**22 <= int(flow_id) < 2**63


@check("8.3.1-should", "flow_ids", "FLOW_ID_FORM")
def flow_id_is_a_snowflake_or_begins_with_the_node_id(story: Story) -> Iterator[Finding]:
    """Every id is a snowflake number of at most 63 bits or carries the node's id as its prefix."""
    node_id = story.profile.target.node_id
    for number in range(story.fact("burst")):
        step = story.step(f"create-{number}")
        flow_id = step.get("/flow_id")
        prefixed = isinstance(flow_id, str) and flow_id.startswith(node_id) and flow_id != node_id
        if not prefixed and not _snowflake(flow_id):
            yield expect.finding(
                "FLOW_ID_FORM",
                step,
                pointer="/flow_id",
                expected=f"a snowflake number or {node_id}…",
                actual=flow_id,
            )
            return


# --- 8.3.1-dag ------------------------------------------------------------------------------------------------------


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_CIRCULAR")
def flow_dag_with_a_circle_is_refused(story: Story) -> Iterator[Finding]:
    """A component that waits for its own output can never run."""
    yield from expect.refused(story, "circle", "FLOW_DAG_CIRCULAR", "DAG_INVALID", twin="sound")


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_SAME_NAME")
def flow_dag_with_a_name_twice_is_refused(story: Story) -> Iterator[Finding]:
    """Component names are unique in a DAG; inputs refer to them."""
    yield from expect.refused(story, "same-name", "FLOW_DAG_SAME_NAME", "DAG_INVALID", twin="sound")


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_DANGLING")
def flow_dag_with_an_input_from_nowhere_is_refused(story: Story) -> Iterator[Finding]:
    """An input that names another component's output must find it."""
    yield from expect.refused(story, "dangling", "FLOW_DAG_DANGLING", "DAG_INVALID", twin="sound")


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_INCOMPLETE")
def flow_dag_without_its_fields_is_refused(story: Story) -> Iterator[Finding]:
    """Components, and the input and output of each, are stated."""
    for name in ("no-output", "no-components"):
        yield from expect.refused(story, name, "FLOW_DAG_INCOMPLETE", "REQUEST_INVALID", "DAG_INVALID", twin="sound")


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_WITH_PARAMETERS")
def flow_dag_with_run_time_parameters_is_refused(story: Story) -> Iterator[Finding]:
    """Parameters of a run belong in the configuration, not in the DAG."""
    yield from expect.refused(
        story, "params-inside", "FLOW_DAG_WITH_PARAMETERS", "REQUEST_INVALID", "DAG_INVALID", twin="sound"
    )


@check("8.3.1-dag", "flow_dag_rules", "FLOW_DAG_UNCHECKED_ON_UPDATE")
def flow_dag_is_checked_on_update_too(story: Story) -> Iterator[Finding]:
    """A DAG that cannot run is not taken by an update either, and the flow keeps the one it had."""
    code = "FLOW_DAG_UNCHECKED_ON_UPDATE"
    yield from expect.refused(story, "update-circle", code, "DAG_INVALID", twin="update-sound")
    yield from expect.unchanged(story, "query", "query-after", code, "/dag")


# --- 8.3.2 ----------------------------------------------------------------------------------------------------------


def _found_all(story: Story) -> None:
    """The list of the project is right; without that, the finer questions prove nothing."""
    if set(map(str, listed(story.step("list"), "flow_id"))) != set(map(str, _ids(story, *ALL))):
        raise NoTwin("list")


@check("8.3.2-a", "flow_lists", "FLOW_LIST_WRONG")
def flow_list_holds_the_flows_of_its_project_only(story: Story) -> Iterator[Finding]:
    """All flows of the project are listed and none of another's."""
    yield from flow_exactly(story, "list", _ids(story, *ALL), "FLOW_LIST_WRONG")
    yield from flow_exactly(story, "list-other", _ids(story, "create-other"), "FLOW_LIST_WRONG")


@check("8.3.2-a", "flow_lists", "FLOW_TOTAL_WRONG")
def flow_list_total_counts_all_pages(story: Story) -> Iterator[Finding]:
    """The total is that of the project, on every page."""
    _found_all(story)
    for name in ("page-1", "page-2"):
        yield from expect.shows(story, name, "/total", len(ALL), "FLOW_TOTAL_WRONG")


@check("8.3.2-a", "flow_lists", "FLOW_PAGES_BROKEN")
def flow_list_pages_make_up_the_whole(story: Story) -> Iterator[Finding]:
    """The pages neither overlap nor leave gaps."""
    _found_all(story)
    pages = [story.step("page-1"), story.step("page-2")]
    together = [found for page in pages for found in listed(page, "flow_id")]
    wanted = listed(story.step("list"), "flow_id")
    if together != wanted or len(listed(pages[0], "flow_id")) > 2:
        yield expect.finding("FLOW_PAGES_BROKEN", *pages, pointer="/records", expected=wanted, actual=together)


@check("8.3.2-a", "flow_lists", "FLOW_ORDER_WRONG")
def flow_list_begins_with_the_newest(story: Story) -> Iterator[Finding]:
    """What was written last stands first."""
    _found_all(story)
    step, wanted = story.step("list"), _ids(story, *reversed(ALL))
    found = listed(step, "flow_id")
    if found != wanted:
        yield expect.finding("FLOW_ORDER_WRONG", step, pointer="/records", expected=wanted, actual=found)


@check("8.3.2-a", "flow_lists", "FLOW_SEARCH_WRONG")
def flow_list_is_searched_by_a_part_of_the_name(story: Story) -> Iterator[Finding]:
    """A fuzzy search finds what contains the keyword in any case, and nothing when nothing does."""
    _found_all(story)
    yield from flow_exactly(story, "search", _ids(story, "create-Beta"), "FLOW_SEARCH_WRONG")
    yield from flow_exactly(story, "none", [], "FLOW_SEARCH_WRONG")


@check("8.3.2-a", "flow_lists", "FLOW_EXACT_SEARCH_LOOSE")
def flow_list_is_searched_exactly_when_asked(story: Story) -> Iterator[Finding]:
    """An exact search finds the full name and not a part of it."""
    _found_all(story)
    yield from flow_exactly(story, "exact", _ids(story, "create-Beta"), "FLOW_EXACT_SEARCH_LOOSE")
    yield from flow_exactly(story, "exact-part", [], "FLOW_EXACT_SEARCH_LOOSE")


@check("8.3.2-a", "flow_lists", "FLOW_STATUS_FILTER_IGNORED")
def flow_list_is_filtered_by_status(story: Story) -> Iterator[Finding]:
    """Unsubmitted flows are drafts: the filter shows them as such and as nothing else."""
    _found_all(story)
    yield from flow_exactly(story, "drafts", _ids(story, *ALL), "FLOW_STATUS_FILTER_IGNORED")
    yield from flow_exactly(story, "approved", [], "FLOW_STATUS_FILTER_IGNORED")


@check("8.3.2-b", "flow_birth", "FLOW_FIELDS_LOST")
def flow_query_shows_what_was_written(story: Story) -> Iterator[Finding]:
    """Project, name and description are found again under the flow's id."""
    fields = ("project_id", "name", "description")
    yield from same_fields(story, "query", story.step("create"), fields, "FLOW_FIELDS_LOST")


@check("8.3.2-b", "flow_birth", "FLOW_DAG_ALTERED")
def flow_query_shows_the_dag_as_it_was_drawn(story: Story) -> Iterator[Finding]:
    """Components, inputs and outputs come back equal and in order, as a list."""
    yield from same_fields(story, "query", story.step("create"), ("dag",), "FLOW_DAG_ALTERED")
    yield from same_fields(story, "query-bare", story.step("create-bare"), ("dag",), "FLOW_DAG_ALTERED")


@check("8.3.2-b", "flow_birth", "FLOW_UNKNOWN_ANSWERED")
def flow_query_of_an_unknown_id_is_refused(story: Story) -> Iterator[Finding]:
    """An id that was never given out yields an error."""
    yield from expect.refused(story, "query-unknown", "FLOW_UNKNOWN_ANSWERED", "RESOURCE_NOT_FOUND", twin="query")


# --- 8.3.4 ----------------------------------------------------------------------------------------------------------


def _changed(story: Story, update: str, query: str, fields: tuple[str, ...], code: str) -> Iterator[Finding]:
    yield from expect.accepted(story, update, code)
    if story.step(update).reading.accepted:
        yield from same_fields(story, query, story.step(update), fields, code)


@check("8.3.4", "flow_change", "FLOW_NAME_NOT_UPDATED")
def flow_name_and_description_can_be_changed(story: Story) -> Iterator[Finding]:
    """The next query shows the new name and the emptied description."""
    yield from _changed(story, "rename", "query-renamed", ("name",), "FLOW_NAME_NOT_UPDATED")
    step = story.step("query-renamed")
    if step.data.get("description", "") != "":
        yield expect.finding(
            "FLOW_NAME_NOT_UPDATED", step, pointer="/description", expected="", actual=step.get("/description")
        )


@check("8.3.4", "flow_change", "FLOW_CONFIG_NOT_UPDATED")
def flow_configuration_can_be_changed(story: Story) -> Iterator[Finding]:
    """The next query shows the new configuration, which replaces the old one."""
    yield from _changed(story, "reconfigure", "query-reconfigured", ("config",), "FLOW_CONFIG_NOT_UPDATED")


@check("8.3.4", "flow_change", "FLOW_DAG_NOT_UPDATED")
def flow_dag_can_be_changed_while_it_is_a_draft(story: Story) -> Iterator[Finding]:
    """The next query shows the new DAG."""
    yield from _changed(story, "redraw", "query-redrawn", ("dag",), "FLOW_DAG_NOT_UPDATED")


@check("8.3.4", "flow_change", "FLOW_UPDATE_WIPES_FIELDS")
def flow_keeps_what_an_update_does_not_mention(story: Story) -> Iterator[Finding]:
    """An update of one field leaves the others as they were."""
    code = "FLOW_UPDATE_WIPES_FIELDS"
    pairs: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("query", "query-renamed", ("/dag", "/config", "/project_id")),
        ("query-renamed", "query-reconfigured", ("/name", "/dag")),
        ("query-reconfigured", "query-redrawn", ("/name", "/config")),
    )
    for before, after, places in pairs:
        for place in places:
            yield from expect.unchanged(story, before, after, code, place)


@check("8.3.4", "flow_change", "FLOW_VERSION_STANDS_STILL")
def flow_version_grows_by_one_with_each_update(story: Story) -> Iterator[Finding]:
    """A new flow is version 1, and each update counts."""
    names = ("query", "query-renamed", "query-reconfigured", "query-redrawn")
    versions = [story.step(name).get("/version") for name in names]
    if versions != [1, 2, 3, 4]:
        steps = [story.step(name) for name in names]
        yield expect.finding(
            "FLOW_VERSION_STANDS_STILL",
            *steps,
            pointer="/version",
            expected=[1, 2, 3, 4],
            actual=[*map(str, versions)],
        )


@check("8.3.4", "flow_change", "FLOW_UPDATE_TOUCHES_OTHERS")
def flow_update_leaves_other_flows_alone(story: Story) -> Iterator[Finding]:
    """A flow that the update does not name shows the same before and after."""
    yield from expect.unchanged(story, "query-other", "query-other-after", "FLOW_UPDATE_TOUCHES_OTHERS")


# --- 8.3.5 ----------------------------------------------------------------------------------------------------------


@check("8.3.5", "flow_change", "FLOW_DELETED_STILL_ANSWERED")
def flow_is_unknown_once_deleted(story: Story) -> Iterator[Finding]:
    """A deletion is accepted and the id then answers as an unknown one."""
    code = "FLOW_DELETED_STILL_ANSWERED"
    yield from expect.accepted(story, "delete", code)
    yield from expect.refused(story, "query-deleted", code, "RESOURCE_NOT_FOUND", twin="query-redrawn")


@check("8.3.5", "flow_change", "FLOW_DELETED_STILL_LISTED")
def flow_leaves_the_list_once_deleted(story: Story) -> Iterator[Finding]:
    """The list shows the flows that are left, and their total."""
    deleted, after = story.step("delete").got("/flow_id"), story.step("list-after")
    if deleted in listed(after, "flow_id") or after.get("/total") == story.step("list").get("/total"):
        yield expect.finding(
            "FLOW_DELETED_STILL_LISTED",
            after,
            pointer="/records",
            expected="without the deleted flow",
            actual=listed(after, "flow_id"),
        )


@check("8.3.5", "flow_change", "FLOW_DELETE_TOUCHES_OTHERS")
def flow_deletion_leaves_other_flows_alone(story: Story) -> Iterator[Finding]:
    """Every other flow is still found as it was."""
    yield from expect.unchanged(story, "query-other-after", "query-other-left", "FLOW_DELETE_TOUCHES_OTHERS")


@check("8.3.5", "flow_change", "FLOW_DELETED_TWICE")
def flow_cannot_be_deleted_twice(story: Story) -> Iterator[Finding]:
    """Deleting what is gone is refused."""
    yield from expect.refused(story, "delete-again", "FLOW_DELETED_TWICE", "RESOURCE_NOT_FOUND", twin="delete")
