"""The isolation gap (9.2-h): two nodes that share no socket, signed files in a spool, and the relay between them.

`link` and `inlet` are the node's two ends; `relay` is a program of its own. What both keep to is `files`, and
`specs/protocols/isolation-gap.md` for those who build another end.
"""
