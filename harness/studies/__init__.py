"""Studies that ask questions of many runs."""
