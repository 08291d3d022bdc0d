"""Sets of fixed-length values as arrays: distinct ones, a secret order, and which of them the other side has too.

Values are compared by 128 bits (or by all they have, if that is less): among n and m values a false match has a chance
of n m / 2^128, under 2^-40 for any two sets that fit a machine. Memory is some 60 bytes a value and no Python objects.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Words = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
_COMPARED: Final = 16


def words(values: bytes, size: int) -> Words:
    """Return the last 16 bytes of each value (zeros in front of a shorter one) as two arrays of 64-bit words."""
    table = np.frombuffer(values, np.uint8).reshape(-1, size)
    kept = min(size, _COMPARED)
    padded = np.zeros((len(table), _COMPARED), np.uint8)
    padded[:, _COMPARED - kept :] = table[:, size - kept :]
    both = padded.view(">u8").astype(np.uint64)
    return both[:, 0], both[:, 1]


def distinct(values: bytes, size: int) -> tuple[Indices, Indices]:
    """Return the row of each distinct value's first appearance, ascending, and for every row the place of its value.

    Shapes: (number of distinct values,) and (number of rows,); `first[place]` has the value of the row.
    """
    high, low = words(values, size)
    if not len(high):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.lexsort((low, high))  # stable: equal values stay in the order of their rows
    high, low = high[order], low[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    group = np.cumsum(new) - 1
    first = order[new]
    rank = np.empty(len(first), np.int64)
    by_row = np.argsort(first)
    rank[by_row] = np.arange(len(first))
    place = np.empty(len(order), np.int64)
    place[order] = rank[group]
    return first[by_row], place


def secret_order(count: int) -> Indices:
    """Return a permutation drawn from the operating system's generator.

    Sorting by 128 random bits gives every order the same chance, but for ties, whose chance is under 2^-64 up to 2^32
    values.
    """
    drawn = np.frombuffer(secrets.token_bytes(16 * count), np.uint64).reshape(-1, 2)
    return np.lexsort((drawn[:, 0], drawn[:, 1]))


def members(own: bytes, others: bytes, size: int) -> npt.NDArray[np.bool_]:
    """Return for each own value whether it is among the others."""
    high, low = words(own, size)
    other_high, other_low = words(others, size)
    order = np.lexsort((other_low, other_high))
    other_high, other_low = other_high[order], other_low[order]
    found = np.zeros(len(high), np.bool_)
    at = np.searchsorted(other_high, high, side="left")
    end = np.searchsorted(other_high, high, side="right")
    while (open_rows := np.flatnonzero(at < end)).size:
        here = at[open_rows]
        found[open_rows] |= other_low[here] == low[open_rows]
        at[open_rows] += 1
    return found
