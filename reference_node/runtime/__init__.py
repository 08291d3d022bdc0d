"""Runs components: each part of a task in a process of its own, under the standard's environment contract (5.3, 8.5).

contract     what the schedule asks of whatever runs components: `Runner`, `Work`, `Exit`
"""
