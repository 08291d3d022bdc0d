"""The suites that two nodes offer each other when they sign a contract, bound into what is signed (9.2-f).

The answer to nodeQuery is not signed, so whoever stands between two nodes could strip the preferred suite from it. Both
sides therefore repeat, in the application and in its confirmation, what they offer (`auth_types`) and what they were
offered (`seen_auth_types`); both requests are signed. Guarantees: an offer that arrived otherwise than it was made, and
a choice under the best that both sides have, are refused; a partner that tells neither is held to nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.security.errors import NoCommonSuite
from reference_node.security.suites import CERT, negotiate

OFFERED, SEEN = "auth_types", "seen_auth_types"


def told(node: Node, theirs: Sequence[str] | None) -> dict[str, Any]:
    """Return what an application or a confirmation tells of the offers of both sides."""
    found: dict[str, Any] = {OFFERED: list(node.config.auth_types), SEEN: None if theirs is None else list(theirs)}
    if node.faults.on("offer-not-signed"):
        del found[OFFERED]
    if node.faults.on("seen-offer-not-signed"):
        found[SEEN] = None
    return {name: value for name, value in found.items() if value is not None}


def check_application(node: Node, body: Mapping[str, Any]) -> None:
    """Refuse an application made on an offer that this node did not make, or under the best of both sides."""
    if _stripped(node, body) and not node.faults.on("stripped-offer-taken"):
        raise Refusal("SUITE_REFUSED", pointer=f"/{SEEN}")
    if _downgraded(node, body, body["auth_type"]) and not node.faults.on("downgraded-application-taken"):
        raise Refusal("SUITE_REFUSED", pointer="/auth_type")


def check_confirmation(node: Node, body: Mapping[str, Any], chosen: str) -> None:
    """Refuse a confirmation of another offer than this node made, or of a choice under the best of both sides."""
    if _stripped(node, body) and not node.faults.on("stripped-confirmation-taken"):
        raise Refusal("SUITE_REFUSED", pointer=f"/{SEEN}")
    if _downgraded(node, body, chosen) and not node.faults.on("downgraded-confirmation-taken"):
        raise Refusal("SUITE_REFUSED", pointer=f"/{OFFERED}")


def _stripped(node: Node, body: Mapping[str, Any]) -> bool:
    return SEEN in body and set(body[SEEN]) != set(node.config.auth_types)


def _downgraded(node: Node, body: Mapping[str, Any], chosen: str) -> bool:
    """Tell whether both sides have a better suite than the one that was chosen."""
    if OFFERED not in body or chosen == CERT:  # a certificate's suite is the CA's choice
        return False
    try:
        best = negotiate(node.config.auth_types, body[OFFERED]).auth_type
        return best != chosen or (best != node.config.auth_types[0] and node.faults.on("lesser-suite-refused"))
    except NoCommonSuite:
        return False
