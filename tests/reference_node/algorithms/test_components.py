"""Self-descriptions are true: valid as component information, in step with the code, with a stated security."""

from __future__ import annotations

import tempfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from reference_node.algorithms import ALGORITHMS, COMPONENTS
from reference_node.algorithms.errors import AlgorithmFailure
from reference_node.algorithms.psi.intersection import IntersectionParams
from reference_node.algorithms.statistics.component import StatisticsParams
from reference_node.domain import params
from reference_node.proto import generate

OPENAPI = COMPONENTS.parent / "openapi"
PARAMS: dict[str, type[Any]] = {"intersection": IntersectionParams, "statistics": StatisticsParams}
LEAST = {
    "intersection": {"id": "user"},
    "statistics": {"columns": ["x"]},
}


def component_info() -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a self-description."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": "https://specs.invalid/component.yaml#/components/schemas/ComponentInfo"},
        retriever=lambda uri: yaml.safe_load(
            (OPENAPI / uri.removeprefix("https://specs.invalid/")).read_text(encoding="utf-8")
        ),
    )


def test_every_description_belongs_to_an_algorithm() -> None:
    """The folder of self-descriptions and the registry name the same components."""
    assert {path.stem for path in COMPONENTS.glob("*.json")} >= set(ALGORITHMS)
    assert set(ALGORITHMS) == set(PARAMS)


@pytest.mark.parametrize("code", sorted(PARAMS))
def test_description_is_valid_component_information(code: str) -> None:
    """A self-description can be registered as it is, and its parameters' validators can be read."""
    described = ALGORITHMS[code].description
    assert described["componentName"] == code
    assert list(component_info().iter_errors(described)) == []
    for parameter in described["inputParam"]:
        if "validator" in parameter:
            assert callable(params.validator(parameter["validator"]))


@pytest.mark.parametrize("code", sorted(PARAMS))
def test_description_names_the_parameters_of_the_code(code: str) -> None:
    """Names, order, what is optional and the defaults are those of the code."""
    described = ALGORITHMS[code].description["inputParam"]
    declared = fields(PARAMS[code])
    assert [parameter["name"] for parameter in described] == [field.name for field in declared]
    assert [parameter["optional"] for parameter in described] == [field.default is not MISSING for field in declared]
    defaults = {row["name"]: row["defaultValue"] for row in described if row.get("defaultValue")}
    assert ALGORITHMS[code].parse(LEAST[code]) == ALGORITHMS[code].parse(LEAST[code] | defaults)


@pytest.mark.parametrize("code", sorted(PARAMS))
def test_description_states_its_security(code: str) -> None:
    """Model, both kinds of bits and the leakage in both languages are stated, and reach what the standard asks."""
    security = ALGORITHMS[code].description["security"]
    assert security["model"] == "semi-honest"
    assert security["computational_bits"] >= 128
    assert security["statistical_bits"] >= 40
    for words in (security["leakage"], security["assumptions"]):
        assert set(words) == {"zh", "en"}
        assert all(len(text) > 20 for text in words.values())


def test_every_failure_names_itself_and_a_hint() -> None:
    """Each class of failure has a name of its own in capitals and tells what to do."""

    def below(kind: type[AlgorithmFailure]) -> list[type[AlgorithmFailure]]:
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in below(child))]

    names = [kind.name for kind in below(AlgorithmFailure)]
    assert len(set(names)) == len(names) > 10
    assert all(name.isupper() for name in names)
    assert all(kind.default_hint for kind in below(AlgorithmFailure))


def test_generated_messages_are_those_of_their_sources() -> None:
    """Generating again from specs/proto gives the committed modules, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        made = generate.generate(Path(folder))
        assert len(made) >= 12
        for path in made:
            assert path.read_bytes() == (generate.HERE / path.name).read_bytes(), path.name
