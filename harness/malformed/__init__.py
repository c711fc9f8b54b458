"""Damaged and unusual adapter files."""
