"""The conformance suite: it drives any node, records what happens, and judges the recording."""
