"""Judging: compare pictures, give each case a verdict, and compare the verdict with what is expected."""
