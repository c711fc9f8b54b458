"""Records of a run: what was observed and how it was judged."""
