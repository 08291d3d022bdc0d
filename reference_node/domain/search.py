"""Search and paging as every list of the API means them (8.2.2, 8.3.2, 8.6.2, 8.7.1.2, 8.7.2.1).

- fuzzy: the keyword is contained in the id or the name, in any case; exact: it equals the id or the name.
  No keyword matches all.
- Pages are cut from one total order, so they neither overlap nor leave gaps; `total` counts all pages.

The store carries this out in SQL over folded columns; these functions say what it means and are what the store is
tested against.

    >>> matches("psi", Match.FUZZY, "p-1", "PSI 求交")
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Match(StrEnum):
    """How a keyword is compared."""

    FUZZY = "fuzzy"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Window:
    """A page: its number from 1 and its size."""

    page_num: int = 1
    page_size: int = 20

    @property
    def offset(self) -> int:
        """Records before this page."""
        return (self.page_num - 1) * self.page_size


def fold(text: str) -> str:
    """Form in which case does not matter."""
    return text.casefold()


def matches(keyword: str, mode: Match, *fields: str) -> bool:
    """Whether a record with these searchable fields is found."""
    if not keyword:
        return True
    if mode is Match.EXACT:
        return keyword in fields
    return any(fold(keyword) in fold(field) for field in fields)


def page(found: Sequence[T], window: Window) -> Sequence[T]:
    """Cut a page from everything found."""
    return found[window.offset : window.offset + window.page_size]
