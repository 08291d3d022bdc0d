"""`python -m loadtests.bench_sm2`: how long the implementations of SM2 that take part here need to sign and to verify.

All of them sign the same message with the same key and verify the same signature, in turn, in one thread; the median of
some rounds is printed, in milliseconds of processor time. gmssl-pyx is there to be compared with: nothing runs on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import gmssl.sm2
import gmssl_pyx
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from rich.console import Console
from rich.table import Table

from conformance.harness import sm2 as harness
from reference_node.security.errors import BackendUnavailable
from reference_node.security.sm2_gmssl import GmsslBackend
from reference_node.security.sm2_libcrypto import LibcryptoBackend

MESSAGE: Final = b"POST\n/v1/interconn/job/create\n" * 10
Pair = tuple[Callable[[], object], Callable[[], bool]]


def _node(backend: LibcryptoBackend | GmsslBackend, private: int, public: bytes, signature: bytes) -> Pair:
    def _verify() -> bool:
        backend.verify(public, MESSAGE, signature)
        return True

    return lambda: backend.sign(private, MESSAGE), _verify


def implementations() -> dict[str, Pair]:
    """Return what signs and what verifies, by implementation."""
    own = harness.engine()
    point, key = own.generate()
    private, public = int.from_bytes(key, "big"), b"\x04" + point
    signature = own.sign(key, point, MESSAGE)
    encoded = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    plain = harness.PlainSm2(gmssl.sm2)
    found: dict[str, Pair] = {}
    try:
        found["libcrypto (the node)"] = _node(LibcryptoBackend(), private, public, signature)
    except BackendUnavailable:
        Console(stderr=True).print("no libcrypto 3 here: left out")
    found |= {
        "own arithmetic (the harness)": (
            lambda: own.sign(key, point, MESSAGE),
            lambda: own.verify(point, MESSAGE, signature),
        ),
        "gmssl-pyx (tests only)": (
            lambda: gmssl_pyx.sm2_sign(key, point, MESSAGE),
            lambda: bool(gmssl_pyx.sm2_verify(point, MESSAGE, encoded)),
        ),
        "gmssl (the node without libcrypto)": _node(GmsslBackend(), private, public, signature),
        "gmssl (the harness's second opinion)": (
            lambda: plain.sign(key, point, MESSAGE),
            lambda: plain.verify(point, MESSAGE, signature),
        ),
    }
    return found


def _milliseconds(call: Callable[[], object], count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - began) / count * 1000


def measure(count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of signing and verifying, in ms, by implementation."""
    pairs = implementations()
    for name, (_, verify) in pairs.items():
        if not verify():
            raise SystemExit(f"{name} refuses a good signature: nothing was measured")
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
    for _ in range(rounds):
        for name, calls in pairs.items():
            rows[name].append((_milliseconds(calls[0], count), _milliseconds(calls[1], count)))
    return {
        name: (statistics.median(row[0] for row in found), statistics.median(row[1] for row in found))
        for name, found in rows.items()
    }


def main() -> None:
    """Print the figures; with --json as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="signatures in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.count, given.rounds)
    if given.json:
        figures = {name: {"sign_ms": sign, "verify_ms": verify} for name, (sign, verify) in found.items()}
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    table = Table("SM2 with SM3", "sign, ms", "verify, ms")
    for name, (sign, verify) in found.items():
        table.add_row(name, f"{sign:.2f}", f"{verify:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
