"""Builds with one deliberate mistake each, to test the harness itself."""
