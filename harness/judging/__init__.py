"""Judge observations: oracles, expectations, verdicts."""
