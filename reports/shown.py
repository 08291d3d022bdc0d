r"""What a target sent, made fit to be shown: no character of it steers a terminal, a page or a reader's eye.

They are the controls of ASCII and of ISO 6429, the separators of lines and paragraphs, and what turns the direction of
a text; each is shown as its escape. Tabs and line ends stay.

>>> print(shown("red\x1b[31m"))
red\u001b[31m
"""

from __future__ import annotations

import re
from typing import Final

from rich.markup import escape

_STEERING: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """Return a text with each such character as its escape; in JSON it is the same text still."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(text: str) -> str:
    """Return a text for a console of rich: no markup, nothing that steers."""
    return escape(shown(text))
