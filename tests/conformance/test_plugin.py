"""The suite as plain pytest against a node that is served as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conformance import demo

SUITE = Path(demo.__file__).parent / "suites" / "suite_8_1_health.py"


def run(folder: Path, *faults: str) -> subprocess.CompletedProcess[str]:
    """Run one module of the suite as `pytest` would from a shell."""
    with demo.serve(folder / "node", "plugin-node", faults=faults) as served:
        profile = folder / "profile.toml"
        profile.write_text(
            f'[target]\nurl = "http://elsewhere.invalid"\nnode_id = "{served.node_id}"\n'
            f'[operator]\ntoken_file = "{served.token_file}"\n',
            encoding="utf-8",
        )
        words = ["-p", "conformance.harness.plugin", "-p", "no:cacheprovider", "-q", str(SUITE)]
        words += ["--profile", str(profile), "--target", served.address]
        return subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_conforming_node_passes(tmp_path: Path) -> None:
    """Each scenario is a test; --target overrides the profile's address."""
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.slow
def test_a_defect_fails_the_test_and_names_clause_and_finding(tmp_path: Path) -> None:
    """The failure shows requirement, check, finding, expected and actual."""
    done = run(tmp_path, "health-says-down")
    assert done.returncode == 1, done.stdout
    assert "8.1.2-d" in done.stdout
    assert "HEALTH_NOT_UP" in done.stdout


@pytest.mark.slow
def test_without_a_profile_the_usage_is_told(tmp_path: Path) -> None:
    """No profile is wrong usage, not a failure of a target."""
    words = ["-p", "conformance.harness.plugin", "-p", "no:cacheprovider", "-q", str(SUITE)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode != 0
    assert "--profile" in done.stdout + done.stderr
