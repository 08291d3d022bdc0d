"""Pure rules and state machines of the node: no I/O, no clock, nothing but the standard library."""
