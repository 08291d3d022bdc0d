"""Tests of the reference node."""
