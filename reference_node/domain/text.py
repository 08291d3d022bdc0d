r"""Characters that steer whoever shows a text instead of being shown: none is taken, and none is shown as it is.

They are the controls of ASCII and of ISO 6429 (NUL, escape, delete, C1), the separators of lines and paragraphs, and
the marks, embeddings, overrides and isolates by which the direction of a text is turned. Tabs and line ends belong to a
text of several lines; a name has none of them either, which the interface documents say.

>>> hidden({"a": [{"b": "x\u202ey"}]})
'/a/0/b'
>>> print(shown("x\u202ey"))
x\u202ey
"""

from __future__ import annotations

import re
from typing import Any, Final

_STEERING: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def steers(text: str) -> bool:
    """Tell whether a text has such a character."""
    return _STEERING.search(text) is not None


def shown(text: str) -> str:
    """Return a text with each such character as its escape, so that it can be read and does nothing."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown_within(value: Any) -> Any:
    """Return a JSON value with every text of it, names of objects included, so that it does nothing."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(name): shown_within(inside) for name, inside in value.items()}
    return [shown_within(inside) for inside in value] if isinstance(value, list) else value


def hidden(value: Any) -> str | None:
    """Return the JSON pointer to the first text of a JSON value that has one, a name of an object included."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, str):
            if steers(item):
                return place
        elif isinstance(item, dict):
            below = [(f"{place}/{_escaped(name)}", name, inside) for name, inside in item.items()]
            for at, name, _inside in below:
                if steers(name):
                    return shown(at)
            waiting += [(at, inside) for at, _name, inside in reversed(below)]
        elif isinstance(item, list):
            waiting += [(f"{place}/{at}", inside) for at, inside in reversed(list(enumerate(item)))]
    return None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
