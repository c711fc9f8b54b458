"""Run shots in worker processes that may crash."""
