"""Measurements of the converter beside its peers."""
