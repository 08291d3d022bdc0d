"""Checks: pure propositions about a recording, one module per chapter. They do no I/O and import no scenario."""
