"""Adapters that trainers' own libraries write, judged by the merge that these libraries make."""
