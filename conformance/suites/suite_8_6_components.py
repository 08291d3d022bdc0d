"""Stories about components (8.6): registered, found from inside and outside, checked, taken away."""

from __future__ import annotations

from typing import Any

from conformance.harness.partner import raw, refusing, saying
from conformance.harness.registry import scenario
from conformance.harness.world import World
from conformance.suites.material import BATCH, CURVE, component, needed, own_component, service_address, turned_down

PAGE = 500


def _ref(body: dict[str, Any]) -> dict[str, Any]:
    info = body["component_info"]
    return {"code": info["componentName"], "version": info["version"]}


@scenario()
def test_component_registry(world: World) -> None:
    """The operator registers components, one of them in two versions, and finds them again (8.6.1, 8.6.2-c, -d)."""
    developer = world.fact("developer", world.id("dev"))
    code = world.id("psi")
    first = world.fact("first", component(code, "1.0.0", developer))
    second = world.fact("second", component(code, "2.0.0", developer, title="求交第二版", visibility="PRIVATE"))
    second |= {"engine": "second-engine", "address": "psi-second --serve", "address_type": "COMMAND"}
    third = world.fact("third", component(world.id("lr"), "1.0.0", developer, category="建模"))
    needed(world.own("register", "ownComponentRegister", first))
    needed(world.own("query", "ownComponentQuery", _ref(first)))
    needed(world.own("register-second", "ownComponentRegister", second))
    taken = {**second, "component_info": {**second["component_info"], "version": "1.0.0"}}
    again = world.own("register-taken", "ownComponentRegister", taken, breaks="code and version name a component once")
    world.own("query-after", "ownComponentQuery", _ref(first))
    turned_down(again)
    world.own("query-second", "ownComponentQuery", _ref(second))
    world.own("query-unknown", "ownComponentQuery", {"code": code, "version": "9.9.9"}, breaks="nobody registered it")
    world.own("register-third", "ownComponentRegister", third)
    mine = {"developer": developer}
    world.own("list", "ownComponentList", {**mine, "page_size": PAGE})
    for number in (1, 2):
        world.own(f"page-{number}", "ownComponentList", {**mine, "page_num": number, "page_size": 2})


@scenario()
def test_component_public(world: World) -> None:
    """A partner lists and queries what the target exposes, and does not see the rest (8.6.2-a, 8.6.2-b)."""
    partner = world.signed_partner()
    developer = world.fact("developer", world.id("dev"))
    code = world.id("psi")
    first = world.fact("first", component(code, "1.0.0", developer))
    second = world.fact("second", component(code, "2.0.0", developer, title="求交第二版", engine="second-engine"))
    second |= {"address": f"registry.example/{code}", "address_type": "IMAGE"}
    hidden = world.fact("hidden", component(world.id("secret"), "1.0.0", developer, visibility="PRIVATE"))
    hidden["component_info"]["title"] = world.fact("hidden-title", f"内部组件 {world.id('title')}")
    asked = {"contract_id": partner.contract_id}
    own_component(world, "register", first)
    world.call("query", partner, "componentQuery", {**asked, **_ref(first)})
    own_component(world, "register-second", second)
    own_component(world, "register-hidden", hidden)
    mine = {**asked, "developer": developer}
    world.call("list", partner, "componentList", {**mine, "page_size": PAGE})
    for number in (1, 2):
        world.call(f"page-{number}", partner, "componentList", {**mine, "page_num": number, "page_size": 1})
    world.call("query-second", partner, "componentQuery", {**asked, **_ref(second)})
    world.call("query-hidden", partner, "componentQuery", {**asked, **_ref(hidden)}, breaks="it is not exposed")
    nobody = {"code": world.id("nobody"), "version": "1.0.0"}
    world.call("query-unknown", partner, "componentQuery", {**asked, **nobody}, breaks="nobody registered it")


@scenario()
def test_component_partner(world: World) -> None:
    """The target asks a partner for its components and passes on what it answers (8.6.2-a, 8.6.2-b)."""
    partner = world.signed_partner()
    code = world.id("theirs")
    summary = {"code": code, "version": "3.1.4", "name": "合作方组件", "category": "求交", "engine": "their-engine"}
    summary |= {"developer": "their-developer"}
    listed = {"records": [summary], "total": 7}
    statistics = {"by_category": {"求交": 7}, "by_engine": {"their-engine": 7}}
    detail = {
        **summary,
        "status": "AVAILABLE",
        "inputs": [{"name": "left", "category": "dataset", "dataFormat": ["csv"]}],
        "outputs": [{"name": "right", "category": "dataset", "dataFormat": ["csv"]}],
        "address": "their-command --now",
        "address_type": "COMMAND",
    }
    world.fact("summary", summary)
    world.fact("detail", detail)
    world.answers(partner, "componentList", saying({**listed, "statistics": statistics}))
    world.answers(partner, "componentQuery", saying(detail))
    asked = {"contract_id": world.fact("contract", partner.contract_id)}
    world.own("list", "ownPartnerComponentList", {**asked, "developer": "their-developer"})
    world.awaited("asked-list", partner, "componentList", asked)
    ref = {"code": code, "version": "3.1.4"}
    world.own("query", "ownPartnerComponentQuery", {**asked, **ref})
    world.awaited("asked-query", partner, "componentQuery", ref)
    world.answers(partner, "componentQuery", refusing(404, "RESOURCE_NOT_FOUND", 40401))
    world.own("query-refused", "ownPartnerComponentQuery", {**asked, **ref}, breaks="the partner refuses")


