"""Joint statistics on exact integers (5.2, 9.4-a)."""
