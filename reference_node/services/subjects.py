"""The five kinds of approval, gathered: what the operations and the chores of all kinds run over."""

from __future__ import annotations

from collections.abc import Mapping

from reference_node.domain.approval import Kind
from reference_node.node import Node
from reference_node.services import own_approvals
from reference_node.services.approvals import Subject
from reference_node.services.flows import FlowSubject
from reference_node.services.grants import DatasetSubject
from reference_node.services.job_approvals import JobSubject
from reference_node.services.models import ModelSubject
from reference_node.services.shared_projects import ProjectSubject

SUBJECTS: Mapping[Kind, Subject] = {
    Kind.PROJECT: ProjectSubject(),
    Kind.FLOW: FlowSubject(),
    Kind.DATASET: DatasetSubject(),
    Kind.MODEL: ModelSubject(),
    Kind.JOB: JobSubject(),
}


def poll_approvals(node: Node) -> None:
    """Ask for the fate of own applications of every kind that have been pending for a while."""
    for subject in SUBJECTS.values():
        own_approvals.poll(node, subject)