@scenario()
def test_component_validate(world: World) -> None:
    """Parameters are held against the self-description of the version that is named (8.6.3-a)."""
    developer, code = world.id("dev"), world.id("psi")
    rate = {"name": "rate", "title": "比例", "type": "float", "optional": True, "validator": "[0,1]"}
    names = {"name": "names", "title": "名称", "type": "array", "optional": True}
    wide = {**BATCH, "validator": "[1,100000]"}
    first = component(code, "1.0.0", developer, params=[CURVE, BATCH, rate, names])
    second = component(code, "2.0.0", developer, params=[CURVE, wide])
    own_component(world, "register", first)
    own_component(world, "register-second", second)
    cases: dict[str, dict[str, Any]] = {
        "full": {"curve": "sm2", "batch": 64, "rate": 0.5, "names": ["uscc"]},
        "least": {"batch": 64},
        "lowest": {"batch": 1},
        "highest": {"batch": 65536},
        "missing": {"curve": "sm2"},
        "ill-typed": {"batch": "64"},
        "truth-for-number": {"batch": True},
        "too-low": {"batch": 0},
        "too-high": {"batch": 65537},
        "not-of-the-choice": {"batch": 64, "curve": "p521"},
        "unknown": {"batch": 64, "colour": "red"},
        "two-wrong": {"batch": 0, "rate": 2},
    }
    for step, params in cases.items():
        world.own(step, "ownComponentValidate", {"code": code, "version": "1.0.0", "params": params})
    other = {"code": code, "version": "2.0.0", "params": {"batch": 70000}}
    world.own("other-version", "ownComponentValidate", other)
    nobody = {"code": code, "version": "9.9.9", "params": {"batch": 64}}
    world.own("no-such-component", "ownComponentValidate", nobody, breaks="nobody registered it")


@scenario()
def test_component_health(world: World) -> None:
    """The service of a component answers, breaks and recovers; another's was never there (8.6.3-b)."""
    service = world.partner("service")
    developer, code = world.id("dev"), world.id("psi")
    address = service_address(world, service)
    served = component(code, "1.0.0", developer, address=address)
    command = world.id("no-such-command")
    absent = component(code, "2.0.0", developer, address=command, address_type="COMMAND")
    own_component(world, "register", served)
    own_component(world, "register-absent", absent)
    world.fact("asked-at", world.now_ms())
    world.own("well", "ownComponentHealth", _ref(served))
    world.answers(service, "nodeQuery", raw(503, b""))
    world.own("broken", "ownComponentHealth", _ref(served))
    world.answers(service, "nodeQuery", saying({}))
    world.own("well-again", "ownComponentHealth", _ref(served))
    world.fact("answered-at", world.now_ms())
    world.own("absent", "ownComponentHealth", _ref(absent))
    nobody = {"code": code, "version": "9.9.9"}
    world.own("no-such-component", "ownComponentHealth", nobody, breaks="nobody registered it")


@scenario()
def test_component_deregister(world: World) -> None:
    """A version of a component is taken away; nobody finds it any more, the other version stays (8.6.4)."""
    partner = world.signed_partner()
    developer, code = world.id("dev"), world.id("psi")
    first = world.fact("first", component(code, "1.0.0", developer))
    second = world.fact("second", component(code, "2.0.0", developer))
    own_component(world, "register", first)
    own_component(world, "register-second", second)
    asked = {"contract_id": partner.contract_id}
    world.own("second-before", "ownComponentQuery", _ref(second))
    world.call("partner-second-before", partner, "componentQuery", {**asked, **_ref(second)})
    needed(world.own("deregister", "ownComponentDeregister", _ref(first)))
    world.own("query-gone", "ownComponentQuery", _ref(first), breaks="it was deregistered")
    world.call("partner-query-gone", partner, "componentQuery", {**asked, **_ref(first)}, breaks="it was deregistered")
    world.own("list", "ownComponentList", {"developer": developer, "page_size": PAGE})
    world.call("partner-list", partner, "componentList", {**asked, "developer": developer, "page_size": PAGE})
    world.own("second-after", "ownComponentQuery", _ref(second))
    world.call("partner-second-after", partner, "componentQuery", {**asked, **_ref(second)})
    world.own("deregister-again", "ownComponentDeregister", _ref(first), breaks="it was deregistered")
