"""The suite turned on itself: the reference node with deliberate defects, and the proof that each is found."""
