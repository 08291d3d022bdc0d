"""Headers that leave open what is meant: sent twice, or spelled so that another one is overridden (9.1-b, 9.2-g).

Servers fold headers before an application sees them: of two with one name the last one wins, or both are joined, and
WSGI gives `x_nonce` and `x-nonce` one name. What was signed and what is read could then be two things. Guarantees:
`repeated` is a pure function of the names as they came, to be asked before anything is folded.

>>> repeated([("x-nonce", "a"), ("X-Nonce", "b")])
'x-nonce'
>>> repeated([("x_nonce", "a")])
'x_nonce'
>>> repeated([("accept", "a"), ("accept", "b"), ("x-nonce", "c")]) is None
True

"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from reference_node.errors import Refusal
from reference_node.faults import Faults

ENVIRON: Final = "hutong.repeated_header"  # where the server tells the application of one; no request can set it
AUTHORIZATION: Final = "authorization"
# what HTTP defines as lists: each of these may be sent in several parts
LISTS: Final = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "cookie",
        "expect",
        "forwarded",
        "if-match",
        "if-none-match",
        "keep-alive",
        "pragma",
        "te",
        "trailer",
        "upgrade",
        "via",
        "warning",
        "x-forwarded-for",
    }
)


def repeated(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return the name, in lower case, of the first header that may not stand there as it does, None where all may.

    That is one which stands twice and is no list, whatever its values, or one with an underscore in its name.
    """
    seen: set[str] = set()
    for name, _value in headers:
        lowered = name.lower()
        if "_" in lowered or (lowered in seen and lowered not in LISTS):
            return lowered
        seen.add(lowered)
    return None


def refuse(found: str | None, faults: Faults) -> None:
    """Refuse a request in which `repeated` has found this."""
    if found is None:
        return
    if "_" in found:
        fault = "underscore-header-overrides"
    else:
        fault = "doubled-authorization-accepted" if found == AUTHORIZATION else "last-of-doubled-headers-wins"
    if not faults.on(fault):
        raise Refusal("HEADER_REPEATED", pointer=found)
