"""Projects of the node's own: created, searched, read, changed and deleted by its operator (8.2.1-a to 8.2.4-a)."""

from __future__ import annotations

from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites import drafts


@scenario()
def test_project_birth(world: World) -> None:
    """The operator creates projects with and without an id, and tries a taken id and an unknown type (8.2.1-a)."""
    first = drafts.project(world, "prj-birth")
    world.own("create", "ownProjectCreate", first).at("/project_id")
    world.own("query", "ownProjectQuery", {"project_id": first["project_id"]})
    world.own("taken", "ownProjectCreate", {**first, "name": "另一个项目"}, breaks="the project id is taken")
    world.own("query-after-taken", "ownProjectQuery", {"project_id": first["project_id"]})
    second = {**first, "project_id": world.id("prj-second"), "type": "PSI"}
    world.own("create-second", "ownProjectCreate", second)
    third = {**second, "project_id": world.id("prj-third"), "type": "TYPE_UNHEARD_OF"}
    world.own("unknown-type", "ownProjectCreate", third, breaks="the type is not one of the interface's")
    nameless = {name: value for name, value in first.items() if name != "project_id"}
    made = world.own("create-without-id", "ownProjectCreate", nameless)
    again = world.own("create-without-id-again", "ownProjectCreate", nameless)
    world.own("query-generated", "ownProjectQuery", {"project_id": made.at("/project_id")})
    world.own("query-generated-again", "ownProjectQuery", {"project_id": again.at("/project_id")})
    unknown = {"project_id": world.id("prj-never-made")}
    world.own("query-unknown", "ownProjectQuery", unknown, breaks="there is no project with this id")


@scenario()
def test_project_change(world: World) -> None:
    """The operator changes one of two projects, field by field, and one that does not exist (8.2.3-a)."""
    first, other = drafts.project(world, "prj-change"), drafts.project(world, "prj-bystander", type="MPC")
    key, other_key = {"project_id": first["project_id"]}, {"project_id": other["project_id"]}
    world.own("create", "ownProjectCreate", first).at("/project_id")
    world.own("create-other", "ownProjectCreate", other).at("/project_id")
    world.own("query", "ownProjectQuery", key)
    world.own("query-other", "ownProjectQuery", other_key)
    world.own("rename", "ownProjectUpdate", {**key, "name": f"排放监测（二期） {first['project_id']}"})
    world.own("query-renamed", "ownProjectQuery", key)
    world.own("retype", "ownProjectUpdate", {**key, "type": "PSI", "description": ""})
    world.own("query-retyped", "ownProjectQuery", key)
    world.own("query-other-after", "ownProjectQuery", other_key)
    unknown = {"project_id": world.id("prj-never-made"), "name": "不存在的项目"}
    world.own("rename-unknown", "ownProjectUpdate", unknown, breaks="there is no project with this id")
    world.own("query-unknown", "ownProjectQuery", {"project_id": unknown["project_id"]}, breaks="there is no such id")


@scenario()
def test_project_end(world: World) -> None:
    """The operator deletes one of two projects, and once more (8.2.4-a)."""
    first, other = drafts.project(world, "prj-end"), drafts.project(world, "prj-bystander")
    key, mine = {"project_id": first["project_id"]}, {"keyword": drafts.tag(world), "page_size": 50}
    world.own("create", "ownProjectCreate", first).at("/project_id")
    world.own("create-other", "ownProjectCreate", other).at("/project_id")
    world.own("query", "ownProjectQuery", key)
    world.own("list", "ownProjectList", mine)
    world.own("delete", "ownProjectDelete", key)
    world.own("query-deleted", "ownProjectQuery", key, breaks="the project has been deleted")
    world.own("list-after", "ownProjectList", mine)
    world.own("query-other", "ownProjectQuery", {"project_id": other["project_id"]})
    world.own("delete-again", "ownProjectDelete", key, breaks="the project has been deleted")


@scenario()
def test_project_search(world: World) -> None:
    """The operator searches projects in part and in full, in any case, by type and page by page (8.2.2-a)."""
    tag = drafts.tag(world)
    names = {
        "prj-a": (f"Grid_Load {tag}", "PSI"),
        "prj-b": (f"Grid_Load {tag} North", "PSI"),
        "prj-c": (f"GridXLoad {tag}", "MPC"),
        "prj-d": (f"碳能耗监测 {tag}", "MPC"),
        "prj-e": (f"企业排放监测 {tag}", "PSI"),
    }
    for slug, (name, kind) in names.items():
        body = {"project_id": world.id(slug), "name": name, "type": kind}
        world.own(f"create-{slug}", "ownProjectCreate", body).at("/project_id")
        world.elapse(0.01)  # "newest first" needs creations that differ in time
    searches = {
        "all": {"keyword": tag},
        "part": {"keyword": f"Load {tag} No"},
        "chinese-part": {"keyword": f"监测 {tag}"},
        "other-case": {"keyword": f"lOAD {tag.upper()} nORTH"},
        "wildcard": {"keyword": f"Grid_Load {tag}", "match": "fuzzy"},
        "percent": {"keyword": f"Grid%{tag}"},
        "exact": {"keyword": f"Grid_Load {tag}", "match": "exact"},
        "exact-part": {"keyword": f"Load {tag}", "match": "exact"},
        "by-id": {"keyword": world.id("prj-d"), "match": "exact"},
        "none": {"keyword": f"{tag}-no-such-project"},
        "typed": {"keyword": tag, "type": "MPC"},
    }
    for step, asked in searches.items():
        world.own(step, "ownProjectList", asked)
    for number in (1, 2, 3, 4):
        world.own(f"page-{number}", "ownProjectList", {"keyword": tag, "page_num": number, "page_size": 2})
