"""Tables of projects, flows, datasets, models and components, and the search that their lists share.

Ids are unique; `seq` rises with creation, so that lists have one order (newest first) and pages never overlap.
`folded` is the name without case, kept beside it for the fuzzy search of `domain.search`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Index, Select, String, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column, validates

from reference_node.domain.search import Match, Window, fold
from reference_node.store.base import Base
from reference_node.store.sealed import Protected, Sealed

UNSPECIFIED = "UNSPECIFIED"
PUBLIC, PROTECTED, PRIVATE = "PUBLIC", "PROTECTED", "PRIVATE"
BUILT_IN = "BUILT_IN"
_PARTNERS = "kept:partners"


class Named(Protected):
    """What the searchable tables have in common."""

    __abstract__ = True

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(128))
    folded: Mapped[str] = mapped_column(String(512))
    description: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)

    @validates("name")
    def _fold(self, _key: str, name: str) -> str:
        self.folded = fold(name)
        return name


class ProjectRow(Named):
    """A project of this node, or one of a partner's that this node takes part in."""

    __tablename__ = "projects"

    project_id: Mapped[str] = mapped_column(String(128), unique=True)
    owner_node_id: Mapped[str] = mapped_column(String(128), index=True)
    type: Mapped[str | None] = mapped_column(String(32))


class ProjectDatasetRow(Base):
    """That a node contributes a dataset to a project; the project need not be known here yet."""

    __tablename__ = "project_datasets"

    project_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    node_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    dataset_id: Mapped[str] = mapped_column(String(128), primary_key=True)

    __table_args__ = (Index("project_datasets_by_dataset", "node_id", "dataset_id"),)


class FlowRow(Named):
    """A flow of this node, or the copy of a partner's that this node has approved."""

    __tablename__ = "flows"

    flow_id: Mapped[str] = mapped_column(String(128), unique=True)
    project_id: Mapped[str] = mapped_column(String(128), index=True)
    owner_node_id: Mapped[str] = mapped_column(String(128))
    dag: Mapped[dict[str, Any]] = mapped_column(Sealed("flows.dag"))
    config: Mapped[dict[str, Any] | None] = mapped_column(Sealed("flows.config"))
    version: Mapped[int] = mapped_column(default=1)
    settled: Mapped[bool] = mapped_column(default=False)


class LastFlowIdRow(Base):
    """The last flow id that a node has made, so that none is made twice, deleted flows and restarts included."""

    __tablename__ = "last_flow_id"

    node_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    flow_id: Mapped[str] = mapped_column(String(128))


class DatasetRow(Named):
    """A dataset of this node."""

    __tablename__ = "datasets"

    dataset_id: Mapped[str] = mapped_column(String(128), unique=True)
    category: Mapped[str | None] = mapped_column(String(64))
    count: Mapped[int | None]
    join_columns: Mapped[str | None] = mapped_column(String(1024))
    label_columns: Mapped[str | None] = mapped_column(String(1024))
    column_metas: Mapped[list[dict[str, Any]] | None] = mapped_column(Sealed("datasets.column_metas"))
    source: Mapped[dict[str, Any] | None] = mapped_column(Sealed("datasets.source"))
    visibility: Mapped[str] = mapped_column(String(16), index=True)


class ModelRow(Named):
    """A model of this node."""

    __tablename__ = "models"

    model_id: Mapped[str] = mapped_column(String(128), unique=True)
    project_id: Mapped[str] = mapped_column(String(128), index=True)
    job_id: Mapped[str | None] = mapped_column(String(128))
    task_id: Mapped[str | None] = mapped_column(String(128))
    algorithm: Mapped[str] = mapped_column(String(128))
    location: Mapped[str] = mapped_column(Sealed("models.location"))
    digest: Mapped[str] = mapped_column(String(160))


class ComponentRow(Named):
    """A component by its self-description."""

    __tablename__ = "components"

    code: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(32))
    category: Mapped[str | None] = mapped_column(String(64))
    engine: Mapped[str] = mapped_column(String(64))
    developer: Mapped[str] = mapped_column(String(64))
    visibility: Mapped[str] = mapped_column(String(16))
    address: Mapped[str] = mapped_column(String(512))
    address_type: Mapped[str] = mapped_column(String(16))
    image_url: Mapped[str] = mapped_column(String(512))
    info: Mapped[dict[str, Any]] = mapped_column(Sealed("components.info"))
    status: Mapped[str] = mapped_column(String(32))

    __table_args__ = (Index("components_by_code", "code", "version", unique=True),)

    @property
    def described(self) -> dict[str, Any]:
        """The self-description as it was registered; what this node keeps beside it is left out."""
        return {name: value for name, value in self.info.items() if name != _PARTNERS}

    @property
    def partners(self) -> list[str]:
        """The nodes for which a PROTECTED component is there."""
        return list(self.info.get(_PARTNERS, ()))

    def protect(self, partners: Iterable[str]) -> None:
        """Write for which nodes it is there."""
        self.info = {**self.described, _PARTNERS: sorted(partners)}

    def open_to(self, node_id: str) -> bool:
        """Tell whether the component is there for a partner (9.2-b)."""
        return self.visibility == PUBLIC or (self.visibility == PROTECTED and node_id in self.partners)


def found_by(
    keyword: str | None,
    match: Match,
    id_column: InstrumentedAttribute[str],
    table: Any,
) -> ColumnElement[bool]:
    """Condition of `domain.search.matches` over the id and the name; `table` has `name` and `folded`."""
    if not keyword:
        return id_column.is_not(None)
    if match is Match.EXACT:
        return or_(id_column == keyword, table.name == keyword)
    wanted = fold(keyword)
    return or_(func.lower(id_column).contains(wanted, autoescape=True), table.folded.contains(wanted, autoescape=True))


def listing(session: Session, wanted: Select[Any], window: Window) -> tuple[list[Any], int]:
    """Cut a page from an ordered selection, and count all of it."""
    total = session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
    return list(session.scalars(wanted.offset(window.offset).limit(window.page_size))), total


def counts(session: Session, wanted: Select[Any], column: InstrumentedAttribute[Any]) -> dict[str, int]:
    """How many records of a selection have each value of a column."""
    chosen = wanted.order_by(None).with_only_columns(column).subquery()
    value = chosen.c[0]
    rows = session.execute(select(value, func.count()).select_from(chosen).group_by(value)).all()
    return {str(found) if found is not None else UNSPECIFIED: number for found, number in rows}
