"""Pack a run for a machine without network, and unpack it there."""
