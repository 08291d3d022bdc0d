"""Suites, keys and request signing of the node (clauses 8.1.2, 9.2)."""
