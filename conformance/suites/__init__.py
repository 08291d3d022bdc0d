"""Scenarios: stories that the collector acts out against a target, one module per clause group. They hold no HTTP."""
