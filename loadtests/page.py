"""The load report as one HTML file with charts drawn in SVG: loads nothing, runs nothing, speaks both languages.

Guarantees: what the target sent is shown as text and never as markup; a campaign that sent nothing has a page too.
"""

from __future__ import annotations

from reports.html import page
from reports.load import Load


def render(load: Load) -> str:
    """Return the page."""
    return page("loadpage.html.j2", load=load)
