"""Additive sharing of integers among two or more parties (5.2, 9.4-a)."""
