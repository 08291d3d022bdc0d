"""Datasets as the target holds them (8.7.1.1, 8.7.1.2-b, 8.7.1.2-e): registered, changed, removed, listed, queried."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.checks import calls, listing
from conformance.harness import expect
from conformance.harness.records import Finding
from conformance.harness.registry import check
from conformance.harness.story import Story

ID = ("dataset_id",)


# --- 8.7.1.1 registration -------------------------------------------------------------------------------------------


@check("8.7.1.1", "dataset_own", "DATASET_NOT_REGISTERED")
def a_dataset_is_registered_and_found_at_once(story: Story) -> Iterator[Finding]:
    """A registration is accepted, and a query by its id finds the dataset."""
    yield from calls.done(story, "create", "query", code="DATASET_NOT_REGISTERED")


@check("8.7.1.1", "dataset_own", "DATASET_ID_CHANGED")
def an_id_that_is_given_is_kept(story: Story) -> Iterator[Finding]:
    """A dataset registered with an id has this id."""
    yield from expect.shows(story, "create", "/dataset_id", story.fact("first")["dataset_id"], "DATASET_ID_CHANGED")


@check("8.7.1.1", "dataset_change", "DATASET_ID_NOT_UNIQUE")
def generated_dataset_ids_differ(story: Story) -> Iterator[Finding]:
    """Two datasets registered without an id get two ids."""
    first, second = story.step("create"), story.step("create-second")
    if first.get("/dataset_id") == second.get("/dataset_id"):
        yield expect.finding(
            "DATASET_ID_NOT_UNIQUE",
            first,
            second,
            pointer="/dataset_id",
            expected="two ids",
            actual=first.get("/dataset_id"),
        )


@check("8.7.1.1", "dataset_own", "DATASET_ID_TAKEN_TWICE")
def a_dataset_id_is_registered_once(story: Story) -> Iterator[Finding]:
    """A registration under an id that is taken is refused."""
    yield from expect.refused(story, "create-taken", "DATASET_ID_TAKEN_TWICE", "ID_TAKEN", twin="create-second")


@check("8.7.1.1", "dataset_own", "DATASET_OVERWRITTEN")
def a_taken_id_keeps_its_dataset(story: Story) -> Iterator[Finding]:
    """What stands under an id stays as it was first registered."""
    yield from expect.unchanged(story, "query", "query-after", "DATASET_OVERWRITTEN")


@check("8.7.1.1", "dataset_own", "DATASET_SOURCE_LOST")
def the_source_is_kept_as_it_was_set(story: Story) -> Iterator[Finding]:
    """A query returns the source that was set."""
    yield from calls.answer(story, "query", {"/source": story.fact("first")["source"]}, "DATASET_SOURCE_LOST")


@check("8.7.1.1", "dataset_own", "DATASET_PERMISSIONS_LOST")
def the_permissions_are_kept_as_they_were_set(story: Story) -> Iterator[Finding]:
    """A query returns who may see the dataset as it was set."""
    code, first = "DATASET_PERMISSIONS_LOST", story.fact("first")
    yield from calls.answer(story, "query", {"/visibility": first["visibility"]}, code)


@check("8.7.1.1", "dataset_change", "DATASET_UPDATE_LOST")
def a_change_of_a_dataset_takes_effect(story: Story) -> Iterator[Finding]:
    """Source, permissions and size that are changed are found changed."""
    yield from expect.shows(story, "after", "/count", story.fact("count"), "DATASET_UPDATE_LOST")
    yield from expect.shows(story, "after", "/source", story.fact("source"), "DATASET_UPDATE_LOST")
    yield from expect.shows(story, "after", "/visibility", "PUBLIC", "DATASET_UPDATE_LOST")


@check("8.7.1.1", "dataset_change", "DATASET_UPDATE_SPREAD")
def a_change_touches_nothing_else(story: Story) -> Iterator[Finding]:
    """What a change does not name stays, in this dataset and in others."""
    for field in ("/name", "/category", "/join_columns", "/column_metas"):
        yield from expect.unchanged(story, "before", "after", "DATASET_UPDATE_SPREAD", field)
    before, other = story.step("before"), story.step("other-after")
    for field in ("/count", "/source", "/visibility"):
        if other.get(field) != before.get(field):
            yield expect.finding(
                "DATASET_UPDATE_SPREAD", other, pointer=field, expected=before.get(field), actual=other.get(field)
            )


@check("8.7.1.1", "dataset_change", "DATASET_REMOVED_STILL_FOUND")
def a_removed_dataset_is_not_found(story: Story) -> Iterator[Finding]:
    """A dataset that was removed is not found; another one is."""
    code = "DATASET_REMOVED_STILL_FOUND"
    if (yield from calls.done(story, "delete", code=code)):
        yield from expect.refused(story, "query-removed", code, "RESOURCE_NOT_FOUND", twin="query-kept")


@check("8.7.1.1", "dataset_change", "DATASET_OTHER_REMOVED")
def removing_a_dataset_spares_the_others(story: Story) -> Iterator[Finding]:
    """The removal of one dataset leaves the others."""
    yield from expect.unchanged(story, "after", "query-kept", "DATASET_OTHER_REMOVED")


# --- 8.7.1.2-b own list ---------------------------------------------------------------------------------------------


@check("8.7.1.2-b", "dataset_own", "DATASET_PROJECT_LIST_INCOMPLETE")
def the_own_list_has_every_dataset_of_the_project(story: Story) -> Iterator[Finding]:
    """Every dataset of a project is in its list, whoever may see it."""
    wanted = listing.named(story, "dataset_id", "first", "second", "third")
    yield from listing.holds(story, "list", wanted, "DATASET_PROJECT_LIST_INCOMPLETE")


@check("8.7.1.2-b", "dataset_own", "DATASET_OF_OTHER_PROJECT_LISTED")
def the_own_list_has_no_dataset_of_another_project(story: Story) -> Iterator[Finding]:
    """A dataset of another project is not in the list of this one."""
    yield from listing.lacks(
        story, "list", listing.named(story, "dataset_id", "other"), "DATASET_OF_OTHER_PROJECT_LISTED"
    )


@check("8.7.1.2-b", "dataset_own", "DATASET_OWN_TOTAL_WRONG")
def the_own_list_tells_its_total(story: Story) -> Iterator[Finding]:
    """The total of the own list counts what matches on all pages together."""
    yield from listing.totals(story, ("page-1", "page-2"), "list", "DATASET_OWN_TOTAL_WRONG")


@check("8.7.1.2-b", "dataset_own", "DATASET_OWN_PAGE_WRONG")
def the_own_list_of_datasets_is_cut_into_pages(story: Story) -> Iterator[Finding]:
    """The pages of the own list are as large as asked for, without overlap."""
    yield from listing.pages(story, ("page-1", "page-2"), ID, 2, "DATASET_OWN_PAGE_WRONG")


@check("8.7.1.2-b", "dataset_own", "DATASET_VISIBILITY_NOT_SELECTED")
def the_own_list_is_selected_by_visibility(story: Story) -> Iterator[Finding]:
    """With a visibility the list has the datasets of this visibility and no others."""
    code = "DATASET_VISIBILITY_NOT_SELECTED"
    yield from listing.lacks(story, "list-visible", listing.named(story, "dataset_id", "first", "third"), code)
    yield from listing.holds(story, "list-visible", listing.named(story, "dataset_id", "second"), code)


# --- 8.7.1.2-e own query --------------------------------------------------------------------------------------------


@check("8.7.1.2-e", "dataset_own", "DATASET_DETAIL_WRONG")
def the_own_query_returns_the_dataset_as_registered(story: Story) -> Iterator[Finding]:
    """The own query returns name, size and columns as they were registered."""
    fields = ("dataset_id", "name", "category", "count", "join_columns", "column_metas", "project_ids")
    wanted = {f"/{field}": story.fact("first")[field] for field in fields}
    yield from calls.answer(story, "query", wanted, "DATASET_DETAIL_WRONG")


@check("8.7.1.2-e", "dataset_own", "DATASET_UNKNOWN_ANSWERED")
def the_own_query_refuses_an_unknown_id(story: Story) -> Iterator[Finding]:
    """An id that names no dataset is refused."""
    code = "DATASET_UNKNOWN_ANSWERED"
    yield from expect.refused(story, "query-unknown", code, "RESOURCE_NOT_FOUND", twin="query")
