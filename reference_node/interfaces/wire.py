"""JSON and envelopes: what comes in is read strictly, what goes out is one of two shapes.

Guarantees: a body is one JSON object in UTF-8, without repeated keys, NaN, infinities, lone surrogates or more than 64
levels, else BODY_NOT_JSON; every answer is an envelope; words are Chinese unless the caller prefers English.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import specs
from reference_node.errors import Refusal
from reference_node.faults import Faults
from reference_node.interfaces import leniency

DEPTH_LIMIT: Final = 64
_EXACT: Final = 2**53


class _TooGreat(ValueError):
    """A number is beyond what is read."""


class _Ambiguous(ValueError):
    """Two readers could read a body differently."""


def read_object(body: bytes, *, faults: Faults | None = None) -> dict[str, Any]:
    """Return the JSON object that a body holds."""
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant, parse_float=_float
        )
        _check(value)
    except (ValueError, RecursionError) as failure:
        value = _read_all_the_same(body, failure, faults)
    if not isinstance(value, dict):
        raise Refusal("BODY_NOT_JSON", pointer="")
    return value


def _read_all_the_same(body: bytes, failure: Exception, faults: Faults | None) -> Any:
    """Return what a fault reads in a body that is refused, else refuse it."""
    if faults is not None:
        if isinstance(failure, _Ambiguous) and faults.on("ambiguous-body-taken"):
            return json.loads(body)
        if isinstance(failure, _TooGreat) and faults.on("huge-number-clamped"):
            return leniency.bounded(body)
        if isinstance(failure, RecursionError) and b'"more"' in body and faults.on("deep-body-cut-off"):
            return leniency.shallow(body)
    raise Refusal("BODY_NOT_JSON") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Ambiguous("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float | int:
    """Read a number; one without a fractional part is an integer, as JSON Schema has it."""
    number = float(text)
    if not math.isfinite(number):
        raise _TooGreat("a number is out of range")
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


def _check(value: Any) -> None:
    """Refuse what is too deep, and text that no encoding can carry."""
    level = [value]
    for _ in range(DEPTH_LIMIT):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                item.encode("utf-8")
        if not below:
            return
        level = below
    raise ValueError("nested too deep")


def write(envelope: dict[str, Any]) -> bytes:
    """Return an envelope as the bytes that are sent."""
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def language(accept: str | None) -> str:
    """Return zh or en, whichever an Accept-Language header prefers; zh where it has no preference."""
    best, weight = "zh", 0.0
    for part in (accept or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        short = tag.strip().lower().partition("-")[0]
        value = parameter.strip().removeprefix("q=")
        try:
            quality = float(value) if value else 1.0
        except ValueError:
            continue
        if short in ("zh", "en") and quality > weight:
            best, weight = short, quality
    return best


def refusal_envelope(refusal: Refusal, accept: str | None) -> dict[str, Any]:
    """Return the error envelope of a refusal."""
    words = language(accept)
    data: dict[str, Any] = {"error": refusal.name, "hint": getattr(refusal.code.hint, words)}
    if refusal.name == "PARTNER_UNREACHABLE" and refusal.extra.get("reason"):
        data["hint"] += f"（{refusal.extra['reason']}）" if words == "zh" else f" ({refusal.extra['reason']})"
    if refusal.pointer is not None:
        data["pointer"] = refusal.pointer
    return {"code": refusal.code.code, "msg": getattr(refusal.code.msg, words), "data": data | refusal.extra}


def names() -> frozenset[str]:
    """Return every name of the error catalogue."""
    return frozenset(specs.errors())
