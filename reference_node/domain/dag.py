"""What a flow's DAG must satisfy beyond its schema (8.3.1).

- Component names are unique, and so are a component's output keys.
- An input whose key holds a dot is fed by another component: `<component name>.<output key>` must exist and carry a
  type that fits.
- An input whose key holds no dot is source data: a dataset, a training set, a test set or a model.
- No component depends on itself, directly or through others.

The first defect in document order is raised as `DagInvalid` with a JSON pointer into the request.

    >>> check({"version": "1", "components": [{"name": "a", "input": [], "output": [{"key": "x", "type": "dataset"}]}]})
    ('a',)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from reference_node.domain import RuleBroken

_TABULAR = frozenset({"dataset", "training_set", "test_set"})  # one table may play each of these parts
_SOURCES = _TABULAR | {"model"}  # reports and metrics are only ever produced

Component = Mapping[str, Any]


class DagInvalid(RuleBroken):
    """The DAG cannot run; `pointer` is the place in a request that carries it as `dag`."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__("DAG_INVALID", f"/dag{place}")
        self.why = why


def check(dag: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the component names in an order in which they can run, or raise DagInvalid."""
    components: Sequence[Component] = dag["components"]
    _check_names(components)
    outputs = _outputs(components)
    edges = {component["name"]: _feeders(index, component, outputs) for index, component in enumerate(components)}
    try:
        return tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        caught = set(error.args[1])
        first = next(index for index, component in enumerate(components) if component["name"] in caught)
        raise DagInvalid(f"/components/{first}", "the component depends on its own output") from None


def _check_names(components: Sequence[Component]) -> None:
    seen: set[str] = set()
    for index, component in enumerate(components):
        if component["name"] in seen:
            raise DagInvalid(f"/components/{index}/name", "the name is taken")
        seen.add(component["name"])


def _outputs(components: Sequence[Component]) -> dict[str, tuple[str, str]]:
    """Map every reference `<component>.<key>` to the component that produces it and the type."""
    found: dict[str, tuple[str, str]] = {}
    for index, component in enumerate(components):
        for number, port in enumerate(component["output"]):
            reference = f"{component['name']}.{port['key']}"
            if reference in found:
                raise DagInvalid(f"/components/{index}/output/{number}/key", "the output is named twice")
            found[reference] = (component["name"], port["type"])
    return found


def _feeders(index: int, component: Component, outputs: Mapping[str, tuple[str, str]]) -> list[str]:
    feeders = []
    for number, port in enumerate(component["input"]):
        place = f"/components/{index}/input/{number}"
        if "." not in port["key"]:
            if port["type"] not in _SOURCES:
                raise DagInvalid(f"{place}/type", "source data cannot be of this type")
            continue
        if port["key"] not in outputs:
            raise DagInvalid(f"{place}/key", "no component has this output")
        feeder, produced = outputs[port["key"]]
        if port["type"] != produced and not {port["type"], produced} <= _TABULAR:
            raise DagInvalid(f"{place}/type", "the output that feeds it is of another type")
        feeders.append(feeder)
    return feeders


def uses_component(dag: Mapping[str, Any], code: str, version: str) -> bool:
    """Whether the DAG names this component in this version."""
    return any((part["componentName"], part["version"]) == (code, version) for part in dag["components"])
