"""The engine: it drives a target, plays its partners, records every exchange and judges the recording.

The engine knows no clause of the standard; clauses live in `specs` and in `conformance.checks`.
"""
