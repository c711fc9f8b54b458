"""Studies: results of many runs, over revisions, mutants, repetitions or converters."""
