"""Records of runs: what was observed, and how it was judged."""
