"""Private set intersection: the alliance's open two-party protocol over elliptic curves (5.1, 9.4-b, A.1)."""
