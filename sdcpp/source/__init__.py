"""Fetch upstream's source at a revision, and keep it in a git workspace."""
