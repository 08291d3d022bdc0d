"""An operator's hands: what `hutong job` does at nodes, over their interface only, as any operator's client would.

Nothing here reaches into a node; it reads a job file, starts nodes as processes where the file says so, has contracts,
projects and flows agreed, grants data, and follows a job to its end.
"""
