"""Quantise rows of floats, by the built library or by the gguf package."""
