"""Checks of chapter 8.2, the node's own projects: created, searched, read, changed, deleted.

What two nodes make of a project together is judged in `chapter_8_2_agreed` and `chapter_8_2_shared`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.checks.readings import FIELDS, exactly, listed, same_fields
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import NoTwin, Story

# --- 8.2.1-a --------------------------------------------------------------------------------------------------------


@check("8.2.1-a", "project_birth", "PROJECT_NOT_CREATED")
def own_project_is_created_under_the_id_that_was_given(story: Story) -> Iterator[Finding]:
    """A project with a free id is created, and the answer names that id."""
    yield from expect.accepted(story, "create", "PROJECT_NOT_CREATED")
    if story.step("create").reading.accepted:
        wanted = story.step("create").got("/project_id")
        yield from expect.shows(story, "create", "/project_id", wanted, "PROJECT_NOT_CREATED")


@check("8.2.1-a", "project_birth", "PROJECT_FIELDS_LOST")
def own_project_reads_back_as_it_was_created(story: Story) -> Iterator[Finding]:
    """Name, description and type are found again under the id."""
    yield from same_fields(story, "query", story.step("create"), FIELDS, "PROJECT_FIELDS_LOST")


@check("8.2.1-a", "project_birth", "PROJECT_ID_NOT_GENERATED")
def own_project_without_an_id_is_given_one_of_its_own(story: Story) -> Iterator[Finding]:
    """Two projects created without an id get two ids, each of which answers a query."""
    first, second = story.step("create-without-id"), story.step("create-without-id-again")
    if first.get("/project_id") == second.get("/project_id"):
        yield expect.finding(
            "PROJECT_ID_NOT_GENERATED",
            first,
            second,
            pointer="/project_id",
            expected="two different ids",
            actual=first.get("/project_id"),
        )
    for name, made in (("query-generated", first), ("query-generated-again", second)):
        yield from expect.shows(story, name, "/project_id", made.get("/project_id"), "PROJECT_ID_NOT_GENERATED")


@check("8.2.1-a", "project_birth", "PROJECT_ID_TAKEN_TWICE")
def own_project_id_cannot_be_taken_twice(story: Story) -> Iterator[Finding]:
    """A second project under a known id is refused and the first stays as it is."""
    yield from expect.refused(story, "taken", "PROJECT_ID_TAKEN_TWICE", "ID_TAKEN", twin="create-second")
    yield from expect.unchanged(story, "query", "query-after-taken", "PROJECT_ID_TAKEN_TWICE", "/name")


@check("8.2.1-a", "project_birth", "PROJECT_TYPE_UNCHECKED")
def own_project_of_an_unknown_type_is_refused(story: Story) -> Iterator[Finding]:
    """A type that the interface does not list cannot be given."""
    yield from expect.refused(story, "unknown-type", "PROJECT_TYPE_UNCHECKED", "REQUEST_INVALID", twin="create-second")


# --- 8.2.2-a --------------------------------------------------------------------------------------------------------


def _created(story: Story, *slugs: str) -> list[Any]:
    return [story.step(f"create-{slug}").got("/project_id") for slug in slugs]


ALL = ("prj-a", "prj-b", "prj-c", "prj-d", "prj-e")


def _found_all(story: Story) -> None:
    """Searching by the tag of the scenario finds its projects; without that, the finer questions prove nothing."""
    if set(map(str, listed(story.step("all")))) != set(map(str, _created(story, *ALL))):
        raise NoTwin("all")


@check("8.2.2-a", "project_search", "PROJECT_FUZZY_SEARCH_WRONG")
def own_projects_are_found_by_a_part_of_their_name(story: Story) -> Iterator[Finding]:
    """A fuzzy search finds exactly the projects whose name contains the keyword, none if none does."""
    yield from exactly(story, "all", _created(story, *ALL), "PROJECT_FUZZY_SEARCH_WRONG")
    yield from exactly(story, "part", _created(story, "prj-b"), "PROJECT_FUZZY_SEARCH_WRONG")
    yield from exactly(story, "chinese-part", _created(story, "prj-d", "prj-e"), "PROJECT_FUZZY_SEARCH_WRONG")
    yield from exactly(story, "none", [], "PROJECT_FUZZY_SEARCH_WRONG")


@check("8.2.2-a", "project_search", "PROJECT_SEARCH_MINDS_CASE")
def own_projects_are_found_in_any_case(story: Story) -> Iterator[Finding]:
    """A fuzzy search does not distinguish upper and lower case."""
    _found_all(story)
    yield from exactly(story, "other-case", _created(story, "prj-b"), "PROJECT_SEARCH_MINDS_CASE")


@check("8.2.2-a", "project_search", "PROJECT_SEARCH_WILDCARD")
def own_project_keywords_are_taken_literally(story: Story) -> Iterator[Finding]:
    """Characters that a database reads as wildcards stand for themselves."""
    _found_all(story)
    yield from exactly(story, "wildcard", _created(story, "prj-a", "prj-b"), "PROJECT_SEARCH_WILDCARD")
    yield from exactly(story, "percent", [], "PROJECT_SEARCH_WILDCARD")


@check("8.2.2-a", "project_search", "PROJECT_EXACT_SEARCH_LOOSE")
def own_projects_are_found_exactly_by_their_full_name_only(story: Story) -> Iterator[Finding]:
    """An exact search does not find a project whose name merely contains the keyword."""
    yield from exactly(story, "exact", _created(story, "prj-a"), "PROJECT_EXACT_SEARCH_LOOSE")
    yield from exactly(story, "exact-part", [], "PROJECT_EXACT_SEARCH_LOOSE")


@check("8.2.2-a", "project_search", "PROJECT_SEARCH_MISSES_ID")
def own_projects_are_found_by_their_id(story: Story) -> Iterator[Finding]:
    """The keyword is looked for in the id as well."""
    yield from exactly(story, "by-id", _created(story, "prj-d"), "PROJECT_SEARCH_MISSES_ID")


@check("8.2.2-a", "project_search", "PROJECT_TYPE_FILTER_IGNORED")
def own_projects_are_filtered_by_type(story: Story) -> Iterator[Finding]:
    """A list asked for one type shows the projects of that type only."""
    _found_all(story)
    yield from exactly(story, "typed", _created(story, "prj-c", "prj-d"), "PROJECT_TYPE_FILTER_IGNORED")


@check("8.2.2-a", "project_search", "PROJECT_TOTAL_DEPENDS_ON_PAGE")
def own_project_total_counts_all_pages(story: Story) -> Iterator[Finding]:
    """Every page states the same total: all matches, also the page after the last."""
    _found_all(story)
    for number in (1, 2, 3, 4):
        yield from expect.shows(story, f"page-{number}", "/total", len(ALL), "PROJECT_TOTAL_DEPENDS_ON_PAGE")


@check("8.2.2-a", "project_search", "PROJECT_PAGES_BROKEN")
def own_project_pages_neither_overlap_nor_leave_gaps(story: Story) -> Iterator[Finding]:
    """The pages put together are the whole list, each match once."""
    _found_all(story)
    pages = [story.step(f"page-{number}") for number in (1, 2, 3, 4)]
    together = [found for page in pages for found in listed(page)]
    wanted = listed(story.step("all"))
    sizes = [len(listed(page)) for page in pages]
    if together != wanted or sizes != [2, 2, 1, 0]:
        yield expect.finding("PROJECT_PAGES_BROKEN", *pages, pointer="/records", expected=wanted, actual=together)


@check("8.2.2-a", "project_search", "PROJECT_ORDER_WRONG")
def own_projects_are_listed_newest_first(story: Story) -> Iterator[Finding]:
    """What was created last stands first."""
    _found_all(story)
    step = story.step("all")
    wanted = _created(story, *reversed(ALL))
    if listed(step) != wanted:
        yield expect.finding("PROJECT_ORDER_WRONG", step, pointer="/records", expected=wanted, actual=listed(step))


@check("8.2.2-a", "project_search", "PROJECT_STATISTICS_WRONG")
def own_project_statistics_count_all_matches_by_type(story: Story) -> Iterator[Finding]:
    """The statistics cover every match, not one page, and follow the search."""
    _found_all(story)
    for name, wanted in (("page-1", {"PSI": 3, "MPC": 2}), ("typed", {"MPC": 2}), ("none", {})):
        step = story.step(name)
        counts = step.get("/statistics/by_type")
        found = {key: count for key, count in counts.items() if count} if isinstance(counts, dict) else counts
        if found != wanted:
            yield expect.finding(
                "PROJECT_STATISTICS_WRONG", step, pointer="/statistics/by_type", expected=wanted, actual=found
            )


# --- 8.2.2-c --------------------------------------------------------------------------------------------------------


@check("8.2.2-c", "project_birth", "PROJECT_UNKNOWN_ANSWERED")
def own_project_query_of_an_unknown_id_is_refused(story: Story) -> Iterator[Finding]:
    """An id that was never given out yields an error, not an empty record."""
    yield from expect.refused(
        story, "query-unknown", "PROJECT_UNKNOWN_ANSWERED", "RESOURCE_NOT_FOUND", twin="query-generated"
    )


# --- 8.2.3-a --------------------------------------------------------------------------------------------------------


@check("8.2.3-a", "project_change", "PROJECT_UPDATE_NOT_KEPT")
def own_project_shows_what_it_was_changed_to(story: Story) -> Iterator[Finding]:
    """The fields that an update gives are found by the next query, an emptied description included."""
    yield from expect.accepted(story, "rename", "PROJECT_UPDATE_NOT_KEPT")
    yield from same_fields(story, "query-renamed", story.step("rename"), ("name",), "PROJECT_UPDATE_NOT_KEPT")
    yield from expect.shows(
        story, "query-retyped", "/type", story.step("retype").got("/type"), "PROJECT_UPDATE_NOT_KEPT"
    )
    emptied = story.step("query-retyped")
    if emptied.data.get("description", "") != "":
        yield expect.finding(
            "PROJECT_UPDATE_NOT_KEPT", emptied, pointer="/description", expected="", actual=emptied.get("/description")
        )


@check("8.2.3-a", "project_change", "PROJECT_UPDATE_WIPES_FIELDS")
def own_project_keeps_what_an_update_does_not_mention(story: Story) -> Iterator[Finding]:
    """Fields that an update leaves out stay as they were."""
    for place in ("/description", "/type"):
        yield from expect.unchanged(story, "query", "query-renamed", "PROJECT_UPDATE_WIPES_FIELDS", place)
    yield from expect.unchanged(story, "query-renamed", "query-retyped", "PROJECT_UPDATE_WIPES_FIELDS", "/name")


@check("8.2.3-a", "project_change", "PROJECT_UPDATE_TOUCHES_OTHERS")
def own_project_update_leaves_other_projects_alone(story: Story) -> Iterator[Finding]:
    """A project that the update does not name shows the same before and after."""
    yield from expect.unchanged(story, "query-other", "query-other-after", "PROJECT_UPDATE_TOUCHES_OTHERS")


@check("8.2.3-a", "project_change", "PROJECT_UPDATE_OF_UNKNOWN_TAKEN")
def own_project_update_of_an_unknown_id_is_refused(story: Story) -> Iterator[Finding]:
    """An update neither passes silently nor creates a project where there is none."""
    code = "PROJECT_UPDATE_OF_UNKNOWN_TAKEN"
    yield from expect.refused(story, "rename-unknown", code, "RESOURCE_NOT_FOUND", twin="rename")
    yield from expect.refused(story, "query-unknown", code, "RESOURCE_NOT_FOUND", twin="query-renamed")


# --- 8.2.4-a --------------------------------------------------------------------------------------------------------


@check("8.2.4-a", "project_end", "PROJECT_DELETED_STILL_ANSWERED")
def own_project_is_unknown_once_deleted(story: Story) -> Iterator[Finding]:
    """A deletion is accepted and the id then answers as an unknown one."""
    yield from expect.accepted(story, "delete", "PROJECT_DELETED_STILL_ANSWERED")
    yield from expect.refused(
        story, "query-deleted", "PROJECT_DELETED_STILL_ANSWERED", "RESOURCE_NOT_FOUND", twin="query"
    )


@check("8.2.4-a", "project_end", "PROJECT_DELETED_STILL_LISTED")
def own_project_leaves_the_list_once_deleted(story: Story) -> Iterator[Finding]:
    """The list no longer holds the project and its total has fallen by one."""
    before, after = story.step("list"), story.step("list-after")
    deleted = story.step("delete").got("/project_id")
    if deleted not in listed(before):
        raise NoTwin("list")
    total = before.get("/total")
    if deleted in listed(after) or not isinstance(total, int) or after.get("/total") != total - 1:
        yield expect.finding(
            "PROJECT_DELETED_STILL_LISTED",
            before,
            after,
            pointer="/total",
            expected="one fewer, without the deleted project",
            actual=after.get("/total"),
        )


@check("8.2.4-a", "project_end", "PROJECT_DELETE_TOUCHES_OTHERS")
def own_project_deletion_leaves_other_projects_alone(story: Story) -> Iterator[Finding]:
    """Every other project is still found and listed."""
    other = story.step("create-other")
    yield from same_fields(story, "query-other", other, ("project_id", "name"), "PROJECT_DELETE_TOUCHES_OTHERS")


@check("8.2.4-a", "project_end", "PROJECT_DELETED_TWICE")
def own_project_cannot_be_deleted_twice(story: Story) -> Iterator[Finding]:
    """Deleting what is gone is refused."""
    yield from expect.refused(story, "delete-again", "PROJECT_DELETED_TWICE", "RESOURCE_NOT_FOUND", twin="delete")
