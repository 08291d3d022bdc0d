"""The security statement of an algorithm: what its self-description says under `security` (9.2-c-2).

    {"model": "semi-honest", "computational_bits": 128, "statistical_bits": 40, "leakage": {"zh": "...", "en": "..."}}

Guarantees: a statement that is absent, incomplete or below the standard's least has a problem that is named with its
place; what is demanded of a component is met by its statement or named the same way.

>>> problem({"model": "semi-honest", "computational_bits": 80, "statistical_bits": 40, "leakage": "sizes"})
Problem(pointer='/security/computational_bits', reason='80 bits are claimed, 112 are demanded')
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reference_node.domain.params import Problem

COMPUTATIONAL, STATISTICAL = "computational_bits", "statistical_bits"
# 9.2-c-2; the semi-honest model is the least that is demanded, the others are stronger
LEAST: Final[Mapping[str, int]] = {COMPUTATIONAL: 112, STATISTICAL: 30}
MODELS: Final = ("semi-honest", "covert", "malicious")


def problem(stated: object, demanded: Mapping[str, Any] | None = None) -> Problem | None:
    """Return what is wrong with a statement, None where it is whole and as strong as is demanded."""
    if not isinstance(stated, Mapping):
        return Problem("/security", "the component states nothing of its security")
    model, wanted = stated.get("model"), (demanded or {}).get("model", MODELS[0])
    if model not in MODELS or wanted not in MODELS or MODELS.index(model) < MODELS.index(wanted):
        return Problem("/security/model", f"the model is {model!r:.40}, {wanted!r:.40} is demanded")
    for name, least in LEAST.items():
        bits, asked = stated.get(name), (demanded or {}).get(name, least)
        if not isinstance(bits, int) or isinstance(bits, bool) or bits < max(asked, least):
            return Problem(f"/security/{name}", f"{bits} bits are claimed, {max(asked, least)} are demanded")
    if not stated.get("leakage"):
        return Problem("/security/leakage", "the component does not say what it leaks")
    return None


def weak_demand(demanded: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with a demand that a job makes: less than the standard's least is no demand at all."""
    for name, least in LEAST.items():
        if demanded.get(name, least) < least:
            return Problem(f"/security/{name}", f"{demanded[name]} bits are offered, {least} are demanded")
    return None
