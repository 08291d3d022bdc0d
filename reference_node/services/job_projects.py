"""In which project a partner's job runs: in that of the flow, or the job, that was approved (9.2-b-2).

Permits of datasets and agreements to models are judged by it. Guarantees: what a job says of its project counts only
where it repeats what was approved; a job that says nothing runs in the approved one.
"""

from __future__ import annotations

from reference_node.errors import Refusal
from reference_node.node import Node
from reference_node.schedule.common import defect
from reference_node.store.approvals import ApprovalRow
from reference_node.store.jobs import JobRow


def settle(node: Node, job: JobRow, approval: ApprovalRow) -> None:
    """Give a job the project in which it was approved; refuse one that names another."""
    agreed = approval.content.get("project_id")
    if job.project_id in (None, agreed):
        job.project_id = agreed
    elif not defect(node, "project-of-job-not-compared"):
        raise Refusal("CONFIG_NOT_APPROVED", pointer="/project_id")
