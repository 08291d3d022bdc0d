"""Tests of the node's security layer."""
