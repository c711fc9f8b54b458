"""Fetch upstream's source at a revision and keep it as a git workspace."""
