"""Tests of the algorithms, over channels of one process."""
