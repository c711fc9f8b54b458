"""Judge a library: make models and adapters, run cases in child processes, compare with oracles, report."""
