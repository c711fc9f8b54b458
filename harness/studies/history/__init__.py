"""Core cases on every revision in the registry."""
