"""Malformed and unusual adapter files, made from a small valid one."""
