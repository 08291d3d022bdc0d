"""Lists as all protocols answer them: searched, counted over all pages, cut into pages (8.2.2, 8.3.2, 8.6.2, 8.7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from reference_node.domain.search import Match, Window, fold
from reference_node.node import Node
from reference_node.store.resources import found_by, listing

Query = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """A kind of list; `what` begins the names of its faults."""

    what: str

    def found(self, node: Node, query: Query, column: InstrumentedAttribute[str], table: Any) -> ColumnElement[bool]:
        """Condition of the keyword in the request."""
        match = Match(query["match"])
        if match is Match.FUZZY and node.faults.on(f"{self.what}-fuzzy-search-is-exact"):
            match = Match.EXACT
        elif match is Match.EXACT and node.faults.on(f"{self.what}-exact-search-is-fuzzy"):
            match = Match.FUZZY
        keyword = query.get("keyword")
        if keyword and node.faults.on(f"{self.what}-search-misses-ids"):
            column = table.name
        if keyword and match is Match.FUZZY and node.faults.on(f"{self.what}-search-minds-case"):
            return func.instr(table.name, keyword) > 0
        if keyword and match is Match.FUZZY and node.faults.on(f"{self.what}-search-takes-wildcards"):
            return or_(column.ilike(f"%{keyword}%"), table.folded.like(f"%{fold(keyword)}%"))
        return found_by(keyword, match, column, table)

    def answer(
        self,
        node: Node,
        session: Session,
        query: Query,
        wanted: Select[Any],
        to_json: Callable[[Any], dict[str, Any]],
        after: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """One page of an ordered selection and of what comes after it, and the total of all pages."""
        number, size = query["page_num"], query["page_size"]
        if number > 1 and node.faults.on(f"{self.what}-pages-repeat"):
            number -= 1
        if node.faults.on(f"{self.what}-page-size-ignored"):
            size = 500
        if node.faults.on(f"{self.what}-list-oldest-first"):
            wanted = wanted.order_by(None)
        window = Window(number, size)
        rows, total = listing(session, wanted, window)
        rows += after[max(0, window.offset - total) : max(0, window.offset + size - total)]
        total += len(after)
        if node.faults.on(f"{self.what}-total-counts-the-page"):
            total = len(rows)
        return {"records": [to_json(row) for row in rows], "total": total}


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not set: optional fields are absent, never null."""
    return {name: value for name, value in fields.items() if value is not None}
